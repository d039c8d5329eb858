package configs

import (
	"fmt"
	"strings"
)

// RouteOf says in one phrase where the DNS server sends questions for a name: the
// longest suffix wins. Names of the host itself, which only a running server knows, are
// left out.
func (s *Settings) RouteOf(name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	best, says := -1, "the recursors"
	consider := func(suffix, where string) {
		if suffix != "" && isUnder(name, suffix) && len(suffix) > best {
			best, says = len(suffix), where
		}
	}
	for _, domain := range []string{"consul", s.ConsulDomain} {
		consider(domain, fmt.Sprintf("Consul, because it is under %s", domain))
	}
	if add := s.HAProxyAddDomain; add != "" {
		where := fmt.Sprintf("the recursors, because only services lie directly under %s", add)
		if service, _, ok := strings.Cut(name, "."+add); ok && service != "" && !strings.Contains(service, ".") {
			where = fmt.Sprintf("Consul, as %s.service.%s, and the recursors if there is no such service", service, s.ConsulDomain)
		}
		consider(add, where)
	}
	for _, route := range s.DNSRoutes {
		consider(route.Suffix, fmt.Sprintf("%s, because of DNS_ROUTES for %s", formatAddrPorts(route.Upstreams), route.Suffix))
	}
	return says
}

// ServiceOf says which service of Consul's a name is of, and which data centre it names
// ("" for none): <service>.service[.<dc>] under CONSUL_DOMAIN or consul, or <service>
// under HAPROXY_ADD_DOMAIN. Other names are of none.
func (s *Settings) ServiceOf(name string) (service, dc string, ok bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	longest := ""
	for _, domain := range []string{"consul", s.ConsulDomain, s.HAProxyAddDomain} {
		if domain != "" && isUnder(name, domain) && len(domain) > len(longest) {
			longest = domain
		}
	}
	rest, below := strings.CutSuffix(name, "."+longest)
	if longest == "" || !below {
		return "", "", false
	}
	labels := strings.Split(rest, ".")
	if longest == s.HAProxyAddDomain {
		return labels[0], "", len(labels) == 1
	}
	if len(labels) < 2 || len(labels) > 3 || labels[1] != "service" {
		return "", "", false
	}
	return labels[0], strings.Join(labels[2:], ""), true
}
