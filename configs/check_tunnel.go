package configs

import "net/netip"

// neverRouted are networks that no packet of a peer may be sent to: the gateway
// itself, the metadata service of clouds, one link, and groups.
var neverRouted = []struct {
	network netip.Prefix
	what    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this host itself"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, where clouds have their metadata"},
	{netip.MustParsePrefix("224.0.0.0/3"), "multicast or reserved"},
	{netip.MustParsePrefix("::/127"), "loopback"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("fd00:ec2::/32"), "where a cloud has its metadata"},
}

// deriveTunnelRoutes takes the network that the host's own address lies in.
func deriveTunnelRoutes(r *resolution) {
	r.TunnelRoutes = nil
	for _, i := range r.host.Interfaces {
		for _, p := range i.Networks {
			if p.Addr() == r.IP && p.Bits() > 0 {
				r.TunnelRoutes = []netip.Prefix{p.Masked()}
				return
			}
		}
	}
}

func (r *resolution) checkTunnel() {
	if r.TunnelEndpoint != "" && r.DNSPort != 53 {
		r.warnf("DNS_PORT", "%s is %d, and peers of the tunnel ask for names at port 53, the only one that their systems know: names do not work for them; set DNS_PORT=53", r.subject("DNS_PORT"), r.DNSPort)
	}
	for name, network := range map[string]netip.Prefix{"TUNNEL_CIDR": r.TunnelCIDR, "TUNNEL_CIDR6": r.TunnelCIDR6} {
		// Its neighbours, and the router if that has the first address, would be looked for in the tunnel.
		if r.TunnelEndpoint != "" && network.IsValid() && network.Contains(r.IP) {
			r.findf(name, "holds %s, this host's own address (IP); choose a network that nobody uses", r.IP)
		}
	}
	if !r.isSet("TUNNEL_ROUTES") {
		return
	}
	for _, route := range r.TunnelRoutes {
		if route.Bits() == 0 {
			r.findf("TUNNEL_ROUTES", "holds %s, which is everything; a tunnel leads to the platform's networks: list those", route)
			continue
		}
		for _, never := range neverRouted {
			if never.network.Bits() <= route.Bits() && never.network.Contains(route.Addr()) {
				r.findf("TUNNEL_ROUTES", "holds %s, which is %s; no peer may ever reach it: remove it", route, never.what)
			}
		}
		for _, own := range []netip.Prefix{r.TunnelCIDR, r.TunnelCIDR6} {
			if own.IsValid() && own.Bits() <= route.Bits() && own.Contains(route.Addr()) {
				r.findf("TUNNEL_ROUTES", "holds %s, which lies in the tunnel's own network %s, and peers do not reach each other: remove it", route, own)
			}
		}
	}
}
