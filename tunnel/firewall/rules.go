// Package firewall keeps what peers of the tunnel may reach, in one nftables table,
// "inet panteras". Every packet from a peer, and every answer to it, is looked up in
// the table: nothing is let through because it was once. What a peer may is an element
// of a set with a timeout, so that an expiry holds whoever is dead.
//
// The table is computed from [Rules] without I/O and put in force by [Firewall], in one
// batch: there is no moment without rules.
package firewall

import (
	"net/netip"
	"time"
)

// Rules is everything that the table says.
type Rules struct {
	// Interface is the tunnel's; all rules are about what comes from it or goes there.
	Interface string
	// Gateway are our own addresses on the tunnel, where peers find the DNS server.
	Gateway []netip.Addr
	// DNSPort is the DNS server's port.
	DNSPort uint16
	// Routes are the networks that any peer may be allowed to reach: the outer bound of
	// every policy, whatever Peers says.
	Routes []netip.Prefix
	// HostPorts are TCP ports of the gateway itself that peers may reach at its addresses
	// in Routes, as their policy says: those of its HAProxy.
	HostPorts []uint16
	// Floating is a source address that the host may lack, with the tunnel's port: the only
	// one that the tunnel's own packets may leave from. The zero value sets no bound.
	Floating netip.AddrPort
	// Masquerade gives what leaves the tunnel the gateway's own address.
	Masquerade bool
	// Peers are those who may use the tunnel. No address may appear twice.
	Peers []Peer
}

// Peer is what one peer may do.
type Peer struct {
	// Addresses are the sources that are the peer's.
	Addresses []netip.Addr
	// Expires is when everything ends; the zero time means never.
	Expires time.Time
	// Allow is what the peer may reach. Entries may overlap.
	Allow []Allow
}

// Allow is a part of the network. IPv4 and IPv6 networks concern a peer's addresses of
// the same family.
type Allow struct {
	Network netip.Prefix
	// Protocol is the IP protocol's number, 0 for all of them: the ports do not matter then.
	Protocol uint8
	// First and Last are the ports, inclusive.
	First, Last uint16
}

// closed are destinations that nobody reaches through a tunnel whatever the policy: this
// host, link-local and multicast, and the addresses of clouds' metadata services, where
// credentials lie.
var closed = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba's metadata service
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("192.0.0.192/32"), // Oracle's
	netip.MustParsePrefix("224.0.0.0/3"),    // multicast, reserved, broadcast
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("::ffff:0:0/96"),
	netip.MustParsePrefix("fd00:ec2::/32"),    // Amazon's, IPv6
	netip.MustParsePrefix("fd20:ce::254/128"), // Google's, IPv6
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}
