// Package resolv knows the files that tell a host whom to ask for names (resolv.conf(5)).
package resolv

import (
	"net/netip"
	"strings"
)

const (
	// File is what the resolver of the C library reads.
	File = "/etc/resolv.conf"
	// Copy is what File was before it was pointed at the DNS server of this host, which
	// finds its recursors there.
	Copy = "/etc/resolv.conf.orig"
)

// Stub is where systemd-resolved listens (systemd-resolved.service(8)).
var Stub = netip.MustParseAddr("127.0.0.53")

// Nameservers are the servers that a text in the form of resolv.conf names, in their
// order. Lines that name none, or no address, do not count.
func Nameservers(text string) (list []netip.Addr) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			list = append(list, a)
		}
	}
	return list
}
