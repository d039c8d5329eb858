package supervisor

import (
	"context"
	"errors"
	"time"

	"panteras/launcher"
)

// How often a daemon is asked.
const (
	// probeTimeout bounds one question.
	probeTimeout = 5 * time.Second
	// firstProbe doubles up to slowProbe while a daemon starts.
	firstProbe = 25 * time.Millisecond
	slowProbe  = time.Second
	// liveProbe is the time between questions to one that is ready, and
	// unhealthyAfter how many in a row must fail until it counts as unhealthy.
	liveProbe      = 5 * time.Second
	unhealthyAfter = 3
)

// watch tells the owner what becomes of a process.
func (s *Supervisor) watch(d *daemon, r *run) {
	outlive := d.plan.TasksOutlive // as it was started: a reload may change the plan
	s.help(func() {
		e := <-r.process.Exited()
		s.post(func() { s.exited(d, r, e) })
		if outlive {
			return // what it leaves may run for years
		}
		<-r.process.Gone()
		s.post(func() { s.gone(d, r) })
	})
	r.askBy(d.plan.Probe)
	switch d.plan.Probe.Kind {
	case launcher.ProbeNotify:
		s.help(func() {
			select {
			case <-r.process.Notified():
				s.ask(d, r)
			case <-r.ended:
			}
		})
	case launcher.ProbeRunning:
		s.ready(d, r)
		s.help(func() { s.ask(d, r) })
	default:
		s.help(func() { s.ask(d, r) })
	}
}

// errPaused is why a process counts as unhealthy that was stopped by a signal.
var errPaused = errors.New("its process was stopped by a signal (SIGSTOP); `kill -CONT` its pid to let it go on")

// question asks a process. One that says itself that it is ready, or of which nothing is
// known, can only be looked at.
func (s *Supervisor) question(ctx context.Context, r *run) error {
	if r.process.Paused() {
		return errPaused // its sockets would still take connections
	}
	p := *r.probe.Load()
	if p.Kind == launcher.ProbeNotify || p.Kind == launcher.ProbeRunning {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return s.opts.Probe(ctx, p)
}

// ask asks a process whether it is ready, for as long as it runs.
func (s *Supervisor) ask(d *daemon, r *run) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.help(func() {
		select {
		case <-r.ended:
			cancel()
		case <-ctx.Done():
		}
	})
	pause := firstProbe
	failed := 0
	wasReady := !r.readyAt.IsZero() // of a process that was taken over
	for {
		err := s.question(ctx, r)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil:
			failed, wasReady, pause = 0, true, liveProbe
			s.post(func() { s.ready(d, r) })
		case wasReady:
			pause = liveProbe
			if failed++; failed >= unhealthyAfter {
				s.post(func() { s.unhealthy(d, r, err) })
			}
		default:
			s.post(func() { s.notReady(d, r, err) })
			pause = min(2*pause, slowProbe)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// ready is told that a process does its work. One that it succeeds can end now.
func (s *Supervisor) ready(d *daemon, r *run) {
	if d.run != r || r.exit != nil || r.stopped {
		return
	}
	if r.readyAt.IsZero() {
		r.readyAt = time.Now()
	}
	s.become(d, launcher.StateReady, "")
	for _, old := range d.leaving {
		s.retire(d, old)
	}
}

func (s *Supervisor) unhealthy(d *daemon, r *run, err error) {
	if d.run == r && r.exit == nil && (d.state == launcher.StateReady || d.state == launcher.StateUnhealthy) {
		s.become(d, launcher.StateUnhealthy, err.Error())
	}
}

// notReady keeps what a daemon that starts answered last.
func (s *Supervisor) notReady(d *daemon, r *run, err error) {
	if d.run == r && d.state == launcher.StateStarting {
		s.become(d, launcher.StateStarting, err.Error())
	}
}
