package supervisor

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"panteras/launcher"
	"panteras/launcher/proc"
)

// takenOver lets another program take over, while somebody sets the clock ahead: what the
// old program told of times is older by the new clock than it is.
func (r *rig) takenOver(plan *launcher.Plan, ahead time.Duration) {
	r.t.Helper()
	failure := errors.New("the test goes on as another program")
	var text []byte
	_ = r.HandOver(r.t.Context(), func(s *Snapshot) (err error) {
		if text, err = json.Marshal(s); err != nil {
			r.t.Error(err)
		}
		return failure
	})
	r.end()
	var snap Snapshot
	if err := json.Unmarshal(text, &snap); err != nil {
		r.t.Fatal(err)
	}
	for i := range snap.Daemons {
		d := &snap.Daemons[i]
		for _, at := range []*time.Time{&d.Since, &d.Started, &d.ReadyAt, &d.RetryAt} {
			if !at.IsZero() {
				*at = at.Add(-ahead)
			}
		}
		if d.Pid != 0 {
			p := r.newProcess(d.Plan.Name)
			p.pid, d.Process = d.Pid, p
		}
	}
	r.begin(plan, &snap)
	r.settled()
}

// A clock that is set while another program takes over changes neither how long a daemon
// has run nor when the next try of another one is.
func TestAClockThatIsSetDuringAHandOverChangesNothing(t *testing.T) {
	for _, c := range []struct {
		ahead         time.Duration
		before, after time.Duration // for which Consul is ready before and after
		delay         time.Duration // to its next start, after a crash
	}{
		{-time.Hour, 59 * time.Second, 2 * time.Second, time.Second}, // a healthy minute
		{time.Hour, 30 * time.Second, 2 * time.Second, 2 * time.Second},
	} {
		plan := daemons(consul, launcher.Daemon{Name: "zookeeper"})
		bubble(t, plan, nil, func(r *rig) {
			r.pass(time.Second)
			r.process("consul").exit(proc.Exit{Code: 1})
			r.pass(time.Second + 100*time.Millisecond)
			began := time.Now()
			r.want("consul", launcher.StateReady)
			r.pass(c.before - 8*time.Second)
			r.answer("zookeeper", errNotYet)
			for range 3 { // after 1, 2 and 4 s
				r.process("zookeeper").exit(proc.Exit{Code: 1})
				r.settled()
				r.pass(time.Until(*r.want("zookeeper", launcher.StateBackoff).RetryAt) + time.Millisecond)
			}
			r.process("zookeeper").exit(proc.Exit{Code: 1})
			r.pass(c.before - time.Since(began))
			next := time.Until(*r.want("zookeeper", launcher.StateBackoff).RetryAt)

			r.takenOver(plan, c.ahead)
			s := r.want("zookeeper", launcher.StateBackoff)
			if got := time.Until(*s.RetryAt); got != next {
				t.Errorf("clock set by %v: the next try of zookeeper is in %v, was in %v", c.ahead, got, next)
			}
			if got := time.Since(r.want("consul", launcher.StateReady).Since); got < c.before || got > c.before+time.Second {
				t.Errorf("clock set by %v: consul has been ready for %v, want %v", c.ahead, got, c.before)
			}
			r.pass(c.after)
			r.process("consul").exit(proc.Exit{Code: 1})
			r.settled()
			if got := time.Until(*r.want("consul", launcher.StateBackoff).RetryAt); got != c.delay {
				t.Errorf("clock set by %v: consul starts again in %v, want %v", c.ahead, got, c.delay)
			}
			r.pass(next - c.after + time.Millisecond)
			r.want("zookeeper", launcher.StateStarting)
		})
	}
}
