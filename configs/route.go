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
