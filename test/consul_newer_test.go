package test

import (
	"maps"
	"net/netip"
	"strings"
	"testing"

	"panteras/internal/lab"

	"github.com/miekg/dns"
)

// newerConsul is an upstream that has what a real Consul has and treats
// questions and answers as Consul does since 1.19: they come back in lower case.
func newerConsul(t *testing.T, real netip.AddrPort) *lab.Upstream {
	t.Helper()
	return lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if q.Msg == nil {
			return nil
		}
		asked := q.Msg.Question[0]
		all, err := ask(real, question{asked.Name, asked.Qtype, transport{"tcp", 0}})
		if err != nil {
			return nil
		}
		return []lab.Action{lab.Reply(func(_ *lab.Query, reply *dns.Msg) {
			reply.Rcode, reply.Answer, reply.Ns = all.Rcode, all.Answer, all.Ns
			reply.Extra = append(all.Extra, reply.Extra...)
		})}
	}, lab.LikeConsul119())
}

// mixed spells a name as nobody stores it.
func mixed(name string) string {
	letters := []byte(strings.ToLower(name))
	for i := 0; i < len(letters); i += 2 {
		letters[i] = strings.ToUpper(string(letters[i]))[0]
	}
	return string(letters)
}

// A Consul that spells names its own way does not change what clients see.
func TestAnswersOfANewerConsul(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{Extra: meshConsul})
	fill(t, node)
	newer := newerConsul(t, node.DNS)
	f := startForwarder(t, newer.Addr, newRecursor(t, onlyExample).Addr, ptrFlag)
	for _, form := range append(serviceForms, moreForms...) {
		t.Run(form.what, func(t *testing.T) {
			name := mixed(form.name)
			all := whole(t, newer.Addr, name, form.qtype)
			if len(all.Answer) != form.records || all.Question[0].Name != strings.ToLower(dns.Fqdn(name)) {
				t.Fatalf("this is not what a newer Consul with %d records answers:\n%v", form.records, all)
			}
			for _, qtype := range askedTypes {
				all := whole(t, newer.Addr, name, qtype)
				for _, over := range transports {
					compare(t, f, newer.Addr, question{name, qtype, over}, all)
				}
			}
			for _, over := range transports {
				q := question{name, form.qtype, over}
				older, got := owners(mustAsk(t, node.DNS, q)), owners(mustAsk(t, f.Addr, q))
				if older[dns.Fqdn(name)] && !maps.Equal(older, got) {
					t.Errorf("%v: an older Consul spells the owners %v, now they are %v", q, older, got)
				}
			}
		})
	}
}

// owners returns the owners of an answer's records as they are spelled.
func owners(a answer) map[string]bool {
	found := map[string]bool{}
	for _, rr := range a.Answer {
		found[rr.Header().Name] = true
	}
	return found
}
