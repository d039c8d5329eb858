package supervisor

import (
	"slices"
	"sync/atomic"
	"time"

	"panteras/launcher"
	"panteras/launcher/proc"
)

// daemon is what the owner knows of one daemon.
type daemon struct {
	name string
	plan launcher.Daemon
	// wanted tells whether it should run: the plan's will, or an operator's.
	wanted bool
	state  launcher.State
	since  time.Time
	reason string

	run *run
	// leaving are processes that a successor has taken over from.
	leaving []*run
	// failures are the ends in a row without a healthy period between them.
	failures int
	restarts int
	starts   int
	lastExit string

	retryAt time.Time
	timer   *time.Timer // of backoff, of the next look, or of the grace of a stop
	// blockedSince is when it began to wait; zero if it does not.
	blockedSince time.Time
}

// run is one process of a daemon.
type run struct {
	process Process
	started time.Time
	// readyAt is when it became ready; zero before.
	readyAt time.Time
	exit    *proc.Exit
	// ended is closed when nobody needs to ask any more whether it is ready.
	ended chan struct{}
	// probe is how it is asked; another goroutine reads it.
	probe atomic.Pointer[launcher.Probe]
	// grace is the timer of a process in leaving.
	grace *time.Timer
	// stopped tells that it was asked to end.
	stopped bool
}

// over tells that a daemon has no process, or one that has ended by itself, of which
// something may be left for a moment.
func (d *daemon) over() bool {
	return d.run == nil || d.run.exit != nil && d.state != launcher.StateStopping
}

// askBy says how a process is asked from now on.
func (r *run) askBy(p launcher.Probe) { r.probe.Store(&p) }

// become changes the state of a daemon; the reason is for people.
func (s *Supervisor) become(d *daemon, state launcher.State, reason string) {
	if d.state == state && d.reason == reason {
		return
	}
	if d.state != state {
		d.since = time.Now()
		s.opts.Log.Info("daemon is "+string(state), "daemon", d.plan.Name, "was", string(d.state), "reason", reason)
	}
	d.state, d.reason = state, reason
	s.changed = true
}

// stopTimer forgets what a daemon was waiting for.
func (d *daemon) stopTimer() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.retryAt = time.Time{}
}

// blockers are those that a daemon waits for.
func (s *Supervisor) blockers(d *daemon) []string {
	var list []string
	for _, name := range d.plan.After {
		if other, ok := s.byName[name]; ok {
			if other.state != launcher.StateReady {
				list = append(list, name)
			}
		} else if s.opts.External(name) != nil {
			list = append(list, name)
		}
	}
	return list
}

// externalPoll is how often something that is no daemon is looked at.
const externalPoll = time.Second

// unblocked tells whether a daemon can start now, and sees to it that it is asked
// again.
func (s *Supervisor) unblocked(d *daemon) bool {
	blockers := s.blockers(d)
	if len(blockers) == 0 {
		return true
	}
	if d.blockedSince.IsZero() {
		d.blockedSince = time.Now()
	}
	left := d.plan.Patience - time.Since(d.blockedSince)
	if d.plan.Patience > 0 && left <= 0 {
		s.opts.Log.Warn("daemon starts without what it waits for", "daemon", d.plan.Name, "missing", blockers, "waited", d.plan.Patience)
		return true
	}
	if d.timer == nil {
		look := d.plan.Patience > 0
		if slices.ContainsFunc(blockers, func(name string) bool { return s.byName[name] == nil }) && (!look || left > externalPoll) {
			look, left = true, externalPoll
		}
		if look {
			d.timer = s.after(left, func() {
				if d.state == launcher.StateWaiting {
					d.timer = nil
				}
			})
		}
	}
	return false
}
