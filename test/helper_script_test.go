package test

import (
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// attempt is a query that an upstream got, and how often it got that question
// before, this time included: what our server's own probes ask does not count.
type attempt struct {
	*lab.Query
	nth int
}

// name is the name that was asked, in lower case.
func (a attempt) name() string { return strings.ToLower(a.Msg.Question[0].Name) }

// qtype is the type that was asked.
func (a attempt) qtype() uint16 { return a.Msg.Question[0].Qtype }

// scripted starts an upstream that treats the names of the test as the script
// says, and answers what our server asks on its own account, to see whether the
// upstream lives and whether it leads back to us, with NXDOMAIN.
func scripted(t testing.TB, script func(attempt) []lab.Action, options ...lab.UpstreamOption) *lab.Upstream {
	t.Helper()
	var mu sync.Mutex
	seen := map[dns.Question]int{}
	return lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if q.Msg == nil {
			t.Errorf("an upstream got a message that is no query: %x", q.Raw)
			return nil
		}
		a := attempt{Query: q}
		if isProbe(a) {
			return []lab.Action{lab.Reply(lab.Rcode(dns.RcodeNameError))}
		}
		key := q.Msg.Question[0]
		key.Name = a.name()
		mu.Lock()
		seen[key]++
		a.nth = seen[key]
		mu.Unlock()
		return script(a)
	}, options...)
}

// isProbe knows what our server asks on its own account: `. NS` of a recursor, the
// SOA of the domain of Consul, and TXT of a random name to find loops.
func isProbe(a attempt) bool {
	switch a.qtype() {
	case dns.TypeNS:
		return a.name() == "."
	case dns.TypeSOA:
		return a.name() == "consul."
	case dns.TypeTXT:
		return strings.HasSuffix(a.name(), ".test.") && len(a.name()) == 32+len(".test.")
	}
	return false
}

// always answers each query with the address.
func always(address string) func(attempt) []lab.Action {
	return func(attempt) []lab.Action { return answerWith(address) }
}

// answerWith is the script of a good answer.
func answerWith(address string) []lab.Action {
	return []lab.Action{lab.Reply(lab.Answers("@ 0 IN A " + address))}
}

// rcodeOnly answers each query with a code and no records.
func rcodeOnly(rcode int) func(attempt) []lab.Action {
	return func(attempt) []lab.Action { return []lab.Action{lab.Reply(lab.Rcode(rcode))} }
}

// noAnswer answers nothing.
func noAnswer(attempt) []lab.Action { return nil }

// via is a route that a query can take: the flag that names its servers, and a
// name that goes there.
type via struct {
	route, flag, name string
}

// bothRoutes are the two that have upstreams.
var bothRoutes = []via{
	{"consul", "--consul-dns", "web.service.consul"},
	{"recursor", "--dns-upstreams", "www.example.org"},
}

// eachRoute runs a test for each route, side by side.
func eachRoute(t *testing.T, test func(*testing.T, via)) {
	t.Parallel()
	for _, v := range bothRoutes {
		t.Run(v.route, func(t *testing.T) {
			t.Parallel()
			test(t, v)
		})
	}
}

// eachNetwork calls for UDP and for TCP, one after the other.
func eachNetwork(t *testing.T, test func(*testing.T, string)) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) { test(t, network) })
	}
}
