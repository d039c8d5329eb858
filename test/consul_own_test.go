package test

import (
	"testing"

	"panteras/internal/lab"

	"github.com/miekg/dns"
)

// Two types are not Consul's to answer, whatever the name: ANY (RFC 8482), and
// DS, which Consul would hand on to its recursors.
func TestAnyAndDSAreNotAskedOfConsul(t *testing.T) {
	t.Parallel()
	consul := lab.NewUpstream(t, lab.Script(lab.Reply(lab.Answers("@ 0 IN A 10.1.0.1"))), lab.LikeConsul119())
	f := startForwarder(t, consul.Addr, newRecursor(t, onlyExample).Addr)
	for _, form := range append(serviceForms, moreForms...) {
		if !dns.IsSubDomain("consul.", dns.CanonicalName(form.name)) {
			continue
		}
		for _, over := range transports {
			q := question{form.name, dns.TypeANY, over}
			got := mustAsk(t, f.Addr, q)
			checkFrame(t, q, got, udpSize)
			if len(got.Answer) != 1 || got.Answer[0].Header().Rrtype != dns.TypeHINFO || data(got.Answer) != `"RFC8482" ""` {
				t.Errorf("%v: not the minimal answer: %v", q, got.Answer)
			}
			q.qtype = dns.TypeDS
			got = mustAsk(t, f.Addr, q)
			checkFrame(t, q, got, udpSize)
			if got.Rcode != dns.RcodeSuccess || len(got.Answer) > 0 || len(got.Ns) != 1 || got.Ns[0].Header().Name != "consul." || got.Ns[0].Header().Ttl != 0 {
				t.Errorf("%v: not NODATA that nobody may keep:\n%v", q, got)
			}
		}
		for _, qtype := range []uint16{dns.TypeANY, dns.TypeDS} {
			if n := consul.Asked(form.name, qtype); n > 0 {
				t.Errorf("Consul was asked %d times for %s %s", n, form.name, dns.Type(qtype))
			}
		}
	}
}
