package test

import (
	"fmt"
	"net/netip"
	"testing"

	"panteras/internal/lab"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// legacyIP is CONSUL_IP in these tests.
const legacyIP = "10.0.0.1"

// legacyFlags make the forwarder do what PanteraS's dnsmasq did.
var legacyFlags = []string{"--dns-mode=legacy", "--consul-ip=" + legacyIP, "--ip=" + legacyIP, "--hostname=node1", "--fqdn=node1"}

// startDnsmasq starts dnsmasq as PanteraS started it on a slave. Its recursors
// come from resolv.conf there, which knows no ports.
func startDnsmasq(t *testing.T, consul, recursors netip.AddrPort, flags ...string) *lab.DnsmasqServer {
	t.Helper()
	server := func(a netip.AddrPort) string { return fmt.Sprintf("%s#%d", a.Addr(), a.Port()) }
	return lab.Dnsmasq(t, append([]string{
		"--server=/consul/" + server(consul), "--host-record=node1," + legacyIP, "--address=/consul/" + legacyIP,
		"--server=" + server(recursors),
	}, flags...)...)
}

// legacyNames are names under Consul's domain, there or not.
var legacyNames = []string{
	"web.service.consul", "nxsvc.service.consul", "consul", "WEB.Service.CONSUL", "web.service.dc1.consul", "v1.2.web.service.consul",
	"_web._tcp.service.consul", "node-1.node.consul", "node-2.node.dc1.consul", "nothere.node.consul", "0a010001.addr.dc1.consul",
	"nearby.query.consul", "some.thing.else.consul", "six.service.consul",
}

// legacyTypes are asked of each.
var legacyTypes = []uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeTXT, dns.TypeMX, dns.TypeANY, dns.TypeNS, dns.TypeSOA, dns.TypePTR, dns.TypeCAA,
	dns.TypeCNAME, dns.TypeNAPTR, dns.TypeHINFO, 65280,
}

// Names under Consul's domain are answered in legacy mode as by dnsmasq with
// PanteraS's flags: flags, response code, records and TTL.
func TestLegacyIsDnsmasqUnderTheDomain(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{Extra: meshConsul})
	fill(t, node)
	r := newRecursor(t, onlyExample)
	ours := startForwarder(t, node.DNS, r.Addr, legacyFlags...)
	theirs := startDnsmasq(t, node.DNS, r.Addr)
	for _, name := range legacyNames {
		for _, qtype := range legacyTypes {
			for _, over := range []transport{{"udp", 0}, {"udp", udpSize}, {"tcp", 0}} {
				q := question{name, qtype, over}
				if qtype == dns.TypeSRV && over.network == "udp" {
					q.over.edns = udpSize // without, Consul gives dnsmasq some of the records only
				}
				got, want := mustAsk(t, ours.Addr, q), mustAsk(t, theirs.Addr, q)
				checkFrame(t, q, got, udpSize)
				if diff := cmp.Diff(legacyView(want), legacyView(got)); diff != "" {
					t.Errorf("%v (-dnsmasq +ours):\n%s", q, diff)
				}
			}
		}
	}
}

// So are the host's own name and what is the recursors'.
func TestLegacyIsDnsmasqBesideTheDomain(t *testing.T) {
	t.Parallel()
	consul := lab.NewUpstream(t, lab.Script(lab.Reply(lab.Rcode(dns.RcodeNameError))), lab.LikeConsul119())
	r := newRecursor(t, onlyExample)
	ours := startForwarder(t, consul.Addr, r.Addr, legacyFlags...)
	theirs := startDnsmasq(t, consul.Addr, r.Addr)
	for name, qtype := range map[string]uint16{
		"node1": dns.TypeA, "NODE1": dns.TypeA, "1.0.0.10.in-addr.arpa": dns.TypePTR, "example.com": dns.TypeA,
		"notconsul": dns.TypeA, "xconsul": dns.TypeA, "service.xconsul": dns.TypeSRV, "8.8.8.8.in-addr.arpa": dns.TypePTR,
	} {
		for _, over := range []transport{{"udp", 0}, {"udp", udpSize}, {"tcp", 0}} {
			q := question{name, qtype, over}
			got, want := mustAsk(t, ours.Addr, q), mustAsk(t, theirs.Addr, q)
			checkFrame(t, q, got, udpSize)
			if diff := cmp.Diff(legacyView(want), legacyView(got)); diff != "" {
				t.Errorf("%v (-dnsmasq +ours):\n%s", q, diff)
			}
		}
	}
	if asked := r.asked(); len(asked) == 0 {
		t.Error("nothing was the recursors'")
	}
}

// view is what a client acts upon.
type view struct {
	Rcode         string
	AA, TC, RD    bool
	RA, AD, CD    bool
	Answer        []string
	CountsOnly    int // for answers of which Consul deals some
	AuthorityType []uint16
}

// legacyView is the view of an answer. Where Consul draws lots, the number of records counts.
func legacyView(a answer) view {
	v := view{
		Rcode: dns.RcodeToString[a.Rcode], AA: a.Authoritative, TC: a.Truncated, RD: a.RecursionDesired,
		RA: a.RecursionAvailable, AD: a.AuthenticatedData, CD: a.CheckingDisabled, CountsOnly: len(a.Answer),
	}
	for _, rr := range a.Ns {
		v.AuthorityType = append(v.AuthorityType, rr.Header().Rrtype)
	}
	if len(a.Answer) < 3 || a.Question[0].Qtype == dns.TypeSRV {
		v.Answer = normal(a.Answer)
	}
	return v
}

// On masters PanteraS ran dnsmasq without the wildcard: DNSMASQ_ADDRESS=' '.
func TestABlankDnsmasqAddressTurnsLegacyOff(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{})
	node.Register(t, lab.Instances("web", 2, 2)...)
	r := newRecursor(t, onlyExample)
	on := startForwarder(t, node.DNS, r.Addr, legacyFlags...)
	off := startForwarder(t, node.DNS, r.Addr, append(legacyFlags, "--dnsmasq-address= ")...)
	for name, n := range map[string]int{"web.service.consul": 2, "nxsvc.service.consul": 0} {
		all := whole(t, node.DNS, name, dns.TypeA)
		if len(all.Answer) != n {
			t.Fatalf("Consul has %v for %s", all.Answer, name)
		}
		for _, over := range transports {
			q := question{name, dns.TypeA, over}
			if got := data(mustAsk(t, on.Addr, q).Answer); got != legacyIP {
				t.Errorf("in legacy mode, %v: %q", q, got)
			}
			compare(t, off, node.DNS, q, all)
		}
	}
}
