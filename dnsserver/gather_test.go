package dnsserver

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/configs"
)

const web = "web.service.consul."

// The promise behind all sharing: what a client is told comes from a query that was sent after its own came.
func TestAQueryIsNeverAnsweredByAnOlderOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	a, b := r.client(), r.client()
	first := a.ask(web, dns.TypeA, 1232)
	r.step()
	older := r.consul.want()

	second := b.ask(web, dns.TypeA, 1232)
	r.step()
	r.consul.quiet() // it waits

	older.reply(0, "@ 0 IN A 10.1.0.1")
	r.step()
	if got := addresses(a.answers(first)); !slices.Equal(got, []string{"10.1.0.1"}) {
		t.Errorf("the first got %v", got)
	}
	b.silent()
	newer := r.consul.want() // leaves as soon as nothing is in flight
	newer.reply(0, "@ 0 IN A 10.1.0.2")
	r.step()
	if got := addresses(b.answers(second)); !slices.Equal(got, []string{"10.1.0.2"}) {
		t.Errorf("the second got %v", got)
	}
	r.idle()
}

func TestThoseWhoGatherLeaveTogether(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	leader := r.client()
	first := leader.ask(web, dns.TypeA, 1232)
	r.step()
	older := r.consul.want()
	type member struct {
		*client
		q *dns.Msg
	}
	var members []member
	for i := range 20 {
		c := r.client()
		name := web
		if i%2 == 0 {
			name = "Web.SERVICE.consul." // each gets its own spelling back
		}
		members = append(members, member{c, c.ask(name, dns.TypeA, 1232)})
		r.step()
	}
	r.consul.quiet()
	older.reply(0, "@ 0 IN A 10.1.0.1")
	r.step()
	leader.answers(first)
	r.consul.want().reply(0, "@ 0 IN A 10.1.0.1", "@ 0 IN A 10.1.0.2", "@ 0 IN A 10.1.0.3", "@ 0 IN A 10.1.0.4")
	r.consul.quiet()
	r.step()
	firsts := map[string]int{}
	for _, m := range members {
		got := addresses(m.answers(m.q)) // id and spelling are the member's
		if slices.Sort(got[1:]); len(got) != 4 {
			t.Errorf("got %v", got)
		}
		firsts[got[0]]++
	}
	for _, a := range []string{"10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"} {
		if firsts[a] != 5 { // rotated: spread as evenly as Consul's shuffle would
			t.Errorf("%s is the first address of %d of 20 answers, want 5", a, firsts[a])
		}
	}
	if got := r.w.stats.shared.Load(); got != 19 {
		t.Errorf("%d queries counted as shared, want 19", got)
	}
	r.idle()
}

// TestACrowdGathersOn has so many who ask the same that Consul is asked for them once in a millisecond at most.
func TestACrowdGathersOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	type member struct {
		*client
		q *dns.Msg
	}
	come := func(n int) (all []member) {
		for range n {
			c := r.client()
			all = append(all, member{c, c.ask(web, dns.TypeA, 1232)})
			r.step()
		}
		return all
	}
	served := func(all []member, address string) {
		t.Helper()
		for _, m := range all {
			if got := addresses(m.answers(m.q)); !slices.Equal(got, []string{address}) {
				t.Errorf("got %v, want %s", got, address)
			}
		}
	}
	first := come(1)
	alone := r.consul.want()
	crowd := come(crowded)
	alone.reply(0, "@ 0 IN A 10.1.0.1")
	r.step()
	served(first, "10.1.0.1")
	asked := r.consul.want() // behind a single one nobody is held up
	early := come(3)
	asked.reply(0, "@ 0 IN A 10.1.0.2")
	r.step()
	served(crowd, "10.1.0.2")
	late := come(2)
	r.consul.quiet()
	for _, m := range slices.Concat(early, late) {
		m.silent()
	}
	r.pass(waits[crowdTimer])
	asked = r.consul.want()
	r.consul.quiet()
	last := come(1) // after that was sent
	asked.reply(0, "@ 0 IN A 10.1.0.3")
	r.step()
	served(slices.Concat(early, late), "10.1.0.3")
	r.consul.want().reply(0, "@ 0 IN A 10.1.0.4") // five are no crowd
	r.step()
	served(last, "10.1.0.4")
	r.idle()
}

func TestGatheringIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	a, b, c := r.client(), r.client(), r.client()
	qa := a.ask(web, dns.TypeA, 1232)
	r.step()
	first := r.consul.want()
	qb := b.ask(web, dns.TypeA, 1232)
	r.step()
	r.pass(waits[gatherTimer] - time.Millisecond)
	r.consul.quiet()
	r.pass(time.Millisecond)
	second := r.consul.want() // although the first one is still in flight

	// Who comes now gathers behind the second one, not the first.
	qc := c.ask(web, dns.TypeA, 1232)
	r.step()
	first.reply(0, "@ 0 IN A 10.1.0.1")
	r.step()
	a.answers(qa)
	r.consul.quiet()
	second.reply(0, "@ 0 IN A 10.1.0.2")
	r.step()
	b.answers(qb)
	third := r.consul.want()
	third.reply(0, "@ 0 IN A 10.1.0.3")
	r.step()
	if got := addresses(c.answers(qc)); got[0] != "10.1.0.3" {
		t.Errorf("got %v", got)
	}
	r.idle()
}

func TestOnlyEqualQuestionsGather(t *testing.T) {
	t.Parallel()
	base := func() *dns.Msg { return new(dns.Msg).SetQuestion(web, dns.TypeSRV).SetEdns0(1232, false) }
	for name, test := range map[string]struct {
		change  func(m *dns.Msg)
		gathers bool
	}{
		"an equal one":        {func(*dns.Msg) {}, true},
		"another case":        {func(m *dns.Msg) { m.Question[0].Name = strings.ToUpper(web) }, true},
		"no EDNS":             {func(m *dns.Msg) { m.Extra = nil }, false},
		"another EDNS size":   {func(m *dns.Msg) { m.IsEdns0().SetUDPSize(4096) }, false},
		"DO":                  {func(m *dns.Msg) { m.IsEdns0().SetDo() }, false},
		"an option":           {func(m *dns.Msg) { m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}} }, false},
		"CD":                  {func(m *dns.Msg) { m.CheckingDisabled = true }, false},
		"no RD":               {func(m *dns.Msg) { m.RecursionDesired = false }, false},
		"another type":        {func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }, false},
		"another class":       {func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassANY }, false},
		"another name":        {func(m *dns.Msg) { m.Question[0].Name = "wab.service.consul." }, false},
		"the other domain":    {func(m *dns.Msg) { m.Question[0].Name = "web.acme.test." }, false},
		"the recursor's name": {func(m *dns.Msg) { m.Question[0].Name = "web.service.example." }, false},
	} {
		r := newRig(t, nil)
		c := r.client()
		c.msg(base())
		r.step()
		r.consul.want()
		m := base()
		test.change(m)
		c.msg(m)
		r.step()
		if sent := r.consul.next() != nil || r.rec.next() != nil; sent == test.gathers {
			t.Errorf("%s: sent at once %v, want %v", name, sent, !test.gathers)
		}
	}
}

// Consul may sort what a prepared query finds by distance: each client asks for itself.
func TestPreparedQueriesAreNeverShared(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.client()
	for range 5 {
		c.ask("near-web.query.consul.", dns.TypeA, 1232)
	}
	r.step()
	for range 5 {
		r.consul.want().reply(0, "@ 0 IN A 10.1.0.1", "@ 0 IN A 10.1.0.2", "@ 0 IN A 10.1.0.3")
	}
	r.step()
	for range 5 {
		if got := addresses(c.answer()); !slices.Equal(got, []string{"10.1.0.1", "10.1.0.2", "10.1.0.3"}) {
			t.Errorf("the order has changed: %v", got)
		}
	}
	r.idle()
}

// Consul shows a client without EDNS three of its addresses, drawn anew for each: gathered ones must not all be sent to the same three.
func TestSharedAnswersWithoutEDNSAreDealt(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.client()
	var all []string
	for i := range 12 {
		all = append(all, fmt.Sprintf("@ 0 IN A 10.1.0.%d", i+1))
	}
	asked := []*dns.Msg{c.ask(web, dns.TypeA, 0)}
	r.step()
	leader := r.consul.want()
	for range 24 {
		asked = append(asked, c.ask(web, dns.TypeA, 0))
	}
	r.step()
	leader.reply(0, all[:3]...)
	r.step()
	pilot, whole := r.consul.want(), r.consul.want()
	r.consul.quiet()
	if pilot.IsEdns0() != nil || whole.IsEdns0() == nil || whole.IsEdns0().UDPSize() != 1232 {
		t.Fatalf("asked\n%v\nand\n%v", pilot.Msg, whole.Msg)
	}
	pilot.reply(0, all[3:6]...)
	whole.reply(0, all...)
	r.step()
	firsts := map[string]int{}
	byID := map[uint16]*dns.Msg{}
	for range asked {
		m := c.answer()
		if m == nil {
			t.Fatal("an answer is missing")
		}
		byID[m.Id] = m
	}
	for _, q := range asked {
		m := byID[q.Id]
		if m == nil || len(m.Answer) != 3 || m.IsEdns0() != nil || m.Truncated {
			t.Fatalf("to %d: %v", q.Id, m)
		}
	}
	for _, q := range asked[2:] { // those of the whole set
		firsts[addresses(byID[q.Id])[0]]++
	}
	if len(firsts) != 12 {
		t.Errorf("23 clients were sent to %d of 12 instances first: %v", len(firsts), firsts)
	}
	r.idle()
}

// How many addresses one gets is what Consul gives a single client now, not what it gave before.
func TestDealtAnswersFollowConsulsLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.client()
	all := []string{"@ 0 IN A 10.1.0.1", "@ 0 IN A 10.1.0.2", "@ 0 IN A 10.1.0.3", "@ 0 IN A 10.1.0.4"}
	c.ask(web, dns.TypeA, 0)
	r.step()
	leader := r.consul.want()
	for range 4 {
		c.ask(web, dns.TypeA, 0)
	}
	r.step()
	leader.reply(0, all[:1]...)
	r.step()
	pilot, whole := r.consul.want(), r.consul.want()
	pilot.reply(0, all[:2]...)
	r.step()
	whole.reply(0, all...)
	r.step()
	for i, want := range []int{1, 2, 2, 2, 2} {
		if m := c.answer(); m == nil || len(m.Answer) != want {
			t.Errorf("answer %d: want %d addresses, got %v", i, want, m)
		}
	}
	r.idle()
}

// Where one client got the whole set, nobody needs to ask as it came; until the set has grown.
func TestWhereOneGotAllTheSetIsAskedForOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.client()
	all := []string{"@ 0 IN A 10.1.0.1", "@ 0 IN A 10.1.0.2", "@ 0 IN A 10.1.0.3", "@ 0 IN A 10.1.0.4", "@ 0 IN A 10.1.0.5"}
	ask := func(n int) {
		for range n {
			c.ask(web, dns.TypeA, 0)
		}
		r.step()
	}
	answers := func(what string, n, want int) {
		t.Helper()
		for range n {
			if m := c.answer(); m == nil || len(m.Answer) != want || m.IsEdns0() != nil {
				t.Errorf("%s: want %d addresses, got %v", what, want, m)
			}
		}
	}
	ask(1)
	leader := r.consul.want()
	ask(4)
	leader.reply(0, all[:2]...)
	r.step()
	answers("the first", 1, 2)

	pilot, whole := r.consul.want(), r.consul.want()
	ask(4)
	pilot.reply(0, all[:2]...)
	whole.reply(0, all[:2]...)
	r.step()
	answers("a pilot and those of the whole set", 4, 2)

	whole = r.consul.want()
	r.consul.quiet()
	if whole.IsEdns0() == nil {
		t.Errorf("asked %v, not for all", whole.Msg)
	}
	ask(4)
	whole.reply(0, all...)
	r.step()
	answers("a set that has grown", 4, usualLimit)

	pilot, whole = r.consul.want(), r.consul.want()
	if pilot.IsEdns0() != nil || whole.IsEdns0() == nil {
		t.Errorf("asked\n%v\nand\n%v", pilot.Msg, whole.Msg)
	}
	pilot.reply(0, all[:4]...)
	r.step()
	whole.reply(0, all...)
	r.step()
	answers("a new pilot", 4, 4)
	r.idle()
}

// With EDNS Consul gives all that fit: no need to deal.
func TestSharedAnswersWithEDNSAreWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *configs.Settings) { s.DNSUDPSize = 4096 })
	c := r.client()
	c.ask(web, dns.TypeA, 4096)
	r.step()
	leader := r.consul.want()
	for range 3 {
		c.ask(web, dns.TypeA, 4096)
	}
	r.step()
	leader.reply(0, "@ 0 IN A 10.1.0.1")
	r.step()
	r.consul.want().reply(0, "@ 0 IN A 10.1.0.1", "@ 0 IN A 10.1.0.2")
	r.consul.quiet()
	r.step()
	for i, want := range []int{1, 2, 2, 2} {
		if m := c.answer(); m == nil || len(m.Answer) != want || m.IsEdns0() == nil {
			t.Errorf("answer %d: %v", i, m)
		}
	}
	r.idle()
}
