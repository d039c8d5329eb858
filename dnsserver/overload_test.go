package dnsserver

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/configs"
)

// Beyond laneLimit the oldest query is given up, which its client has most likely asked again.
func TestOverloadGivesUpTheOldest(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.client()
	const over = 10
	var asked []*dns.Msg
	seen := map[string]*upQuery{}
	for i := range laneLimit + over {
		asked = append(asked, c.ask(fmt.Sprintf("web-%d.service.consul.", i), dns.TypeA, 1232))
		r.step()
		q := r.consul.want()
		seen[q.Question[0].Name] = q
	}
	if got := r.w.stats.drops[dropOverload].Load(); got != over {
		t.Errorf("%d queries were given up, want %d", got, over)
	}
	if r.w.queries.used() != laneLimit || r.w.lanes[asked0Lane(r)].n != laneLimit {
		t.Errorf("%d queries are in flight, want %d", r.w.queries.used(), laneLimit)
	}
	// A recursor's names are another lane: they are not hurt.
	other := r.client()
	ask := other.ask("a.example.", dns.TypeA, 0)
	r.step()
	r.rec.want().reply(0, "@ 0 IN A 192.0.2.1")
	r.step()
	other.answers(ask)

	for i, q := range asked {
		seen[q.Question[0].Name].reply(0, "@ 0 IN A 10.1.0.1")
		r.step()
		if i < over {
			c.silent()
		} else {
			c.answers(q)
		}
	}
	r.idle()
}

// asked0Lane is the lane of Consul's names.
func asked0Lane(r *rig) int {
	name := wireName("web.service.consul")
	return r.w.cfg.routes.Lookup(name).Target
}

// Given up while they gather, and while they lead: the others of the flight still get their answers.
func TestOverloadOfEqualQuestions(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.client()
	var asked []*dns.Msg
	for range laneLimit + 5 {
		asked = append(asked, c.ask(web, dns.TypeA, 1232))
		r.step()
	}
	// The first one, in flight alone, was given up with the four after it; who gathered behind left when it ended.
	queries := []*upQuery{r.consul.want(), r.consul.want()}
	r.consul.quiet()
	for _, q := range queries {
		q.reply(0, "@ 0 IN A 10.1.0.1")
		r.step()
	}
	answered := map[uint16]int{}
	for m := c.answer(); m != nil; m = c.answer() {
		answered[m.Id]++
	}
	r.pass(waits[crowdTimer])
	for q := r.consul.next(); q != nil; q = r.consul.next() { // those who came after the second one was sent
		q.reply(0, "@ 0 IN A 10.1.0.1")
		r.step()
		for m := c.answer(); m != nil; m = c.answer() {
			answered[m.Id]++
		}
	}
	for i, q := range asked[5:] {
		if answered[q.Id] == 0 {
			t.Fatalf("query %d got no answer", i+5)
		}
	}
	r.idle()
}

func TestAllQueriesEndWithoutAnUpstream(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.neverDown()
	c := r.client()
	var asked []*dns.Msg
	for i := range 50 {
		asked = append(asked, c.ask(fmt.Sprintf("web-%d.service.consul.", i%10), dns.TypeA, 1232))
	}
	r.step()
	var took time.Duration
	for r.w.queries.used() > 0 && took < 10*time.Second {
		r.pass(50 * time.Millisecond)
		took += 50 * time.Millisecond
	}
	if took < 4*time.Second || took >= 5*time.Second {
		t.Errorf("given up after %v: a client waits 5 s", took)
	}
	got := map[uint16]*dns.Msg{}
	for m := c.answer(); m != nil; m = c.answer() {
		got[m.Id] = m
	}
	for _, q := range asked {
		m := got[q.Id]
		if m == nil || m.Rcode != dns.RcodeServerFailure {
			t.Fatalf("to %d: %v", q.Id, m)
		}
		if ede, ok := m.IsEdns0().Option[0].(*dns.EDNS0_EDE); !ok || (ede.InfoCode != 22 && ede.InfoCode != 23) {
			t.Errorf("got %v", m)
		}
	}
	r.idle()
}

// A port that nobody listens on is known at once, and the next server is asked without a wait.
func TestAnUnreachableServerFailsOverAtOnce(t *testing.T) {
	t.Parallel()
	dead := closed(t)
	r := newRig(t, func(s *configs.Settings) { s.ConsulDNS = append(s.ConsulDNS[:0:0], dead, s.ConsulDNS[0]) })
	c := r.client()
	for i := range 20 {
		q := c.ask(fmt.Sprintf("web-%d.service.consul.", i), dns.TypeA, 0)
		r.step() // no time passes
		r.consul.want().reply(0, "@ 0 IN A 10.1.0.1")
		r.step()
		c.answers(q)
	}
	r.idle()
}
