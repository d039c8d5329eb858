package test

import (
	"fmt"
	"slices"
	"testing"

	"panteras/internal/lab"

	"github.com/miekg/dns"
)

// The crowd of these tests: as many clients as ask for one hot name at once.
const crowdSize = 64

// An answer never comes from before its question, however many others ask for
// the same name and share upstream queries: an instance that Consul has just
// written is in the very next answer, one that was just removed is not.
func TestTheVeryNextAnswerIsNew(t *testing.T) {
	t.Parallel()
	eachConsul(t, func(t *testing.T, version string) {
		changes := 2 * 1000 // an instance comes, and goes
		if version != "1.14.4" {
			changes = 2 * 100
		}
		theVeryNextAnswerIsNew(t, version, changes)
	})
}

// theVeryNextAnswerIsNew writes so many changes into a Consul, and asks after each.
func theVeryNextAnswerIsNew(t *testing.T, version string, changes int) {
	t.Helper()
	node := lab.Consul(t, lab.ConsulOptions{Version: version})
	f := startForwarder(t, node.DNS, newRecursor(t, onlyExample).Addr, withMetrics(t))
	const name = "flip.service.consul"
	shapes := []transport{{"udp", 0}, {"udp", 1232}}
	var questions []question
	for i := range crowdSize {
		questions = append(questions, question{name, dns.TypeA, shapes[i%2]})
	}
	c := startCrowd(t, f.Addr, questions, nil)

	stale := 0
	for i := range changes {
		instance := lab.Service{Name: "flip", Port: 80, Address: fmt.Sprintf("10.200.%d.%d", i/250, i%250+1)}
		var want []string
		if i%2 == 0 {
			node.Register(t, instance)
			want = []string{instance.Address}
		} else {
			node.Deregister(t, instance)
		}
		q := question{name, dns.TypeA, shapes[i/2%2]}
		got := mustAsk(t, f.Addr, q)
		for range 50 {
			if got.Rcode != dns.RcodeServerFailure {
				break
			}
			got = mustAsk(t, f.Addr, q) // a machine that stood still: no answer of Consul's, so neither old nor new
		}
		if fresh(got, want) {
			continue
		}
		if direct := mustAsk(t, node.DNS, q); !fresh(direct, want) {
			t.Fatalf("Consul itself does not tell what was written into it, so this test proves nothing:\n%v", direct)
		}
		stale++
	}
	c.stop()
	if stale > 0 {
		t.Errorf("%d of %d answers were older than their question", stale, changes)
	}
	shared := metric(t, f, "panteras_dns_shared_total")
	t.Logf("%d answers to the crowd, %d shared", c.answers.Load(), shared)
	if shared < changes {
		t.Errorf("only %d queries shared an upstream query: the crowd was none", shared)
	}
}

// fresh says whether an answer has these addresses, or says NXDOMAIN for none.
func fresh(a answer, want []string) bool {
	if len(want) == 0 {
		return a.Rcode == dns.RcodeNameError && len(a.Answer) == 0
	}
	return a.Rcode == dns.RcodeSuccess && slices.Equal(addresses(a.Answer), want)
}
