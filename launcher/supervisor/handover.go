package supervisor

import (
	"context"
	"slices"
	"time"

	"panteras/launcher"
)

// Snapshot is what another process of this program needs to go on supervising. It
// holds secrets: the environment of daemons.
type Snapshot struct {
	Daemons []DaemonSnapshot `json:"daemons"`
}

// DaemonSnapshot is one daemon of a [Snapshot].
type DaemonSnapshot struct {
	Plan     launcher.Daemon `json:"plan"`
	Wanted   bool            `json:"wanted"`
	State    launcher.State  `json:"state"`
	Since    time.Time       `json:"since"`
	Reason   string          `json:"reason"`
	Failures int             `json:"failures"`
	Restarts int             `json:"restarts"`
	LastExit string          `json:"last_exit"`
	RetryAt  time.Time       `json:"retry_at"`
	// Pid is 0 if no process runs.
	Pid     int       `json:"pid"`
	Started time.Time `json:"started"`
	ReadyAt time.Time `json:"ready_at"`
	// Ages are those times as the clock that nobody sets tells them. Programs before they
	// were handed over left none.
	Ages *Ages `json:"ages,omitempty"`
	// Process is what carries over a running process.
	Process Process `json:"-"`
}

// Ages are how long ago times of a [DaemonSnapshot] were, and how far RetryAt is. A time
// by itself loses the clock that nobody sets on its way, and when somebody sets the other
// one, a process would seem to have run for an hour more, or for less than nothing.
type Ages struct {
	Since   time.Duration `json:"since"`
	Started time.Duration `json:"started"`
	ReadyAt time.Duration `json:"ready_at"`
	RetryIn time.Duration `json:"retry_in"`
}

// aged is the snapshot with its ages by now.
func (d DaemonSnapshot) aged(now time.Time) DaemonSnapshot {
	d.Ages = &Ages{Since: now.Sub(d.Since), Started: now.Sub(d.Started), ReadyAt: now.Sub(d.ReadyAt), RetryIn: d.RetryAt.Sub(now)}
	return d
}

// dated is the snapshot with times that both clocks of this process tell.
func (d DaemonSnapshot) dated(now time.Time) DaemonSnapshot {
	if d.Ages == nil {
		return d
	}
	for t, date := range map[*time.Time]time.Time{
		&d.Since: now.Add(-d.Ages.Since), &d.Started: now.Add(-d.Ages.Started), &d.ReadyAt: now.Add(-d.Ages.ReadyAt), &d.RetryAt: now.Add(d.Ages.RetryIn),
	} {
		if !t.IsZero() {
			*t = date
		}
	}
	return d
}

// HandOver waits until no daemon is being stopped and then calls f with all there is
// to know, while nothing else happens. If f succeeds it does not return. Otherwise
// the supervisor goes on, and its error is returned.
func (s *Supervisor) HandOver(ctx context.Context, f func(*Snapshot) error) error {
	unlock, err := s.alone(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return s.until(ctx, func() error { return nil }, func() (bool, error) {
		if s.closing {
			return true, errEnding
		}
		for _, d := range s.daemons {
			if s.ending(d) {
				return false, nil
			}
		}
		return true, f(s.snapshot())
	})
}

// ending tells whether a process of a daemon is about to go, or has two that run. One
// whose successor does not come up is handed over itself.
func (s *Supervisor) ending(d *daemon) bool {
	runs := slices.Clone(d.leaving)
	if d.run != nil {
		runs = append(runs, d.run)
	}
	return d.state == launcher.StateStopping || len(runs) > 1 ||
		slices.ContainsFunc(runs, func(r *run) bool { return r.stopped || r.exit != nil })
}

func (s *Supervisor) snapshot() *Snapshot {
	var snap Snapshot
	now := time.Now()
	for _, d := range s.daemons {
		one := DaemonSnapshot{
			Plan: d.plan, Wanted: d.wanted, State: d.state, Since: d.since, Reason: d.reason, Failures: d.failures,
			Restarts: d.restarts, LastExit: d.lastExit, RetryAt: d.retryAt,
		}
		r := d.run
		if r == nil && len(d.leaving) == 1 {
			r, one.State, one.Reason = d.leaving[0], launcher.StateReady, ""
		}
		if r != nil {
			one.Pid, one.Started, one.ReadyAt, one.Process = r.process.Pid(), r.started, r.readyAt, r.process
		}
		snap.Daemons = append(snap.Daemons, one.aged(now))
	}
	return &snap
}

// restore takes over daemons as another process left them. They keep the plan that
// they were started with: the next reload compares.
func (s *Supervisor) restore(from *Snapshot) {
	now := time.Now()
	for _, was := range from.Daemons {
		was = was.dated(now)
		d := s.byName[was.Plan.Name]
		if d == nil {
			continue
		}
		d.failures, d.restarts, d.lastExit = was.Failures, was.Restarts, was.LastExit
		if was.Process != nil || d.plan.Run == was.Plan.Run {
			d.plan, d.wanted = was.Plan, was.Wanted
			d.state, d.since, d.reason, d.retryAt = was.State, was.Since, was.Reason, was.RetryAt
		}
		if was.Process == nil && d.state.Running() {
			d.state = launcher.StateWaiting // its process could not be taken over
		}
		if was.Process != nil {
			d.starts = 1
			d.run = &run{process: was.Process, started: was.Started, readyAt: was.ReadyAt, ended: make(chan struct{})}
		}
	}
}

// resume goes on with what restore took over. The DNS server and the gateway are part
// of this program, which may be a newer one now, so they start anew.
func (s *Supervisor) resume() {
	for _, d := range s.daemons {
		switch {
		case d.run != nil:
			s.watch(d, d.run)
			if d.plan.Self {
				s.restart(d)
			}
		case d.state == launcher.StateBackoff:
			d.timer = s.after(time.Until(d.retryAt), func() {
				if d.state == launcher.StateBackoff {
					s.wait(d)
				}
			})
		case d.state == launcher.StateAbsent:
			s.wait(d)
		}
	}
}
