package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// GatewayInfo is what a gateway publishes about itself, so that client files can
// be made on any host. All of it is public.
type GatewayInfo struct {
	// Name is unique: HOSTNAME.
	Name string `json:"name"`
	// Endpoint is the host:port that clients dial.
	Endpoint string `json:"endpoint"`
	// PublicKey is equal for gateways that are twins.
	PublicKey PublicKey `json:"public_key"`
	// Networks are those of the tunnel, masked: IPv4, then IPv6 where there is
	// one. The gateway has the first address of each.
	Networks []netip.Prefix `json:"networks"`
	// Routes are the networks that peers may reach: TUNNEL_ROUTES.
	Routes []netip.Prefix `json:"routes"`
	// DNS are the gateway's addresses at which peers ask for names, at port 53.
	DNS []netip.Addr `json:"dns"`
	// Domains are the names that clients ask the gateway for: CONSUL_DOMAIN and
	// HAPROXY_ADD_DOMAIN, without dots at their ends.
	Domains []string `json:"domains"`
	// MTU is that of the tunnel, 0 when it is not known.
	MTU int `json:"mtu,omitempty"`
	// Updated is when the gateway published this, in UTC.
	Updated time.Time `json:"updated"`
}

// Addresses are the gateway's own inside the tunnel: the first of each network.
func (g *GatewayInfo) Addresses() []netip.Addr {
	var list []netip.Addr
	for _, n := range g.Networks {
		list = append(list, n.Addr().Next())
	}
	return list
}

// Equal tells whether two gateways say the same about themselves, whenever they said it.
func (g *GatewayInfo) Equal(other *GatewayInfo) bool {
	return g.Name == other.Name && g.Endpoint == other.Endpoint && g.PublicKey == other.PublicKey && g.MTU == other.MTU &&
		slices.Equal(g.Networks, other.Networks) && slices.Equal(g.Routes, other.Routes) &&
		slices.Equal(g.DNS, other.DNS) && slices.Equal(g.Domains, other.Domains)
}

// Twin tells whether a client cannot tell the two apart.
func (g *GatewayInfo) Twin(other *GatewayInfo) bool {
	return g.PublicKey == other.PublicKey && g.Endpoint == other.Endpoint
}

// Check tells what is wrong with a gateway that comes from outside.
func (g *GatewayInfo) Check() error {
	if err := CheckGatewayName(g.Name); err != nil {
		return err
	}
	if err := CheckEndpoint(g.Endpoint); err != nil {
		return err
	}
	if g.PublicKey == (PublicKey{}) {
		return errors.New("it has no public key")
	}
	if len(g.Networks) == 0 {
		return errors.New("it has no network")
	}
	for _, p := range slices.Concat(g.Networks, g.Routes) {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Bits() == 0 {
			return fmt.Errorf("%s is not a network of a tunnel", p)
		}
	}
	for _, a := range g.DNS {
		if !a.IsValid() || a.Zone() != "" {
			return fmt.Errorf("%s is not the address of a DNS server", a)
		}
	}
	for _, d := range g.Domains {
		if err := checkDomain(d); err != nil {
			return err
		}
	}
	if g.MTU != 0 && (g.MTU < 576 || g.MTU > 65535) {
		return fmt.Errorf("%d is not an MTU", g.MTU)
	}
	return nil
}
