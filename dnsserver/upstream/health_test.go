package upstream

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// Three timeouts may be three slow names: a probe decides, and only its silence means that the server is down.
func TestTimeoutsMakeASuspectThatAProbeDecides(t *testing.T) {
	t.Parallel()
	var alive atomic.Bool
	server := silent(t, func(*lab.Query) bool { return alive.Load() })
	u := newUpstream(t, server.Addr)
	for range 2 {
		u.TimedOut()
	}
	if state(u.state.Load()) != up || server.Stats().UDP != 0 {
		t.Fatal("suspected too early")
	}
	u.Answered(time.Millisecond) // in between: it counts from the start again
	for range 2 {
		u.TimedOut()
	}
	if state(u.state.Load()) != up {
		t.Fatal("suspected although it had answered in between")
	}
	u.TimedOut()
	if u.Down() {
		t.Fatal("down before any probe was tried")
	}
	lab.Eventually(t, patience, "the server to count as down", u.Down)
	if server.Asked(probeName, dns.TypeSOA) < 2 {
		t.Error("down after fewer than two probes")
	}
	alive.Store(true)
	lab.Eventually(t, patience, "a probe's answer to bring the server back", func() bool { return !u.Down() })
	lab.Eventually(t, patience, "the prober to end", func() bool { u.mu.Lock(); defer u.mu.Unlock(); return !u.probing })
	if u.failures.Load() != 0 {
		t.Errorf("%d failures are left", u.failures.Load())
	}
}

func TestASlowNameIsNoDeadServer(t *testing.T) {
	t.Parallel()
	server := silent(t, func(q *lab.Query) bool { return q.Msg.Question[0].Name == probeName })
	u := newUpstream(t, server.Addr)
	for range 30 {
		u.TimedOut()
		if u.Down() {
			t.Fatal("down although it answers probes")
		}
	}
	lab.Eventually(t, patience, "the probe's answer", func() bool { return state(u.state.Load()) == up })
}

func TestAnUnreachablePortIsDownAtOnce(t *testing.T) {
	t.Parallel()
	server := lab.NewUpstream(t, lab.Script(lab.Reply()))
	server.CloseUDP()
	u := newUpstream(t, server.Addr)
	for range 2 {
		u.Refused()
	}
	if u.Down() {
		t.Fatal("down too early")
	}
	u.Refused()
	if !u.Down() {
		t.Fatal("not down")
	}
	server.OpenUDP()
	lab.Eventually(t, patience, "the server to be found again", func() bool { return !u.Down() })
}

// An answer that comes after all says that the server lives, without a probe.
func TestAnAnswerMakesItUp(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, silent(t, nil).Addr)
	for range 3 {
		u.Refused()
	}
	if !u.Down() {
		t.Fatal("not down")
	}
	u.Answered(8 * time.Millisecond)
	if u.Down() || u.failures.Load() != 0 || u.Answers.Load() != 1 || u.Unreachable.Load() != 3 {
		t.Error("not up after an answer")
	}
	if got := time.Duration(u.Latency.Load()); got != time.Millisecond {
		t.Errorf("latency %v, want an eighth of the way to 8ms", got)
	}
}

// A probe is answered by an id that was drawn for it; anything else that arrives is nothing.
func TestAProbeNeedsItsOwnAnswer(t *testing.T) {
	t.Parallel()
	var honest atomic.Bool
	server := lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if honest.Load() {
			return []lab.Action{lab.Reply()}
		}
		return []lab.Action{lab.Reply(lab.WrongID()), lab.Garbage(5), lab.Bytes(q.Raw)}
	})
	u := newUpstream(t, server.Addr)
	for range 3 {
		u.Refused()
	}
	lab.Eventually(t, patience, "some probes", func() bool { return server.Asked(probeName, dns.TypeSOA) >= 4 })
	if !u.Down() {
		t.Fatal("brought back by what answers no probe")
	}
	honest.Store(true)
	lab.Eventually(t, patience, "the true answer", func() bool { return !u.Down() })
	if s := server.Stats(); s.Sources < 2 || s.IDs < 2 {
		t.Errorf("%d ports and %d ids for %d probes", s.Sources, s.IDs, s.UDP)
	}
}

// A server on the other side of the world takes longer to answer than it takes to the next probe.
func TestAFarServerIsFoundAgain(t *testing.T) {
	t.Parallel()
	server := lab.NewUpstream(t, lab.Script(lab.Delay(4*probeInterval), lab.Reply()))
	u := newUpstream(t, server.Addr)
	for range 3 {
		u.Refused()
	}
	if !u.Down() {
		t.Fatal("not down")
	}
	lab.Eventually(t, patience, "a late answer to bring the server back", func() bool { return !u.Down() })
}

func TestCloseEndsTheProber(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, silent(t, nil).Addr)
	for range 3 {
		u.Refused()
	}
	u.Close() // waits; and who fails from now on starts no prober
	for range 3 {
		u.TimedOut()
		u.Refused()
	}
	if u.probing {
		t.Error("a prober runs after Close")
	}
}
