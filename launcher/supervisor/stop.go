package supervisor

import (
	"context"
	"slices"
	"syscall"
	"time"

	"panteras/launcher"

	"golang.org/x/sys/unix"
)

// stop asks a daemon to end, and ends it when its grace is over. Afterwards it is
// stopped, or starts again if it is wanted.
func (s *Supervisor) stop(d *daemon) {
	for _, old := range d.leaving {
		s.retire(d, old)
	}
	if d.run == nil {
		d.stopTimer()
		s.stopped(d)
		return
	}
	if d.state == launcher.StateStopping {
		return
	}
	d.stopTimer()
	s.become(d, launcher.StateStopping, "")
	d.timer = s.end(d, d.run)
}

// retire ends a process whose successor has taken over.
func (s *Supervisor) retire(d *daemon, r *run) {
	if !r.stopped && r.exit == nil {
		r.grace = s.end(d, r)
	}
}

// end signals a process and returns the timer that kills it.
func (s *Supervisor) end(d *daemon, r *run) *time.Timer {
	r.stopped = true
	if err := r.process.Signal(stopSignal(d.plan)); err != nil && r.exit == nil {
		s.opts.Log.Warn("cannot signal daemon", "daemon", d.plan.Name, "pid", r.process.Pid(), "error", err)
	}
	if d.plan.StopAgain {
		s.again(d, r)
	}
	grace := time.Duration(d.plan.Stop.GraceSeconds) * time.Second
	return s.after(grace, func() {
		if d.run != r && !slices.Contains(d.leaving, r) {
			return // it went in the same moment; what runs now is another one
		}
		s.opts.Log.Warn("daemon did not end in time, killing it", "daemon", d.plan.Name, "pid", r.process.Pid(), "grace", grace)
		r.process.KillAll()
	})
}

// stopAgain is the time between two signals to a process that may lose them.
const stopAgain = time.Second

// again repeats the signal to stop until the process has ended.
func (s *Supervisor) again(d *daemon, r *run) {
	s.after(stopAgain, func() {
		if r.exit == nil {
			_ = r.process.Signal(stopSignal(d.plan)) // what is wrong was told the first time
			s.again(d, r)
		}
	})
}

// stopSignal is the signal that asks a daemon to end.
func stopSignal(d launcher.Daemon) syscall.Signal {
	if sig := unix.SignalNum(d.Stop.Signal); sig != 0 {
		return sig
	}
	return syscall.SIGTERM
}

// stopped is what a daemon becomes without a process.
func (s *Supervisor) stopped(d *daemon) {
	switch {
	case d.wanted && !s.closing:
		s.wait(d)
	case !d.plan.Run:
		s.become(d, launcher.StateDisabled, "")
	default:
		s.become(d, launcher.StateStopped, "")
	}
}

// close begins to stop everything.
func (s *Supervisor) close() {
	s.closing = true
	for _, d := range s.daemons {
		d.wanted = false
	}
	s.help(func() {
		ctx, cancel := context.WithTimeout(context.Background(), farewellTime)
		defer cancel()
		s.opts.Farewell(ctx)
		s.post(func() { s.farewell = true })
	})
}

// settleStop stops a daemon when nothing needs it any more: those that wait for it
// when they start end before it does, names and then Consul are there to the last.
func (s *Supervisor) settleStop(d *daemon) {
	if d.run == nil && len(d.leaving) == 0 {
		if d.state != launcher.StateDisabled && d.state != launcher.StateStopped {
			d.stopTimer()
			s.stopped(d)
		}
		return
	}
	if d.state == launcher.StateStopping {
		return
	}
	if d.plan.Name == "consul" && !s.farewell {
		return
	}
	for _, other := range s.daemons {
		if other != d && other.present() && s.before(other, d) {
			return
		}
	}
	s.stop(d)
}

// present tells whether a process of the daemon exists.
func (d *daemon) present() bool { return d.run != nil || len(d.leaving) > 0 }

// before tells whether a daemon must end before another one is asked to.
func (s *Supervisor) before(first, then *daemon) bool {
	rank := func(d *daemon) int { return slices.Index([]string{"dns", "consul"}, d.plan.Name) }
	if a, b := rank(first), rank(then); a != b {
		return a < b
	}
	return slices.Contains(first.plan.After, then.plan.Name)
}

// finished tells whether everything has ended.
func (s *Supervisor) finished() bool {
	return s.farewell && !slices.ContainsFunc(s.daemons, (*daemon).present)
}

// KillAll ends everything that runs at once, with all that belongs to it.
func (s *Supervisor) KillAll() {
	s.post(func() {
		for _, d := range s.daemons {
			for _, r := range append(slices.Clone(d.leaving), d.run) {
				if r != nil {
					r.process.KillAll()
				}
			}
		}
	})
}
