package dnsserver

import (
	"net/netip"
	"testing"

	"panteras/configs"
)

func TestRouteOf(t *testing.T) {
	t.Parallel()
	s := testSettings(netip.MustParseAddrPort("0.0.0.0:53"), consulAddr, recAddr)
	s.IP, s.Hostname, s.FQDN = netip.MustParseAddr("192.0.2.10"), "node1", "Node1.acme.test"
	s.DNSPTR = []netip.Prefix{netip.MustParsePrefix("192.168.2.0/24")}
	s.DNSRoutes = []configs.DNSRoute{{Suffix: "168.192.in-addr.arpa", Upstreams: addrPorts("10.0.0.2:53")}}
	const itself = "this host itself, which knows it by HOSTNAME, FQDN or /etc/hosts"
	const empty = "this host itself, which says that nothing has that name (RFC 6303, RFC 6761)"
	for name, want := range map[string]string{
		"node1.ACME.test.":         itself,
		"db.example":               itself,
		"1.0.0.10.in-addr.arpa":    itself,
		"2.0.0.10.in-addr.arpa":    empty,
		"x.invalid":                empty,
		"x.localhost":              "this host itself, as all of localhost does (RFC 6761)",
		"web.service.consul":       "Consul, because it is under consul",
		"example.org":              "the recursors",
		"a..b":                     "the recursors",
		"5.3.168.192.in-addr.arpa": "10.0.0.2:53, because of DNS_ROUTES for 168.192.in-addr.arpa",
		"5.0.0.9.in-addr.arpa":     "the recursors",
	} {
		if got := RouteOf(s, "10.0.0.1 db.example\n", name); got != want {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
	}
	s.DNSRoutes = nil
	if got := RouteOf(s, "", "5.2.168.192.in-addr.arpa"); got != "Consul, because of DNS_PTR" {
		t.Error(got)
	}
	s.DNSUpstreams = addrPorts("127.0.0.1:53") // which is refused elsewhere
	if got := RouteOf(s, "", "example.org"); got != "the recursors" {
		t.Error(got)
	}
}
