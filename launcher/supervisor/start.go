package supervisor

import (
	"errors"
	"time"

	"panteras/launcher"
	"panteras/launcher/proc"
	"panteras/launcher/restart"
)

// absentPoll is how often a program that is not installed is looked for again.
const absentPoll = 30 * time.Second

// start starts a daemon that nothing keeps from it.
func (s *Supervisor) start(d *daemon) {
	d.stopTimer()
	d.blockedSince = time.Time{}
	p, err := s.opts.Runner.Start(d.plan)
	d.starts++
	switch {
	case errors.Is(err, proc.ErrAbsent):
		s.become(d, launcher.StateAbsent, err.Error())
		d.timer = s.after(absentPoll, func() {
			if d.state == launcher.StateAbsent && d.wanted {
				s.wait(d)
			}
		})
	case err != nil:
		d.lastExit = "cannot start: " + err.Error()
		s.decide(d, restart.Exit{Code: -1}, d.lastExit)
	default:
		d.run = &run{process: p, started: time.Now(), ended: make(chan struct{})}
		s.become(d, launcher.StateStarting, "")
		s.watch(d, d.run)
	}
}

// wait makes a daemon start as soon as it can.
func (s *Supervisor) wait(d *daemon) {
	d.stopTimer()
	d.blockedSince = time.Time{}
	s.become(d, launcher.StateWaiting, "")
}

// exited is told that the process which was started has ended. What it leaves behind
// is ended, too, before another one starts, unless these are tasks that are meant to
// outlive it. How the daemon goes on is decided at once: one whose process has ended is
// not ready, however long the rest of it takes.
func (s *Supervisor) exited(d *daemon, r *run, e proc.Exit) {
	r.exit = &e
	close(r.ended)
	if d.run == r || d.run == nil {
		d.lastExit = e.String()
		s.changed = true
	}
	switch {
	case d.plan.TasksOutlive:
		s.gone(d, r)
	case r.stopped: // one that was asked has its grace for the rest of it
	case d.run == r && d.plan.Overlaps && s.opts.Runner.CanOverlap(d.plan):
		// What it left is in nobody's way, and to find it takes a while.
		d.leaving, d.run = append(d.leaving, r), nil
		s.help(r.process.KillAll)
		s.ended(d, r)
	default:
		r.process.KillAll()
		if d.run == r {
			s.ended(d, r)
		}
	}
}

// gone is told that nothing of a process is left.
func (s *Supervisor) gone(d *daemon, r *run) {
	if d.run != r {
		s.forget(d, r)
		return
	}
	d.run = nil
	switch {
	case d.state == launcher.StateStopping:
		d.stopTimer()
		s.stopped(d)
	case d.plan.TasksOutlive:
		s.ended(d, r)
	}
}

// ended decides how a daemon goes on whose process has ended on its own.
func (s *Supervisor) ended(d *daemon, r *run) {
	d.stopTimer()
	e := restart.Exit{Code: r.exit.Code, Signal: r.exit.Signal, Ran: time.Since(r.started)}
	if !r.readyAt.IsZero() {
		e.WasReady, e.Ran = true, time.Since(r.readyAt)
	}
	s.decide(d, e, "")
}

// forget drops a process that had a successor.
func (s *Supervisor) forget(d *daemon, r *run) {
	for i, old := range d.leaving {
		if old == r {
			d.leaving = append(d.leaving[:i], d.leaving[i+1:]...)
			if r.grace != nil {
				r.grace.Stop()
			}
			s.changed = true
			return
		}
	}
}

// decide says how a daemon goes on that ended on its own, or did not start: then with
// the reason.
func (s *Supervisor) decide(d *daemon, e restart.Exit, reason string) {
	decision := s.opts.Decide(d.plan.Name, e, d.failures)
	if reason != "" {
		decision.Reason = reason
	}
	d.failures = decision.Failures
	switch decision.Kind {
	case restart.Final:
		s.become(d, launcher.StateFailed, decision.Reason)
	case restart.AtOnce:
		d.restarts++
		s.wait(d)
	default:
		d.restarts++
		s.become(d, launcher.StateBackoff, decision.Reason)
		d.retryAt = time.Now().Add(decision.Delay)
		d.timer = s.after(decision.Delay, func() {
			if d.state == launcher.StateBackoff && !time.Now().Before(d.retryAt) {
				s.wait(d)
			}
		})
	}
}
