package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"panteras/launcher"
)

var errEnding = errors.New("the launcher is stopping")

// find looks a daemon up; an error names those that there are.
func (s *Supervisor) find(name string) (*daemon, error) {
	if d, ok := s.byName[name]; ok {
		return d, nil
	}
	names := make([]string, len(s.daemons))
	for i, d := range s.daemons {
		names[i] = d.name
	}
	return nil, fmt.Errorf("unknown daemon %q; there are %s", name, strings.Join(names, ", "))
}

// Start starts a daemon that was stopped, failed or waits for its next try, and
// returns when it is ready, or with the reason why it is not.
func (s *Supervisor) Start(ctx context.Context, name string) error {
	d, err := s.find(name)
	if err != nil {
		return err
	}
	return s.explain(ctx, d, s.until(ctx, func() error {
		if err := s.mayStart(d); err != nil {
			return err
		}
		d.wanted, d.failures = true, 0
		if d.over() {
			s.wait(d)
		}
		return nil
	}, func() (bool, error) { return s.outcome(d, 0) }))
}

// Stop stops a daemon and returns when its last process is gone.
func (s *Supervisor) Stop(ctx context.Context, name string) error {
	d, err := s.find(name)
	if err != nil {
		return err
	}
	return s.explain(ctx, d, s.until(ctx, func() error {
		d.wanted = false
		if d.state != launcher.StateDisabled {
			s.stop(d)
		}
		return nil
	}, func() (bool, error) { return !d.present(), nil }))
}

// Restart stops a daemon, starts it and returns when it is ready, or with the reason
// why it is not. The DNS server and the gateway start anew before the old process
// ends.
func (s *Supervisor) Restart(ctx context.Context, name string) error {
	d, err := s.find(name)
	if err != nil {
		return err
	}
	var before int
	return s.explain(ctx, d, s.until(ctx, func() error {
		if err := s.mayStart(d); err != nil {
			return err
		}
		before = d.starts
		d.wanted, d.failures = true, 0
		s.restart(d)
		return nil
	}, func() (bool, error) { return s.outcome(d, before) }))
}

// restart makes a daemon start anew.
func (s *Supervisor) restart(d *daemon) {
	switch {
	case d.over():
		s.wait(d)
	case d.plan.Overlaps && d.state != launcher.StateStopping && s.opts.Runner.CanOverlap(d.plan):
		s.succeed(d)
	default:
		s.stop(d)
	}
}

// succeed starts a second process of a daemon, which shares the sockets of the first
// one. That one is asked to end when the second is ready.
func (s *Supervisor) succeed(d *daemon) {
	d.leaving = append(d.leaving, d.run)
	d.run = nil
	s.wait(d)
}

// mayStart says why a daemon cannot be started.
func (s *Supervisor) mayStart(d *daemon) error {
	if s.closing {
		return errEnding
	}
	if !d.plan.Run {
		return fmt.Errorf("%s does not run on this host: %s; change that setting and run `panteras reload`", d.plan.Name, d.plan.Because)
	}
	return nil
}

// outcome says what has become of a daemon that was asked to start, more than
// `before` starts ago.
func (s *Supervisor) outcome(d *daemon, before int) (done bool, err error) {
	if d.starts <= before && d.wanted {
		return false, nil
	}
	switch d.state {
	case launcher.StateReady, launcher.StateUnhealthy:
		return true, nil
	case launcher.StateBackoff, launcher.StateFailed, launcher.StateAbsent:
		return true, fmt.Errorf("%s is %s: %s", d.plan.Name, d.state, d.why())
	case launcher.StateStopped, launcher.StateDisabled:
		return true, fmt.Errorf("%s was stopped meanwhile", d.plan.Name)
	}
	return false, nil
}

// why is the reason of a state, or how the last process ended.
func (d *daemon) why() string {
	if d.reason != "" {
		return d.reason
	}
	return d.lastExit
}

// explain says in what state a daemon was found when the patience of the asker was
// over.
func (s *Supervisor) explain(ctx context.Context, d *daemon, err error) error {
	if err == nil || ctx.Err() == nil || !errors.Is(err, context.Cause(ctx)) {
		return err
	}
	st := s.statusOf(d)
	switch {
	case len(st.WaitingFor) > 0:
		return fmt.Errorf("%s still waits for %s: %w", st.Name, strings.Join(st.WaitingFor, ", "), err)
	case st.Reason != "":
		return fmt.Errorf("%s is still %s (%s): %w", st.Name, st.State, st.Reason, err)
	}
	return fmt.Errorf("%s is still %s: %w", st.Name, st.State, err)
}

// Status tells what has become of the daemons.
func (s *Supervisor) Status() launcher.Status {
	var st launcher.Status
	answered := make(chan struct{})
	if s.post(func() { st = s.status(); close(answered) }) {
		<-answered
		return st
	}
	return s.status() // the owner has ended
}

func (s *Supervisor) statusOf(d *daemon) launcher.DaemonStatus {
	for _, st := range s.Status().Daemons {
		if st.Name == d.name {
			return st
		}
	}
	return launcher.DaemonStatus{}
}

// status is Status for the owner.
func (s *Supervisor) status() launcher.Status {
	st := launcher.Status{Daemons: make([]launcher.DaemonStatus, 0, len(s.daemons))}
	for _, d := range s.daemons {
		one := launcher.DaemonStatus{
			Name: d.plan.Name, State: d.state, Since: d.since, Restarts: d.restarts, Ready: d.state == launcher.StateReady,
			WaitingFor: []string{}, LastExit: d.lastExit, Reason: d.reason,
		}
		if d.state == launcher.StateDisabled {
			one.Reason = d.plan.Because
		}
		if d.run != nil && d.run.exit == nil { // what else belongs to it may still be going
			one.Pid = d.run.process.Pid()
		}
		if d.state == launcher.StateWaiting {
			one.WaitingFor = append(one.WaitingFor, s.blockers(d)...)
		}
		if d.state == launcher.StateBackoff {
			at := d.retryAt
			one.RetryAt = &at
		}
		st.Daemons = append(st.Daemons, one)
	}
	return st
}
