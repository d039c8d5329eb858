package dnsserver

import (
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestRestFor(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		what           string
		taken, waiting int
		took, want     time.Duration
	}{
		{"a slow server of whom much is waited for", 1, 100, 8 * ms, ms},
		{"just slow enough", 1, 16, 4 * ms, ms / 2},
		{"a very slow one", 7, 100, time.Second, 2 * ms},
		{"quick", 1, 100, 4*ms - 1, 0},
		{"nearly nobody waits", 1, 15, 20 * ms, 0},
		{"a turn that was worth it", 8, 100, 20 * ms, 0},
	} {
		if got := restFor(c.taken, c.waiting, c.took); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

// Answers of a server of this host that is slow are let gather, and only then.
func TestALoopRestsForASlowServerOfThisHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		remote bool
		took   time.Duration
		want   bool
	}{
		{"slow", false, 16 * time.Millisecond, true},
		{"quick", false, 100 * time.Microsecond, false},
		{"slow and elsewhere", true, 16 * time.Millisecond, false},
	} {
		r := newRig(t, nil)
		const n = restWaiting + 2
		clients, asked := asks(r, n)
		r.step()
		r.local(!c.remote)
		r.w.now += int64(c.took)
		r.rec.want().reply(0, "@ 60 IN A 192.0.2.1")
		r.step()
		if got := r.w.restTime() > 0; got != c.want {
			t.Errorf("%s: rested: %v, want %v", c.what, got, c.want)
		}
		r.local(true)
		late := r.client()
		question := late.ask("another.example.", dns.TypeA, 0)
		r.step()
		if d := r.w.restTime(); d != 0 {
			t.Errorf("%s: would rest %v after a turn without an answer", c.what, d)
		}
		clients, asked = append(clients, late), append(asked, question)
		for range n {
			r.rec.want().reply(0, "@ 60 IN A 192.0.2.1")
		}
		r.step()
		for i, client := range clients {
			client.answers(asked[i])
		}
		r.idle()
		for _, st := range r.w.states {
			if st.waiting != 0 {
				t.Errorf("%s: %d are still waited for", c.what, st.waiting)
			}
		}
	}
}

// local makes the upstreams ones of this host, or of another.
func (r *rig) local(yes bool) {
	for u := range r.w.states {
		u.Local = yes
	}
}
