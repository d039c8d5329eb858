package configs

import (
	"net/netip"
	"testing"
)

func TestRouteOf(t *testing.T) {
	s := Settings{
		ConsulDomain: "corp.example", HAProxyAddDomain: "my.own.domain.com",
		DNSRoutes: []DNSRoute{{Suffix: "example", Upstreams: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:53")}}},
	}
	for name, want := range map[string]string{
		"web.service.consul":       "Consul, because it is under consul",
		"WEB.service.corp.example": "Consul, because it is under corp.example",
		"xcorp.example.":           "10.0.0.2:53, because of DNS_ROUTES for example",
		"web.my.own.domain.com":    "Consul, as web.service.corp.example, and the recursors if there is no such service",
		"a.b.my.own.domain.com":    "the recursors, because only services lie directly under my.own.domain.com",
		"my.own.domain.com":        "the recursors, because only services lie directly under my.own.domain.com",
		"example.org":              "the recursors",
	} {
		if got := s.RouteOf(name); got != want {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
	}
}
