package supervisor

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"panteras/launcher"
)

// Reload reads the settings again and makes only those daemons start anew, or read
// their files anew, whose plan differs. It returns when they are ready. With a name
// it looks at that daemon alone, which reads its files anew even if they are the
// same. Settings that are wrong change nothing.
func (s *Supervisor) Reload(ctx context.Context, name string) error {
	unlock, err := s.alone(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if name != "" {
		if _, err := s.find(name); err != nil {
			return err
		}
	}
	plan, err := s.opts.Replan()
	if err == nil {
		err = plan.Err()
	}
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	starts := map[*daemon]int{} // what was begun, and how often it had started before
	var failed []error
	err = s.until(ctx, func() error {
		defer unlock() // who reloads next need not wait until all is ready
		if s.closing {
			return errEnding
		}
		for _, next := range plan.Daemons {
			d := s.byName[next.Name]
			if d == nil || name != "" && name != next.Name {
				continue
			}
			before := d.starts
			begun, err := s.adopt(d, next, name != "")
			if err != nil {
				failed = append(failed, err)
			}
			if begun {
				starts[d] = before
			}
		}
		return nil
	}, func() (bool, error) {
		errs := slices.Clone(failed)
		for d, before := range starts {
			done, err := s.outcome(d, before)
			if !done {
				return false, nil
			}
			errs = append(errs, err)
		}
		return true, errors.Join(errs...)
	})
	if err == nil || ctx.Err() == nil {
		return err
	}
	var late []error
	for d := range starts {
		if !s.statusOf(d).Ready {
			late = append(late, s.explain(ctx, d, err))
		}
	}
	return errors.Join(late...)
}

// adopt takes over what the plan says now of a daemon. begun tells that it starts
// anew; with force, one that runs reads its files even if nothing differs.
func (s *Supervisor) adopt(d *daemon, next launcher.Daemon, force bool) (begun bool, err error) {
	before := d.plan
	d.plan = next
	switch {
	case !next.Run:
		if before.Run {
			d.wanted = false
			s.stop(d)
		}
		return false, nil
	case !before.Run:
		d.wanted, d.failures = true, 0
		s.restart(d) // what ran before may still be stopping
		return true, nil
	case !d.wanted: // an operator stopped it
		return false, nil
	}
	same, sameFiles := sameProcess(before, next), reflect.DeepEqual(before.Files, next.Files)
	switch {
	case same && sameFiles && !force:
		if d.run != nil { // what another daemon's files make of it may differ, such as a port
			d.run.askBy(next.Probe)
		}
		return false, nil
	case d.over(): // it does not run, and may do so with what is new
		d.failures = 0
		s.wait(d)
		return true, nil
	case same && next.Reload != "" && d.state != launcher.StateStarting: // which may not listen to signals yet
		s.opts.Log.Info("daemon reads its files anew", "daemon", next.Name)
		if err := s.opts.Runner.Reload(next, d.run.process); err != nil {
			d.plan = before // the next reload tries again
			return false, fmt.Errorf("cannot reload %s: %w", next.Name, err)
		}
		d.run.askBy(next.Probe)
		return false, nil
	case same && sameFiles: // forced, and it cannot do that
		s.opts.Log.Info("daemon cannot read its files anew, restarting it", "daemon", next.Name)
	default:
		s.opts.Log.Info("daemon starts anew, because its plan differs", "daemon", next.Name)
	}
	d.failures = 0
	s.restart(d)
	return true, nil
}

// sameProcess tells whether only the files of two plans of a daemon may differ.
func sameProcess(a, b launcher.Daemon) bool {
	return slices.Equal(a.Argv, b.Argv) && launcher.SameEnv(a.Env, b.Env) && a.User == b.User && a.NOFile == b.NOFile &&
		slices.Equal(a.Capabilities, b.Capabilities) && slices.Equal(a.Sockets, b.Sockets) && a.Probe.Kind == b.Probe.Kind
}
