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
	for _, r := range gateway.Routes {
		if !slices.Contains(c.AllowedIPs, r) {
			c.AllowedIPs = append(c.AllowedIPs, r)
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

// equal tells whether two configurations say the same.
func (c *Config) equal(other *Config) bool {
	return c.PrivateKey == other.PrivateKey && c.MTU == other.MTU && c.Gateway == other.Gateway && c.Endpoint == other.Endpoint &&
		c.PresharedKey == other.PresharedKey && c.Keepalive == other.Keepalive &&
		slices.Equal(c.Addresses, other.Addresses) && slices.Equal(c.DNS, other.DNS) && slices.Equal(c.AllowedIPs, other.AllowedIPs)
}
