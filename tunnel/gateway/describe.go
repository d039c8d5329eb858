package gateway

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"panteras/configs"
	"panteras/tunnel"
	"panteras/tunnel/device"
	"panteras/tunnel/firewall"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// describe computes what the gateway says about itself, all but the time. ula is the
// cluster's IPv6 network, for where the settings name none; it may be invalid.
func describe(s *configs.Settings, ula netip.Prefix, key tunnel.PublicKey, mtu int) tunnel.GatewayInfo {
	info := tunnel.GatewayInfo{
		Name: s.Hostname, Endpoint: s.TunnelEndpoint, PublicKey: key,
		Networks: []netip.Prefix{s.TunnelCIDR}, Routes: s.TunnelRoutes,
		Domains: []string{s.ConsulDomain}, MTU: mtu,
	}
	if _, _, err := net.SplitHostPort(s.TunnelEndpoint); err != nil {
		info.Endpoint = net.JoinHostPort(strings.Trim(s.TunnelEndpoint, "[]"), strconv.Itoa(int(s.TunnelPort)))
	}
	if s.TunnelCIDR6.IsValid() {
		ula = s.TunnelCIDR6
	}
	if ula.IsValid() {
		info.Networks = append(info.Networks, ula)
	}
	if s.HAProxyAddDomain != "" {
		info.Domains = append(info.Domains, s.HAProxyAddDomain)
	}
	info.DNS = info.Addresses()
	return info
}

// interfaceAddresses are the gateway's own with the networks they are in: that is where
// the kernel sends what is for peers.
func interfaceAddresses(info *tunnel.GatewayInfo) []netip.Prefix {
	var out []netip.Prefix
	for i, a := range info.Addresses() {
		out = append(out, netip.PrefixFrom(a, info.Networks[i].Bits()))
	}
	return out
}

// deviceConfig is what the interface should be, given where peers were.
func deviceConfig(d *tunnel.Desired, private tunnel.SecretKey, port uint16, places endpoints) *device.Config {
	c := &device.Config{PrivateKey: private.Key(), Port: port, Peers: make([]device.Peer, 0, len(d.Peers))}
	for _, p := range d.Peers {
		c.Peers = append(c.Peers, device.Peer{PublicKey: wgtypes.Key(p.PublicKey), PresharedKey: p.Preshared.Key(), Addresses: p.Addresses, Endpoint: places[p.PublicKey.String()]})
	}
	return c
}

// firewallRules are what the firewall should be.
func firewallRules(s *configs.Settings, info *tunnel.GatewayInfo, d *tunnel.Desired) *firewall.Rules {
	r := &firewall.Rules{
		Interface: s.TunnelInterface, Gateway: info.Addresses(), DNSPort: s.DNSPort,
		Routes: info.Routes, HostPorts: s.TunnelHostPorts, Masquerade: s.TunnelNAT,
	}
	if floating(s) {
		r.Floating = netip.AddrPortFrom(s.KeepalivedVIP, s.TunnelPort)
	}
	r.Peers = make([]firewall.Peer, len(d.Peers))
	for i, p := range d.Peers {
		r.Peers[i] = firewall.Peer{Addresses: p.Addresses, Expires: p.Expires}
		if i > 0 && slices.EqualFunc(p.Rules, d.Peers[i-1].Rules, tunnel.Rule.Equal) {
			r.Peers[i].Allow = r.Peers[i-1].Allow // most peers may the same
			continue
		}
		for _, rule := range p.Rules {
			r.Peers[i].Allow = append(r.Peers[i].Allow, allow(rule)...)
		}
	}
	return r
}

// floating tells whether clients dial an address that another host may have.
func floating(s *configs.Settings) bool {
	return s.KeepalivedVIP.IsValid() && s.KeepalivedVIP == tunnel.EndpointAddr(s.TunnelEndpoint)
}

// protocols are the numbers of those that rules know.
var protocols = map[tunnel.Protocol]uint8{tunnel.AnyProtocol: 0, tunnel.TCP: 6, tunnel.UDP: 17}

func allow(rule tunnel.Rule) []firewall.Allow {
	one := firewall.Allow{Network: rule.Network, Protocol: protocols[rule.Protocol]}
	if one.Protocol == 0 || len(rule.Ports) == 0 {
		one.Last = 0xffff
		return []firewall.Allow{one}
	}
	var out []firewall.Allow
	for _, p := range rule.Ports {
		one.First, one.Last = p.First, p.Last
		out = append(out, one)
	}
	return out
}
