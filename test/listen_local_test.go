package test

import (
	"fmt"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// The names of this host are answered here, both ways; what is not known of them
// is NODATA, and nobody upstream hears of it.
func TestNamesOfThisHost(t *testing.T) {
	t.Parallel()
	d := sealed(t)
	eachNetwork(t, func(t *testing.T, network string) {
		for _, name := range []string{"node-7", "node-7.example.net", "NODE-7.Example.NET"} {
			wantAddress(t, d.ask(t, network, ednsQuery(name, dns.TypeA)), "10.0.0.5")
			for _, qtype := range []uint16{dns.TypeAAAA, dns.TypeMX, dns.TypeSRV, dns.TypeTXT, dns.TypeHTTPS, 65280} {
				reply := d.ask(t, network, ednsQuery(name, qtype))
				if _, soa := first[*dns.SOA](reply.Ns); reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 0 || !soa {
					t.Errorf("want NODATA with an SOA, got:\n%v", reply)
				}
			}
		}
		reply := d.ask(t, network, ednsQuery("5.0.0.10.in-addr.arpa", dns.TypePTR))
		if ptr, ok := first[*dns.PTR](reply.Answer); !ok || len(reply.Answer) != 1 || ptr.Ptr != "node-7.example.net." {
			t.Errorf("want the PTR of the host's own address, got:\n%v", reply)
		}
	})
}

// localhost and all below it is this host (RFC 6761), whoever is asked.
func TestLocalhost(t *testing.T) {
	t.Parallel()
	d := sealed(t)
	for _, name := range []string{"localhost", "a.localhost", "a.b.LOCALHOST"} {
		wantAddress(t, d.ask(t, "udp", ednsQuery(name, dns.TypeA)), "127.0.0.1")
		reply := d.ask(t, "udp", ednsQuery(name, dns.TypeAAAA))
		if a, ok := first[*dns.AAAA](reply.Answer); !ok || a.AAAA.String() != "::1" {
			t.Errorf("want ::1, got:\n%v", reply)
		}
		reply = d.ask(t, "udp", ednsQuery(name, dns.TypeTXT))
		if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 0 {
			t.Errorf("want NODATA, got:\n%v", reply)
		}
	}
}

// Zones that no server of the Internet can know anything about exist here, empty
// (RFC 6303, RFC 6761).
func TestEmptyZones(t *testing.T) {
	t.Parallel()
	d := sealed(t)
	zones := map[string]string{
		"x.invalid": "invalid.", "a.b.invalid": "invalid.",
		"9.9.9.10.in-addr.arpa":        "10.in-addr.arpa.",
		"1.0.16.172.in-addr.arpa":      "16.172.in-addr.arpa.",
		"1.0.31.172.in-addr.arpa":      "31.172.in-addr.arpa.",
		"1.2.168.192.in-addr.arpa":     "168.192.in-addr.arpa.",
		"9.9.254.169.in-addr.arpa":     "254.169.in-addr.arpa.",
		"9.9.9.0.in-addr.arpa":         "0.in-addr.arpa.",
		"1.113.0.203.in-addr.arpa":     "113.0.203.in-addr.arpa.",
		"1.0.0.0.0.0.0.0.d.f.ip6.arpa": "d.f.ip6.arpa.",
		"1.8.e.f.ip6.arpa":             "8.e.f.ip6.arpa.",
	}
	for name, zone := range zones {
		eachNetwork(t, func(t *testing.T, network string) {
			reply := d.ask(t, network, ednsQuery(name, dns.TypePTR))
			if soa, ok := first[*dns.SOA](reply.Ns); reply.Rcode != dns.RcodeNameError || !ok || soa.Hdr.Name != zone {
				t.Errorf("%s: want NXDOMAIN with the SOA of %s, got:\n%v", name, zone, reply)
			}
		})
	}
	for _, qtype := range []uint16{dns.TypeSOA, dns.TypeNS} {
		if reply := d.ask(t, "udp", ednsQuery("10.in-addr.arpa", qtype)); reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 {
			t.Errorf("want one record at the top of the zone, got:\n%v", reply)
		}
	}
}

// What looks like those zones and is not goes where everything goes.
func TestNotEmptyZones(t *testing.T) {
	t.Parallel()
	u := scripted(t, always(trueAddress))
	d := startDNSD(t, to("--dns-upstreams", u), to("--consul-dns", nobody(t)))
	for _, name := range []string{
		"8.8.8.8.in-addr.arpa", "1.0.15.172.in-addr.arpa", "1.0.32.172.in-addr.arpa", "1.1.64.100.in-addr.arpa",
		"xinvalid", "invalid.org", "localhost.org", "xlocalhost", "node-7.example.org", "x.node-7.example.net", "arpa", "10.ip6.arpa",
	} {
		wantAddress(t, d.ask(t, "udp", ednsQuery(name, dns.TypeA)), trueAddress)
	}
}

// The longest suffix wins, at the boundary of a label, in whatever order and case
// the routes and the names were written.
func TestRoutes(t *testing.T) {
	t.Parallel()
	upstreams := map[string]*lab.Upstream{}
	for i, who := range []string{"consul", "recursor", "corp", "foo", "reverse"} {
		upstreams[who] = scripted(t, always(fmt.Sprintf("192.0.2.%d", i+1)))
	}
	d := startDNSD(t, to("--consul-dns", upstreams["consul"]), to("--dns-upstreams", upstreams["recursor"]), "--consul-domain=dc.example.net",
		to("--dns-routes=corp", upstreams["corp"])+" "+to("Foo.CORP", upstreams["foo"])+" "+to("10.in-addr.arpa", upstreams["reverse"]))
	for name, who := range map[string]string{
		"corp": "corp", "a.corp": "corp", "xfoo.corp": "corp", "foocorp": "recursor", "a.foo.corp": "foo", "foo.corp": "foo", "A.B.FOO.Corp": "foo",
		"foo.corp.org": "recursor", "xcorp": "recursor",
		"web.service.consul": "consul", "web.service.dc.example.net": "consul", "WEB.Service.DC.example.NET": "consul",
		"notconsul": "recursor", "xconsul": "recursor", "web.service.xconsul": "recursor", "consul.org": "recursor", "consul.example.net": "recursor",
		"xdc.example.net": "recursor", "example.net": "recursor",
		"1.2.3.10.in-addr.arpa": "reverse",
	} {
		eachNetwork(t, func(t *testing.T, network string) {
			var want string
			for i, known := range []string{"consul", "recursor", "corp", "foo", "reverse"} {
				if known == who {
					want = fmt.Sprintf("192.0.2.%d", i+1)
				}
			}
			if err := hasAddress(d.ask(t, network, ednsQuery(name, dns.TypeA)), want); err != nil {
				t.Errorf("%s should go to %s: %v", name, who, err)
			}
		})
	}
	if n := upstreams["consul"].Asked("web.service.consul", dns.TypeA); n != 0 {
		t.Error("Consul was asked for a name that is not of its domain")
	}
}

// Consul is asked for reverse names of the networks that the settings list, and no
// others; the host's own addresses stay ours, and nobody is asked for those of the tunnel.
func TestReverseNames(t *testing.T) {
	t.Parallel()
	consul, recursor := scripted(t, always("192.0.2.1")), scripted(t, always("192.0.2.2"))
	d := startDNSD(t, to("--consul-dns", consul), to("--dns-upstreams", recursor), "--dns-ptr=10.1.0.0/16,203.0.113.0/24,2001:db8:1::/48",
		"--tunnel-endpoint=vpn.example.net", "--tunnel-cidr=198.18.8.0/22", "--tunnel-cidr6=2001:db9::/64")
	for name, want := range map[string]string{
		"7.5.1.10.in-addr.arpa":    "192.0.2.1",
		"7.113.0.203.in-addr.arpa": "192.0.2.1",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa": "192.0.2.1",
		"8.8.8.8.in-addr.arpa":     "192.0.2.2",
		"1.12.18.198.in-addr.arpa": "192.0.2.2",
	} {
		if err := hasAddress(d.ask(t, "udp", ednsQuery(name, dns.TypeA)), want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{
		"7.5.2.10.in-addr.arpa", "1.8.18.198.in-addr.arpa", "254.11.18.198.in-addr.arpa", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.b.d.0.1.0.0.2.ip6.arpa",
	} {
		wantRcode(t, d.ask(t, "udp", ednsQuery(name, dns.TypePTR)), dns.RcodeNameError)
	}
	if reply := d.ask(t, "udp", ednsQuery("5.0.0.10.in-addr.arpa", dns.TypePTR)); len(reply.Answer) != 1 {
		t.Errorf("the host's own address is not known: %v", reply)
	}
}
