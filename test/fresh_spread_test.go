package test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"panteras/internal/lab"

	"github.com/miekg/dns"
)

// Clients take the first address they are given. When they share an answer,
// the first address is as evenly spread as in Consul's own shuffled answers.
func TestSharedAnswersSpreadTheLoad(t *testing.T) {
	t.Parallel()
	real := func(t *testing.T) netip.AddrPort {
		node := lab.Consul(t, lab.ConsulOptions{})
		node.Register(t, lab.Instances("web", 10, 10)...)
		return node.DNS
	}
	// Many instances, or a busy host: what is asked meanwhile leaves before the answer is there.
	slow := func(t *testing.T) netip.AddrPort {
		var instances []string
		for i := range 10 {
			instances = append(instances, fmt.Sprintf("@ 0 IN A 10.1.0.%d", i+1))
		}
		return lab.NewUpstream(t, lab.Script(lab.Delay(40*time.Millisecond), lab.Reply(lab.Answers(instances...))), lab.LikeConsul119()).Addr
	}
	for name, c := range map[string]struct {
		consul    func(*testing.T) netip.AddrPort
		over      transport
		addresses int // that Consul gives one client
		clients   int
	}{
		"with EDNS":               {real, transport{"udp", 1232}, 10, crowdSize},
		"without EDNS":            {real, transport{"udp", 0}, 3, crowdSize},
		"of a slow Consul":        {slow, transport{"udp", 1232}, 10, 4 * crowdSize},
		"without EDNS and slowly": {slow, transport{"udp", 0}, 3, 4 * crowdSize},
	} {
		t.Run(name, func(t *testing.T) {
			f := startForwarder(t, c.consul(t), newRecursor(t, onlyExample).Addr, withMetrics(t))
			chi := spread(t, f, c.over, c.addresses, c.clients)
			// Chance exceeds the limit once in a thousand times. Twice in a row is no chance.
			if chi > chiSquared9 {
				t.Logf("chi-squared %.1f, once more", chi)
				chi = spread(t, f, c.over, c.addresses, c.clients)
			}
			if chi > chiSquared9 {
				t.Errorf("the first address is not evenly spread: chi-squared is %.1f, evenly spread it exceeds %.1f once in a thousand times", chi, chiSquared9)
			}
		})
	}
}

// chiSquared9 is what the sum of squares exceeds with a probability of 0.001
// in a fair draw of ten kinds.
const chiSquared9 = 27.9

// spread asks for an address from many clients at once, and returns how far
// the first ones are from evenly spread (chi-squared).
func spread(t *testing.T, f *forwarder, over transport, perAnswer, clients int) float64 {
	t.Helper()
	const answers = 10000
	var (
		mu    sync.Mutex
		first = map[string]int{}
		seen  int
		odd   = map[int]int{}
	)
	questions := make([]question, clients)
	for i := range questions {
		name := "web.service.consul"
		if i%2 == 0 {
			name = mixed(name) // shares with the others all the same
		}
		questions[i] = question{name, dns.TypeA, over}
	}
	before := metric(t, f, "panteras_dns_shared_total")
	c := startCrowd(t, f.Addr, questions, func(reply *dns.Msg) {
		if reply.Rcode == dns.RcodeServerFailure {
			return // a machine that stood still: no answer of Consul's
		}
		mu.Lock()
		defer mu.Unlock()
		found := addresses(reply.Answer)
		if len(found) != perAnswer {
			odd[len(found)]++
		}
		if seen == answers || len(found) == 0 {
			return
		}
		first[found[0]]++
		seen++
	})
	lab.Eventually(t, 2*time.Minute, "ten thousand answers", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return seen == answers
	})
	c.stop()
	if len(odd) > 0 {
		t.Errorf("Consul gives one client %d addresses; how many answers had how many others: %v", perAnswer, odd)
	}
	shared := metric(t, f, "panteras_dns_shared_total") - before
	t.Logf("%d answers, %d shared; first addresses: %v", c.answers.Load(), shared, first)
	if shared < answers/4 {
		t.Errorf("only %d of %d answers were shared", shared, c.answers.Load())
	}
	const expected = float64(answers) / 10
	chi := 0.0
	for _, n := range first {
		chi += (float64(n) - expected) * (float64(n) - expected) / expected
	}
	return chi + float64(10-len(first))*expected
}
