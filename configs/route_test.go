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

func TestServiceOf(t *testing.T) {
	t.Parallel()
	s := &Settings{ConsulDomain: "prod.acme.example", HAProxyAddDomain: "acme.example"}
	for name, want := range map[string]string{
		"Web.service.consul.":               "web",
		"web.service.dc1.consul":            "web in dc1",
		"web.service.prod.acme.example":     "web",
		"web.service.dc1.prod.acme.example": "web in dc1",
		"web.acme.example":                  "web",
		"x.web.acme.example":                "",
		"acme.example":                      "",
		"consul":                            "",
		"service.consul":                    "",
		"web.node.consul":                   "",
		"a.web.service.consul":              "",
		"web.service.a.dc1.consul":          "",
		"web.service.example":               "",
	} {
		got, dc, ok := s.ServiceOf(name)
		if dc != "" {
			got += " in " + dc
		}
		if ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q %v, not %q", name, got, ok, want)
		}
	}
}
