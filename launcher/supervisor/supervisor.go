package supervisor

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"

	"panteras/launcher"
	"panteras/launcher/proc"
	"panteras/launcher/restart"
)

// Runner is what the supervisor does to the machine.
type Runner interface {
	// Start writes the daemon's files and starts it. An error that wraps
	// [proc.ErrAbsent] says that its program is not installed.
	Start(launcher.Daemon) (Process, error)
	// Reload writes the daemon's files anew and makes a running process read them.
	Reload(launcher.Daemon, Process) error
	// CanOverlap tells whether nothing that the running process has opened itself would
	// be in its successor's way.
	CanOverlap(launcher.Daemon) bool
}

// Process is a daemon that was started, with all that it started in turn.
type Process interface {
	Pid() int
	// Exited delivers how the process that was started has ended, once.
	Exited() <-chan proc.Exit
	// Gone is closed when nothing that belongs to the daemon is left.
	Gone() <-chan struct{}
	// Notified is closed when the daemon has said that it is ready (sd_notify).
	Notified() <-chan struct{}
	// Paused tells whether the process has been stopped by a signal, such as SIGSTOP:
	// it does nothing then, and what it has opened is still there.
	Paused() bool
	Signal(syscall.Signal) error
	// KillAll ends everything that belongs to the daemon at once.
	KillAll()
}

// Options are what a supervisor is made of. All functions are required.
type Options struct {
	Plan   *launcher.Plan
	Runner Runner
	// Probe asks a daemon whether it is ready; see package probe.
	Probe func(context.Context, launcher.Probe) error
	// Decide says what to do about a daemon that ended; see package restart.
	Decide func(daemon string, e restart.Exit, failures int) restart.Decision
	// External says why something that is no daemon of the plan, such as Docker,
	// cannot be used yet; nil if it can.
	External func(name string) error
	// Replan reads the settings again.
	Replan func() (*launcher.Plan, error)
	// Farewell is called when the supervisor begins to stop everything; Consul stops
	// after it has returned. It must return soon after its context is done.
	Farewell func(context.Context)
	// Changed is told of every change of a state. It must not block.
	Changed func(launcher.Status)
	Log     *slog.Logger
}

// farewellTime bounds Options.Farewell.
const farewellTime = 5 * time.Second

// Supervisor runs a plan. Make one with New, run it once with Run.
type Supervisor struct {
	opts    Options
	daemons []*daemon
	byName  map[string]*daemon

	calls   chan func()
	done    chan struct{} // closed when Run returns
	helpers sync.WaitGroup
	// Of the owner goroutine:
	waiters  []waiter
	closing  bool // everything is being stopped
	farewell bool // Options.Farewell has returned
	changed  bool // a state changed since Options.Changed was told

	// reloading holds one while somebody takes over a plan or hands over.
	reloading chan struct{}
}

// New makes a supervisor. With a snapshot it goes on where another process of this
// program left off: the daemons that ran then run still.
func New(opts Options, from *Snapshot) *Supervisor {
	s := &Supervisor{changed: true, opts: opts, byName: map[string]*daemon{}, calls: make(chan func()), done: make(chan struct{}), reloading: make(chan struct{}, 1)}
	for _, plan := range opts.Plan.Daemons {
		d := &daemon{name: plan.Name, plan: plan, wanted: plan.Run, since: time.Now(), state: launcher.StateDisabled}
		if plan.Run {
			d.state = launcher.StateWaiting
		}
		s.daemons = append(s.daemons, d)
		s.byName[plan.Name] = d
	}
	if from != nil {
		s.restore(from)
	}
	return s
}

// Run runs the daemons until ctx is done, and then stops them all, in order: it
// returns when the last process is gone.
func (s *Supervisor) Run(ctx context.Context) {
	defer s.helpers.Wait()
	defer close(s.done)
	stop := ctx.Done()
	s.resume()
	for {
		s.settle()
		s.tell()
		if s.closing && s.finished() {
			return
		}
		select {
		case f := <-s.calls:
			f()
		case <-stop:
			stop = nil
			s.close()
		}
	}
}

// alone waits until nobody else reloads or hands over; unlock may be called twice.
func (s *Supervisor) alone(ctx context.Context) (unlock func(), err error) {
	select {
	case s.reloading <- struct{}{}:
		return sync.OnceFunc(func() { <-s.reloading }), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// post makes the owner call f; false if it has ended.
func (s *Supervisor) post(f func()) bool {
	select {
	case s.calls <- f:
		return true
	case <-s.done:
		return false
	}
}

// help runs f beside the owner.
func (s *Supervisor) help(f func()) { s.helpers.Go(f) }

// after makes the owner call f when d is over, unless the timer is stopped.
func (s *Supervisor) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() { s.post(f) })
}

// waiter is somebody who waits for something to become true.
type waiter struct {
	check  func() (done bool, err error)
	result chan error
}

// until does something as the owner and then waits until check is done with.
func (s *Supervisor) until(ctx context.Context, act func() error, check func() (bool, error)) error {
	result := make(chan error, 1)
	if !s.post(func() {
		if err := act(); err != nil {
			result <- err
			return
		}
		s.waiters = append(s.waiters, waiter{check, result})
	}) {
		return errEnding
	}
	select {
	case err := <-result:
		return err
	case <-s.done:
		select {
		case err := <-result:
			return err
		default:
			return errEnding
		}
	case <-ctx.Done():
		forgotten := make(chan struct{})
		if s.post(func() {
			s.waiters = slices.DeleteFunc(s.waiters, func(w waiter) bool { return w.result == result })
			close(forgotten)
		}) {
			<-forgotten
		}
		select {
		case err := <-result:
			return err
		default:
			return context.Cause(ctx)
		}
	}
}

// tell answers waiters and reports changes.
func (s *Supervisor) tell() {
	kept := s.waiters[:0]
	for _, w := range s.waiters {
		if done, err := w.check(); done {
			w.result <- err
			continue
		}
		kept = append(kept, w)
	}
	s.waiters = kept
	if s.changed {
		s.changed = false
		s.opts.Changed(s.status())
	}
}

// settle starts and stops what can be now.
func (s *Supervisor) settle() {
	for again := true; again; {
		again = false
		for _, d := range s.daemons {
			if s.closing {
				s.settleStop(d)
				continue
			}
			if d.state == launcher.StateWaiting && d.run == nil && s.unblocked(d) {
				s.start(d)
				again = true // it may be ready at once
			}
		}
	}
}
