package dnsserver

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestRestFor(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		what                string
		taken, waiting, all int
		took, want          time.Duration
	}{
		{"a slow Consul of whom much is waited for", 1, 100, 100, 8 * ms, ms},
		{"just slow enough", 1, 16, 16, 4 * ms, ms / 2},
		{"a very slow one", 7, 100, 100, time.Second, 2 * ms},
		{"quick", 1, 100, 100, 4*ms - 1, 0},
		{"nearly nobody waits", 1, 15, 15, 20 * ms, 0},
		{"a turn that was worth it", 8, 100, 100, 20 * ms, 0},
		{"a quarter is others'", 1, 30, 40, 20 * ms, 2 * ms},
		{"more than a quarter is others'", 1, 30, 41, 20 * ms, 0},
	} {
		if got := restFor(c.taken, c.waiting, c.all, c.took); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

// Answers of a Consul of this host that is slow are let gather, and no others.
func TestALoopRestsForASlowConsulOfThisHost(t *testing.T) {
	t.Parallel()
	const slow = 16 * time.Millisecond
	for _, c := range []struct {
		what             string
		recursor, remote bool
		took             time.Duration
		others           int
		want             bool
	}{
		{what: "slow", took: slow, want: true},
		{what: "slow, and others are asked a little", took: slow, others: 2, want: true},
		{what: "slow, and others are asked as well", took: slow, others: 20},
		{what: "quick", took: 100 * time.Microsecond},
		{what: "slow and elsewhere", remote: true, took: slow},
		{what: "a recursor", recursor: true, took: slow},
	} {
		r := newRig(t, nil)
		asked, other, form, otherForm := r.consul, r.rec, "n%d.service.consul.", "n%d.example."
		if c.recursor {
			asked, other, form, otherForm = other, asked, otherForm, form
		}
		const n = restWaiting + 2
		client := r.client()
		for i := range n {
			client.ask(fmt.Sprintf(form, i), dns.TypeA, 0)
		}
		for i := range c.others {
			client.ask(fmt.Sprintf(otherForm, i), dns.TypeA, 0)
		}
		r.step()
		r.local(!c.remote)
		r.w.now += int64(c.took)
		asked.want().reply(0, "@ 60 IN A 192.0.2.1")
		r.step()
		if got := r.w.restTime() > 0; got != c.want {
			t.Errorf("%s: rested: %v, want %v", c.what, got, c.want)
		}
		r.local(true)
		client.ask(fmt.Sprintf(form, n), dns.TypeA, 0)
		r.step()
		if d := r.w.restTime(); d != 0 {
			t.Errorf("%s: would rest %v after a turn without an answer", c.what, d)
		}
		for range n {
			asked.want().reply(0, "@ 60 IN A 192.0.2.1")
		}
		for range c.others {
			other.want().reply(0, "@ 60 IN A 192.0.2.1")
		}
		r.step()
		for i := range n + 1 + c.others {
			if client.answer() == nil {
				t.Fatalf("%s: only %d answers", c.what, i)
			}
		}
		r.idle()
		for _, st := range r.w.states {
			if st.waiting != 0 {
				t.Errorf("%s: %d are still waited for", c.what, st.waiting)
			}
		}
	}
}

// What is ready meanwhile does not end a rest.
func TestALoopTakesItsRest(t *testing.T) {
	t.Parallel()
	const tries = 9
	r := newRig(t, nil)
	r.local(true)
	client := r.client()
	for i := range restWaiting + 2*tries {
		client.ask(fmt.Sprintf("n%d.service.consul.", i), dns.TypeA, 0)
	}
	r.step()
	r.w.now += int64(restShare * restMost)
	rested := 0
	for range tries {
		r.consul.want().reply(0, "@ 60 IN A 192.0.2.1")
		r.step()
		r.consul.want().reply(0, "@ 60 IN A 192.0.2.1")
		began := time.Now()
		n := r.w.wait()
		if time.Since(began) >= restMost {
			rested++
		}
		if n != 1 {
			t.Fatalf("%d descriptors are ready, want 1", n)
		}
		r.w.handle(n)
	}
	if rested == 0 { // signals end some
		t.Errorf("%d of %d rests were taken", rested, tries)
	}
}

// local makes the upstreams ones of this host, or of another.
func (r *rig) local(yes bool) {
	for u := range r.w.states {
		u.Local = yes
	}
}
