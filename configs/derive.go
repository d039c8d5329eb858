package configs

import (
	"net/netip"
	"strings"
)

// keepZero is the default of a setting that is the zero value, where the text of
// the documentation says what that means.
func keepZero(*resolution) {}

func deriveIP(r *resolution) { r.IP = r.host.defaultAddr() }

func deriveHostIP(r *resolution) { r.HostIP = r.IP }

func deriveConsulIP(r *resolution) {
	r.ConsulIP = r.IP
	if r.isSet("LISTEN_IP") && !r.ListenIP.IsUnspecified() {
		r.ConsulIP = r.ListenIP
	}
}

func deriveHostname(r *resolution) { r.Hostname = r.host.Hostname }

func deriveFQDN(r *resolution) {
	r.FQDN = r.Hostname
	if name, ok := qualify(r.host.HostsFile, r.Hostname); ok {
		r.FQDN = name
	}
}

func deriveDNSListen(r *resolution) {
	addrs := []netip.Addr{r.ListenIP}
	if r.ListenIP.IsUnspecified() {
		addrs = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	r.DNSListen = nil
	for _, a := range addrs {
		r.DNSListen = append(r.DNSListen, netip.AddrPortFrom(a, r.DNSPort))
	}
}

// privateSources are the sources that may ask by default: those no packet from
// the internet can carry, so that the server is never an open resolver.
var privateSources = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("fc00::/7"),
}

func deriveDNSAllow(r *resolution) {
	r.DNSAllow = append([]netip.Prefix(nil), privateSources...)
	if r.TunnelEndpoint == "" {
		return
	}
	for _, tunnel := range []netip.Prefix{r.TunnelCIDR, r.TunnelCIDR6} {
		if tunnel.IsValid() {
			r.DNSAllow = append(r.DNSAllow, tunnel)
		}
	}
}

func deriveConsulDNS(r *resolution) {
	if r.ConsulIP.IsValid() {
		r.ConsulDNS = []netip.AddrPort{netip.AddrPortFrom(r.ConsulIP, consulDNSPort)}
	}
}

func deriveConsulHTTPAddr(r *resolution) {
	const consulHTTPPort = 8500
	if r.ConsulIP.IsValid() {
		r.ConsulHTTPAddr = netip.AddrPortFrom(r.ConsulIP, consulHTTPPort).String()
	}
}

// applyOptOut honours the blank DNSMASQ_ADDRESS by which PanteraS users switched
// off the wildcard that DNS_MODE=legacy and DNS_MODE=lb stand for.
func (r *resolution) applyOptOut() {
	g, ok := r.given["DNSMASQ_ADDRESS"]
	if !ok {
		return
	}
	if strings.TrimSpace(g.raw) != "" {
		r.warnf("DNSMASQ_ADDRESS", "%s: DNSMASQ_ADDRESS has no effect unless it is a single blank: set DNS_MODE", g.origin)
		return
	}
	if r.DNSMode != DNSModeDirect {
		r.warnf("DNSMASQ_ADDRESS", "%s: the blank DNSMASQ_ADDRESS forces DNS_MODE to direct and beats DNS_MODE=%s (%s): drop one of them",
			g.origin, r.DNSMode, r.origin("DNS_MODE"))
	}
	r.DNSMode = DNSModeDirect
	r.given["DNS_MODE"] = given{name: g.name, raw: DNSModeDirect, origin: g.origin}
}
