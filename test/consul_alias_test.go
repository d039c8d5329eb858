package test

import (
	"strings"
	"testing"

	"panteras/internal/lab"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// Where Consul's domain is another one, its names resolve under that, and under
// consul. as well, as they do everywhere else.
func TestConsulUnderAnotherDomain(t *testing.T) {
	t.Parallel()
	eachConsul(t, func(t *testing.T, version string) {
		node := lab.Consul(t, lab.ConsulOptions{Version: version, Domain: "cloudnil.com"})
		node.Register(t, lab.Instances("python", 4, 4, "haproxy")...)
		node.Register(t, lab.Instances("web", 10, 10)...)
		r := newRecursor(t, onlyExample, "cloudnil.com.")
		f := startForwarder(t, node.DNS, r.Addr, "--consul-domain=cloudnil.com")
		names := []string{
			"python.service", "PyThOn.SerVice", "haproxy.python.service", "_python._haproxy.service.dc1", "web.service",
			"node-1.node", "lab-server.node.dc1", "0a010001.addr.dc1", "nothere.service", "nothere.node", "some.thing",
		}
		domain := renaming{from: "cloudnil.com.", to: "consul."}
		for _, name := range names {
			for _, qtype := range askedTypes {
				own := whole(t, node.DNS, name+".cloudnil.com", qtype)
				for _, over := range transports {
					compare(t, f, node.DNS, question{name + ".cloudnil.com", qtype, over}, own)
					domain.compare(t, f, question{name + ".consul", qtype, over}, mustAsk(t, node.DNS, question{name + ".cloudnil.com", qtype, over}), own)
				}
			}
		}

		// The names that an answer points to are those of Consul's own domain, and lead on through the forwarder.
		srv := mustAsk(t, f.Addr, question{"python.service.consul", dns.TypeSRV, transport{"tcp", 0}})
		for _, rr := range srv.Answer {
			target := rr.(*dns.SRV).Target
			if !strings.HasSuffix(target, ".cloudnil.com.") {
				t.Errorf("an SRV record points to %s, Consul's points into cloudnil.com.", target)
			}
			if got := mustAsk(t, f.Addr, question{target, dns.TypeA, transport{"udp", 0}}); len(got.Answer) != 1 {
				t.Errorf("the target %s has %d addresses through the forwarder", target, len(got.Answer))
			}
		}
		if n := len(srv.Answer); n != 4 {
			t.Errorf("there are %d SRV records of 4", n)
		}
		none := mustAsk(t, f.Addr, question{"nothere.service.consul", dns.TypeA, transport{"udp", 0}})
		if got := none.Ns; len(got) != 1 || got[0].Header().Name != "consul." || none.Rcode != dns.RcodeNameError {
			t.Errorf("an unknown name under consul. has not NXDOMAIN with the SOA of consul.:\n%v", none)
		}
		if asked := r.asked(); len(asked) > 0 {
			t.Errorf("the recursor was asked for %q", asked)
		}
	})
}

// renaming is how answers of Consul's look under another suffix: the name asked
// for, and the owner of the SOA record, are the client's. All else is Consul's.
type renaming struct {
	from, to string // the zone, as the SOA record shows it
}

// compare holds the answer to q, which has the client's name, against want, the
// one that Consul gives under its own name, and all, which is the same over TCP.
func (r renaming) compare(t *testing.T, f *forwarder, q question, want, all answer) {
	t.Helper()
	got := mustAsk(t, f.Addr, q)
	if !checkFrame(t, q, got, udpSize) {
		return
	}
	if q.qtype == dns.TypeSRV && !got.Truncated {
		want = all
		for name, pair := range map[string][2][]dns.RR{"answer": {got.Answer, want.Answer}, "authority": {got.Ns, want.Ns}} {
			if diff := cmp.Diff(normal(r.renamed(pair[1], want, q)), normal(pair[0])); diff != "" {
				t.Errorf("%v: the %s section is not Consul's (-want +got):\n%s", q, name, diff)
			}
		}
		if strange := beyond(normal(got.Extra), normal(want.Extra)); len(strange) > 0 {
			t.Errorf("%v: additional records that Consul does not have: %v", q, strange)
		}
		if q.over.network == "tcp" && len(addresses(got.Extra)) != len(addresses(want.Extra)) {
			t.Errorf("%v: %d of %d additional addresses over TCP", q, len(addresses(got.Extra)), len(addresses(want.Extra)))
		}
		return
	}
	got.Truncated = got.Truncated && q.qtype != dns.TypeSRV
	compareFlags(t, q, got, want)
	if q.qtype == dns.TypeSRV {
		return
	}
	compareSection(t, q, "answer", got.Answer, r.renamed(want.Answer, want, q), r.renamed(all.Answer, all, q))
	compareSection(t, q, "authority", got.Ns, r.renamed(want.Ns, want, q), r.renamed(all.Ns, all, q))
	compareSection(t, q, "additional", got.Extra, want.Extra, all.Extra)
}

// renamed returns the records of a section of a as q's client should see them.
func (r renaming) renamed(section []dns.RR, a answer, q question) []dns.RR {
	out := make([]dns.RR, len(section))
	for i, rr := range section {
		out[i] = dns.Copy(rr)
		switch {
		case strings.EqualFold(rr.Header().Name, a.Question[0].Name):
			out[i].Header().Name = dns.Fqdn(q.name)
		case rr.Header().Rrtype == dns.TypeSOA && strings.EqualFold(rr.Header().Name, r.from):
			out[i].Header().Name = r.to
		}
	}
	return out
}
