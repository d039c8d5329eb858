package client

import (
	"net/netip"
	"slices"

	"panteras/tunnel"
)

const (
	// keepalive, in seconds, keeps the way through NAT open, so that a gateway that
	// took over from another is heard.
	keepalive = 25
	// usualMTU is what a tunnel over an Ethernet has; a client finds it itself.
	usualMTU = 1420
	// mobileMTU passes every network that a phone comes across, and is the least
	// that IPv6 allows.
	mobileMTU = 1280
)

// Config is what a client needs to know to join.
type Config struct {
	// PrivateKey is the zero key when only the client has it.
	PrivateKey tunnel.SecretKey
	// Addresses are the client's own inside the tunnel.
	Addresses []netip.Addr
	// MTU is 0 when the client is to find it itself.
	MTU int
	// DNS are the servers that get all of the client's questions; empty on systems
	// that send them only those about the platform.
	DNS []netip.Addr

	// Gateway is the gateway's public key, Endpoint its host:port.
	Gateway  tunnel.PublicKey
	Endpoint string
	// PresharedKey is the zero key when there is none.
	PresharedKey tunnel.SecretKey
	// AllowedIPs are the networks that lie behind the tunnel.
	AllowedIPs []netip.Prefix
	// Keepalive is in seconds, 0 for none.
	Keepalive int
}

// NewConfig is what a peer of a gateway needs to know.
func NewConfig(system System, peer *tunnel.Peer, gateway *tunnel.GatewayInfo, private, preshared tunnel.SecretKey) Config {
	c := Config{
		PrivateKey: private, Addresses: peer.Addresses,
		Gateway: gateway.PublicKey, Endpoint: gateway.Endpoint, PresharedKey: preshared,
		Keepalive: keepalive,
	}
	// All routes, whatever the peer is allowed: what it may not reach is refused by
	// the gateway, and does not leave by another way.
	for _, a := range gateway.Addresses() {
		c.AllowedIPs = append(c.AllowedIPs, netip.PrefixFrom(a, a.BitLen()))
	}
	endpoint := tunnel.EndpointAddr(gateway.Endpoint)
	for _, r := range gateway.Routes {
		for _, n := range without(r, endpoint) {
			if !slices.Contains(c.AllowedIPs, n) {
				c.AllowedIPs = append(c.AllowedIPs, n)
			}
		}
	}
	if gateway.MTU != 0 && gateway.MTU < usualMTU {
		c.MTU = gateway.MTU
	}
	if system == Mobile {
		c.DNS = gateway.DNS
		c.MTU = mobileMTU
	}
	return c
}

// without is a network less an address: what is sent to the gateway itself would otherwise
// be sent through the tunnel that it is to carry, on systems where wg-quick sets routes.
// A name says nothing about where it leads: endpoint is invalid then.
func without(network netip.Prefix, endpoint netip.Addr) []netip.Prefix {
	if !network.Contains(endpoint) {
		return []netip.Prefix{network}
	}
	var list []netip.Prefix
	for bits := network.Bits() + 1; bits <= endpoint.BitLen(); bits++ {
		list = append(list, sibling(netip.PrefixFrom(endpoint, bits)))
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return list
}

// sibling is the other half of the network that is one bit larger.
func sibling(p netip.Prefix) netip.Prefix {
	address, last := p.Addr().AsSlice(), p.Bits()-1
	address[last/8] ^= 0x80 >> (last % 8)
	other, _ := netip.AddrFromSlice(address)
	return netip.PrefixFrom(other, p.Bits()).Masked()
}

// equal tells whether two configurations say the same.
func (c *Config) equal(other *Config) bool {
	return c.PrivateKey == other.PrivateKey && c.MTU == other.MTU && c.Gateway == other.Gateway && c.Endpoint == other.Endpoint &&
		c.PresharedKey == other.PresharedKey && c.Keepalive == other.Keepalive &&
		slices.Equal(c.Addresses, other.Addresses) && slices.Equal(c.DNS, other.DNS) && slices.Equal(c.AllowedIPs, other.AllowedIPs)
}
