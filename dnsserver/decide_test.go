package dnsserver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"panteras/configs"
	"panteras/dnsserver/lb"
	"panteras/dnsserver/wire"
)

var (
	consulAddr = netip.MustParseAddrPort("192.0.2.53:8600")
	recAddr    = netip.MustParseAddrPort("192.0.2.54:53")
	corpAddr   = netip.MustParseAddrPort("192.0.2.55:53")
)

// snapshotFor builds a snapshot of settings on a host that has 192.0.2.10 and loopback.
func snapshotFor(t testing.TB, change func(s *configs.Settings)) *snapshot {
	t.Helper()
	s := testSettings(netip.MustParseAddrPort("0.0.0.0:53"), consulAddr, recAddr)
	s.DNSRoutes = []configs.DNSRoute{{Suffix: "corp.example", Upstreams: []netip.AddrPort{corpAddr}}}
	if change != nil {
		change(s)
	}
	srv := newTestServer(t, s)
	return srv.cfg.Load()
}

// verdict is a decision in words: where the query goes and under which name, or what it is answered with.
func verdict(t testing.TB, s *snapshot, name string, typ, class uint16) string {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, typ)
	m.Question[0].Qclass = class
	pkt, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var q wire.Query
	if v := wire.Parse(pkt, &q); v != wire.OK {
		t.Fatalf("verdict %d for %s", v, name)
	}
	var fold [wire.MaxName]byte
	d := s.decide(&q, q.Fold(fold[:], pkt))
	switch d.act {
	case actError:
		return dns.RcodeToString[d.rcode]
	case actDrop:
		return "dropped"
	case actBalancer:
		return fmt.Sprint(d.kind, " balancers: ", d.addrs)
	case actLocal:
		return [...]string{localHost: "host", localEmpty: "empty", localLoopback: "loopback", localMinimal: "minimal", localNoDS: "no DS", localAddress: "address", localNoAddress: "no address"}[d.local]
	}
	var stages []string
	for _, st := range d.tgt.stages {
		up := wire.AppendUpstream(nil, pkt, &q, 1, st.mp.FromLen, st.mp.To, 1232, false)
		asked := new(dns.Msg)
		if err := asked.Unpack(up); err != nil {
			t.Fatal(err)
		}
		stages = append(stages, asked.Question[0].Name+"@"+st.group.Servers[0].Addr.String())
	}
	return d.kind.String() + ": " + strings.Join(stages, ", then ")
}

func TestDecide(t *testing.T) {
	t.Parallel()
	const consul, rec, corp = "@192.0.2.53:8600", "@192.0.2.54:53", "@192.0.2.55:53"
	other := func(s *configs.Settings) { s.ConsulDomain = "prod.acme.test" }
	legacy := func(s *configs.Settings) { s.DNSMode = configs.DNSModeLegacy }
	ptr := func(s *configs.Settings) { s.DNSPTR = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")} }
	corpAdd := func(s *configs.Settings) { s.HAProxyAddDomain = "apps.corp.example" }
	for _, test := range []struct {
		name     string
		typ      uint16
		class    uint16 // 0: IN
		settings func(s *configs.Settings)
		want     string
	}{
		{"web.service.consul.", dns.TypeA, 0, nil, "consul: web.service.consul." + consul},
		{"WEB.Service.CONSUL.", dns.TypeSRV, 0, nil, "consul: WEB.Service.CONSUL." + consul},
		{"consul.", dns.TypeSOA, 0, nil, "consul: consul." + consul},
		{"web.service.consul.", 65280, 0, nil, "consul: web.service.consul." + consul},
		{"web.service.consul.", dns.TypeA, dns.ClassHESIOD, nil, "consul: web.service.consul." + consul},
		{"xconsul.", dns.TypeA, 0, nil, "recursor: xconsul." + rec},
		{"consul.example.", dns.TypeA, 0, nil, "recursor: consul.example." + rec},
		{".", dns.TypeNS, 0, nil, "recursor: ." + rec},

		{"web.service.consul.", dns.TypeA, 0, other, "consul: web.service.prod.acme.test." + consul},
		{"consul.", dns.TypeSOA, 0, other, "consul: prod.acme.test." + consul},
		{"web.service.prod.acme.test.", dns.TypeA, 0, other, "consul: web.service.prod.acme.test." + consul},
		{"web.acme.test.", dns.TypeA, 0, other, "added: web.service.prod.acme.test." + consul + ", then web.acme.test." + rec},

		{"web.acme.test.", dns.TypeA, 0, nil, "added: web.service.consul." + consul + ", then web.acme.test." + rec},
		{"Web.Acme.test.", dns.TypeAAAA, 0, nil, "added: Web.service.consul." + consul + ", then Web.Acme.test." + rec},
		{"web.acme.test.", dns.TypeSRV, 0, nil, "added: web.service.consul." + consul + ", then web.acme.test." + rec},
		{"web.acme.test.", dns.TypeMX, 0, nil, "recursor: web.acme.test." + rec},
		{"web.acme.test.", dns.TypeA, dns.ClassHESIOD, nil, "recursor: web.acme.test." + rec},
		{"acme.test.", dns.TypeA, 0, nil, "recursor: acme.test." + rec},
		{"a.web.acme.test.", dns.TypeA, 0, nil, "recursor: a.web.acme.test." + rec},
		{"web.apps.corp.example.", dns.TypeA, 0, corpAdd, "added: web.service.consul." + consul + ", then web.apps.corp.example." + corp},
		{"apps.corp.example.", dns.TypeA, 0, corpAdd, "custom: apps.corp.example." + corp},

		{"a.corp.example.", dns.TypeA, 0, nil, "custom: a.corp.example." + corp},
		{"corp.example.", dns.TypeDS, 0, nil, "no DS"},
		{"a.corp.example.", dns.TypeDS, 0, nil, "custom: a.corp.example." + corp},
		{"consul.", dns.TypeDS, 0, nil, "no DS"},
		{"web.service.consul.", dns.TypeDS, 0, nil, "no DS"},
		{"example.", dns.TypeDS, 0, nil, "recursor: example." + rec},

		{"1.0.1.10.in-addr.arpa.", dns.TypePTR, 0, nil, "empty"},
		{"1.0.1.10.in-addr.arpa.", dns.TypePTR, 0, ptr, "reverse: 1.0.1.10.in-addr.arpa." + consul},
		{"1.0.2.10.in-addr.arpa.", dns.TypePTR, 0, ptr, "empty"},
		{"8.8.8.8.in-addr.arpa.", dns.TypePTR, 0, ptr, "recursor: 8.8.8.8.in-addr.arpa." + rec},
		{"10.2.0.192.in-addr.arpa.", dns.TypePTR, 0, nil, "host"},

		{"node1.", dns.TypeA, 0, nil, "host"},
		{"NODE1.acme.test.", dns.TypeA, 0, nil, "host"},
		{"node1.acme.test.", dns.TypeMX, 0, nil, "host"}, // NODATA: nothing leaks
		{"node1.acme.test.", dns.TypeANY, 0, nil, "minimal"},
		{"localhost.", dns.TypeA, 0, nil, "loopback"},
		{"a.localhost.", dns.TypeAAAA, 0, nil, "loopback"},
		{"a.invalid.", dns.TypeA, 0, nil, "empty"},

		{"web.service.consul.", dns.TypeANY, 0, nil, "minimal"},
		{"a.example.", dns.TypeANY, 0, nil, "minimal"},
		{"version.bind.", dns.TypeTXT, dns.ClassCHAOS, nil, "REFUSED"},
		{"consul.", dns.TypeAXFR, 0, nil, "REFUSED"},
		{"a.example.", dns.TypeIXFR, 0, nil, "REFUSED"},

		{"web.service.consul.", dns.TypeA, 0, legacy, "address"},
		{"anything.consul.", dns.TypeANY, 0, legacy, "address"},
		{"web.service.consul.", dns.TypeAAAA, 0, legacy, "consul: web.service.consul." + consul},
		{"web.service.consul.", dns.TypeSRV, 0, legacy, "consul: web.service.consul." + consul},
		{"a.example.", dns.TypeA, 0, legacy, "recursor: a.example." + rec},
	} {
		class := test.class
		if class == 0 {
			class = dns.ClassINET
		}
		if got := verdict(t, snapshotFor(t, test.settings), test.name, test.typ, class); got != test.want {
			t.Errorf("%s %s: %s, want %s", test.name, dns.TypeToString[test.typ], got, test.want)
		}
	}
}

// Names of Consul reach no recursor, whatever the settings are.
func TestConsulsNamesNeverGoToARecursor(t *testing.T) {
	t.Parallel()
	for _, domain := range []string{"consul", "prod.acme.test", "acme.example", "sub.consul"} {
		for _, add := range []string{"", "acme.test", "apps.corp.example"} {
			s := snapshotFor(t, func(s *configs.Settings) { s.ConsulDomain, s.HAProxyAddDomain = domain, add })
			for _, name := range []string{"consul.", "a.consul.", "a.b.c.consul.", domain + ".", "a." + domain + ".", "a.b.c." + domain + "."} {
				for typ := range uint16(300) {
					if typ == 0 || typ == dns.TypeOPT {
						continue
					}
					for _, class := range []uint16{1, 2, 3, 4, 254, 255, 4711} {
						if got := verdict(t, s, name, typ, class); strings.Contains(got, "192.0.2.54") || strings.Contains(got, "192.0.2.55") {
							t.Fatalf("%s type %d class %d with CONSUL_DOMAIN=%s: %s", name, typ, class, domain, got)
						}
					}
				}
			}
		}
	}
}

// With DNS_MODE=lb names of services behind HAProxy lead to HAProxy, in every form that it serves; all else is as in direct.
func TestDecideBalanced(t *testing.T) {
	t.Parallel()
	view := lb.NewView([]string{"web", "My_Service"}, []string{"dc1", "dc2"}, netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8"), netip.MustParseAddr("fd00::8"))
	own := lb.NewView([]string{"web"}, []string{"dc1"}, netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("192.0.2.10"))
	nobody := lb.NewView([]string{"web"}, []string{"dc1"})
	domain := func(s *configs.Settings) { s.ConsulDomain = "prod.acme.example" }
	const consul = "consul: %s@192.0.2.53:8600"
	for _, test := range []struct {
		name     string
		typ      uint16
		settings func(s *configs.Settings)
		view     *lb.View
		want     string
	}{
		{"web.service.consul.", dns.TypeA, nil, view, "consul balancers: [10.0.0.7 10.0.0.8]"},
		{"web.service.consul.", dns.TypeAAAA, nil, view, "consul balancers: [fd00::8]"},
		{"Web.SERVICE.consul.", dns.TypeA, nil, view, "consul balancers: [10.0.0.7 10.0.0.8]"},
		{"my_service.service.dc2.consul.", dns.TypeA, nil, view, "consul balancers: [10.0.0.7 10.0.0.8]"},
		{"web.acme.test.", dns.TypeA, nil, view, "added balancers: [10.0.0.7 10.0.0.8]"},
		{"web.service.prod.acme.example.", dns.TypeA, domain, view, "consul balancers: [10.0.0.7 10.0.0.8]"},
		{"web.service.dc1.consul.", dns.TypeA, domain, view, "consul balancers: [10.0.0.7 10.0.0.8]"},

		{"web.service.consul.", dns.TypeA, nil, own, "consul balancers: [192.0.2.10]"},
		{"web.service.consul.", dns.TypeAAAA, nil, own, "no address"},
		{"web.service.consul.", dns.TypeANY, nil, own, "minimal"},

		{"web.service.consul.", dns.TypeSRV, nil, view, consul},
		{"web.service.consul.", dns.TypeTXT, nil, view, consul},
		{"other.service.consul.", dns.TypeA, nil, view, consul},
		{"web.service.dc3.consul.", dns.TypeA, nil, view, consul},
		{"web.service.a.dc1.consul.", dns.TypeA, nil, view, consul},
		{"tag.web.service.consul.", dns.TypeA, nil, view, consul},
		{"web.node.consul.", dns.TypeA, nil, view, consul},
		{"web.services.consul.", dns.TypeA, nil, view, consul},
		{"web.consul.", dns.TypeA, nil, view, consul},
		{"service.consul.", dns.TypeA, nil, view, consul},
		{"consul.", dns.TypeA, nil, view, consul},
		{"other.acme.test.", dns.TypeA, nil, view, "added: other.service.consul.@192.0.2.53:8600, then other.acme.test.@192.0.2.54:53"},
		{"x.web.acme.test.", dns.TypeA, nil, view, "recursor: x.web.acme.test.@192.0.2.54:53"},
		{"web.service.example.", dns.TypeA, nil, view, "recursor: web.service.example.@192.0.2.54:53"},
		{"web.service.consul.", dns.TypeA, nil, nobody, consul},
		{"web.service.consul.", dns.TypeA, nil, nil, consul},
	} {
		snap := *snapshotFor(t, test.settings)
		snap.lb = newBalanced(test.view, snap.settings, snap.own)
		want := strings.ReplaceAll(test.want, "%s", test.name)
		if got := verdict(t, &snap, test.name, test.typ, dns.ClassINET); got != want {
			t.Errorf("%s %s: %s, want %s", test.name, dns.TypeToString[test.typ], got, want)
		}
	}
	snap := *snapshotFor(t, nil)
	snap.lb = newBalanced(view, snap.settings, snap.own)
	if got := verdict(t, &snap, "web.service.consul.", dns.TypeA, dns.ClassHESIOD); !strings.HasPrefix(got, "consul: ") {
		t.Errorf("class HS: %s", got)
	}
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	s := snapshotFor(t, func(s *configs.Settings) {
		s.DNSAllow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	})
	s.own[netip.MustParseAddr("198.51.100.1")] = true
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "11.1.2.3": false, "2001:db8::1": true, "2001:db9::1": false, "127.0.0.1": true, "::1": true, "198.51.100.1": true, "198.51.100.2": false,
	} {
		if got := s.allowed(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

func TestUDPLimit(t *testing.T) {
	t.Parallel()
	s := snapshotFor(t, nil)
	for _, test := range []struct{ opt, size, want int }{{0, 512, 512}, {0, 4096, 512}, {30, 512, 512}, {30, 800, 800}, {30, 4096, 1232}} {
		if got := s.udpLimit(&wire.Query{OPT: test.opt, UDPSize: test.size}); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}
