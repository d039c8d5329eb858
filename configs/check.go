package configs

import (
	"fmt"
	"net/netip"
	"slices"
)

// check looks at what only several settings together, or a setting and the host,
// can get wrong. Every finding is recorded; none stops the others.
func (r *resolution) check() {
	r.checkAddresses()
	r.checkNames()
	r.checkDomains()
	r.checkRoutes()
	r.checkConsul()
	r.checkLoops()
	r.checkTunnel()
	r.checkDaemons()
}

// findf records a problem with a setting: where its value stands, the value, and
// what is wrong with it.
func (r *resolution) findf(name, format string, args ...any) {
	r.problemf(name, "%s %s", r.subject(name), fmt.Sprintf(format, args...))
}

// subject names a setting as messages do: its origin and what it holds.
func (r *resolution) subject(name string) string {
	s, _ := Lookup(name)
	if g, ok := r.given[name]; ok {
		return r.named(s, g)
	}
	return fmt.Sprintf("%s: %s=%s", originDefault, name, quote(s.value.text(&r.Settings)))
}

func (r *resolution) checkAddresses() {
	if r.isSet("IP") {
		if why := r.host.unreachable(r.IP); why != "" {
			r.findf("IP", "%s, so other hosts cannot reach this one by it; set IP to %s", why, r.host.candidateText())
		}
	}
	if r.isSet("HOST_IP") && (r.HostIP.IsUnspecified() || r.HostIP.IsMulticast()) {
		r.findf("HOST_IP", "is not the address of one host; set HOST_IP to %s", r.host.candidateText())
	}
	if r.isSet("CONSUL_IP") && (r.ConsulIP.IsUnspecified() || r.ConsulIP.IsMulticast()) {
		r.findf("CONSUL_IP", "is not the address of one host; set CONSUL_IP to the address of a Consul agent, such as %s", r.host.candidateText())
	}
	if r.ListenIP.IsMulticast() {
		r.findf("LISTEN_IP", "is a multicast address; set LISTEN_IP to 0.0.0.0 or to an address of this host")
	}
}

func (r *resolution) checkNames() {
	for _, name := range []struct{ setting, value string }{{"HOSTNAME", r.Hostname}, {"FQDN", r.FQDN}} {
		if r.isSet(name.setting) || r.bad[name.setting] {
			continue
		}
		if name.value == "" {
			if name.setting == "HOSTNAME" {
				r.problemf("HOSTNAME", "HOSTNAME is not known, because this host has no name; set HOSTNAME")
			}
			continue
		}
		if _, err := hostName.parse(name.value); err != nil && !(name.setting == "FQDN" && name.value == r.Hostname) {
			r.findf(name.setting, "is this host's own name and cannot be used: it %v; set %s", err, name.setting)
		}
	}
}

func (r *resolution) checkDomains() {
	add := r.HAProxyAddDomain
	if add == "" {
		return
	}
	for _, own := range r.consulDomains() {
		if isUnder(add, own) {
			r.findf("HAPROXY_ADD_DOMAIN", "is %s or lies under it, and Consul answers for those names; choose a domain outside it, or leave HAPROXY_ADD_DOMAIN empty", own)
			return
		}
	}
}

// consulDomains are the domains whose names only Consul answers.
func (r *resolution) consulDomains() []string {
	return slices.Compact([]string{"consul", r.ConsulDomain})
}

func (r *resolution) checkRoutes() {
	for _, route := range r.DNSRoutes {
		if route.Suffix == r.HAProxyAddDomain {
			r.findf("DNS_ROUTES", "has a route for %s, which is HAPROXY_ADD_DOMAIN; remove one of them", route.Suffix)
		}
		for _, own := range r.consulDomains() {
			if isUnder(route.Suffix, own) {
				r.findf("DNS_ROUTES", "has a route for %s, but names in %s always go to Consul; remove the route, or name its servers in CONSUL_DNS", route.Suffix, own)
				break
			}
		}
	}
}

func (r *resolution) checkConsul() {
	if r.ConsulHTTPToken != "" && r.ConsulHTTPTokenFile != "" {
		r.warnf("CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN (%s) has no effect: CONSUL_HTTP_TOKEN_FILE (%s) beats it", r.origin("CONSUL_HTTP_TOKEN"), r.origin("CONSUL_HTTP_TOKEN_FILE"))
	}
	// An address that was given but could not be used is reported already.
	if r.bad["IP"] || r.bad["CONSUL_IP"] || r.bad["LISTEN_IP"] {
		return
	}
	if len(r.ConsulDNS) == 0 && !r.bad["CONSUL_DNS"] {
		r.problemf("CONSUL_DNS", "CONSUL_DNS cannot be derived, because no interface with a default route shows this host's address; set IP (%s) or CONSUL_DNS", r.host.candidateText())
	}
	if r.DNSMode == DNSModeLB && r.ConsulHTTPAddr == "" {
		r.findf("DNS_MODE", "asks Consul's API, whose address is not known; set CONSUL_HTTP_ADDR or IP")
	}
	if r.DNSMode != DNSModeLegacy {
		return
	}
	switch {
	case !r.ConsulIP.IsValid():
		r.findf("DNS_MODE", "answers with CONSUL_IP, which is not known; set CONSUL_IP or IP")
	case !r.ConsulIP.Is4():
		r.findf("DNS_MODE", "answers A questions with CONSUL_IP, which must then be an IPv4 address, not %s; set CONSUL_IP", r.ConsulIP)
	}
}

// checkLoops finds servers that are this DNS server itself. A wildcard listener
// proves nothing: it may give way to a stub resolver on one loopback address.
func (r *resolution) checkLoops() {
	const advice = "where this DNS server itself listens (DNS_LISTEN, LISTEN_IP, DNS_PORT), so queries would go round in circles; name another server"
	loops := func(setting, role string, servers []netip.AddrPort) {
		for _, s := range servers {
			if slices.Contains(r.DNSListen, s) {
				r.findf(setting, "%s %s, %s", role, s, advice)
			}
		}
	}
	loops("CONSUL_DNS", "holds", r.ConsulDNS)
	loops("DNS_UPSTREAMS", "holds", r.DNSUpstreams)
	for _, route := range r.DNSRoutes {
		loops("DNS_ROUTES", "sends "+route.Suffix+" to", route.Upstreams)
	}
}
