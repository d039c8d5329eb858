package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"panteras/configs"
	"panteras/launcher"
	"panteras/launcher/proc"
	"panteras/launcher/restart"
)

// rig is a supervisor on a fake machine, in a synctest bubble.
type rig struct {
	*Supervisor
	t      *testing.T
	cancel context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex
	pid      int
	running  map[string][]*fakeProcess
	events   []string // what was done to the machine, in order
	answers  map[string]error
	absent   map[string]bool
	opened   map[string]bool // have sockets that their successor cannot share
	stubborn map[string]bool // ignore the signal to stop
	next     *launcher.Plan
	docker   error
	full     error // of writing files
	farewell func(context.Context)
	statuses []launcher.Status
}

type fakeProcess struct {
	rig      *rig
	daemon   string
	pid      int
	exited   chan proc.Exit
	gone     chan struct{}
	notified chan struct{}
	over     bool
	paused   bool
	lingers  bool // something of it does not go before it is told to
}

func (p *fakeProcess) Pid() int                  { return p.pid }
func (p *fakeProcess) Exited() <-chan proc.Exit  { return p.exited }
func (p *fakeProcess) Gone() <-chan struct{}     { return p.gone }
func (p *fakeProcess) Notified() <-chan struct{} { return p.notified }

func (p *fakeProcess) Paused() bool {
	p.rig.mu.Lock()
	defer p.rig.mu.Unlock()
	return p.paused
}

// pause stops the process, or lets it go on.
func (p *fakeProcess) pause(paused bool) {
	p.rig.mu.Lock()
	defer p.rig.mu.Unlock()
	p.paused = paused
}

func (p *fakeProcess) Signal(sig syscall.Signal) error {
	p.rig.log("%s gets signal %d", p.daemon, sig)
	if !p.rig.stubborn[p.daemon] {
		p.exit(proc.Exit{Signal: sig})
	}
	return nil
}

func (p *fakeProcess) KillAll() {
	p.rig.log("%s is killed", p.daemon)
	p.exit(proc.Exit{Signal: syscall.SIGKILL})
}

// exit ends the process with all it has.
func (p *fakeProcess) exit(e proc.Exit) {
	p.rig.mu.Lock()
	defer p.rig.mu.Unlock()
	if p.over || p.lingers {
		return
	}
	p.over = true
	p.exited <- e
	p.leave()
}

// goes ends what lingers.
func (p *fakeProcess) goes() {
	p.rig.mu.Lock()
	defer p.rig.mu.Unlock()
	p.leave()
}

func (p *fakeProcess) leave() {
	close(p.gone)
	list := p.rig.running[p.daemon]
	for i, other := range list {
		if other == p {
			p.rig.running[p.daemon] = append(list[:i:i], list[i+1:]...)
		}
	}
}

func (r *rig) log(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *rig) Start(d launcher.Daemon) (Process, error) {
	r.log("start %s", d.Name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.absent[d.Name] {
		return nil, fmt.Errorf("%s is %w", d.Name, proc.ErrAbsent)
	}
	return r.newProcess(d.Name), nil
}

func (r *rig) newProcess(name string) *fakeProcess {
	r.pid++
	p := &fakeProcess{rig: r, daemon: name, pid: r.pid, exited: make(chan proc.Exit, 1), gone: make(chan struct{}), notified: make(chan struct{})}
	r.running[name] = append(r.running[name], p)
	return p
}

func (r *rig) Reload(d launcher.Daemon, p Process) error {
	r.log("reload %s", d.Name)
	return r.full
}

func (r *rig) CanOverlap(d launcher.Daemon) bool { return !r.opened[d.Name] }

// process is the newest process of a daemon.
func (r *rig) process(name string) *fakeProcess {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.running[name]
	if len(list) == 0 {
		r.t.Fatalf("%s does not run; events: %q", name, r.events)
	}
	return list[len(list)-1]
}

// answer sets what a daemon's probe says from now on; nil is ready.
func (r *rig) answer(name string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[name] = err
}

var errNotYet = errors.New("connection refused")

// daemons makes a plan in which every daemon that is named has a TCP probe.
func daemons(list ...launcher.Daemon) *launcher.Plan {
	p := &launcher.Plan{}
	for _, d := range list {
		d.Run, d.Because = true, "MASTER=true (default)"
		if d.Probe.Kind == "" {
			d.Probe = launcher.Probe{Kind: launcher.ProbeTCP, Address: d.Name}
		}
		if d.Stop.Signal == "" {
			d.Stop = launcher.Stop{Signal: "SIGTERM", GraceSeconds: 10}
		}
		p.Daemons = append(p.Daemons, d)
	}
	return p
}

// bubble runs a test on a rig. All daemons must have ended and all goroutines with
// them when it is over.
func bubble(t *testing.T, plan *launcher.Plan, prepare func(*rig), test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{
			t: t, running: map[string][]*fakeProcess{}, answers: map[string]error{}, absent: map[string]bool{}, stubborn: map[string]bool{}, opened: map[string]bool{},
			next: plan, ended: make(chan struct{}), farewell: func(context.Context) {},
		}
		if prepare != nil {
			prepare(r)
		}
		r.begin(plan, nil)
		r.settled()
		test(r)
		r.end()
		for name, list := range r.running {
			if len(list) > 0 {
				t.Errorf("%d processes of %s are left", len(list), name)
			}
		}
	})
}

// begin runs a supervisor.
func (r *rig) begin(plan *launcher.Plan, from *Snapshot) {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan struct{})
	r.Supervisor = New(Options{
		Plan: plan, Runner: r,
		Probe: func(ctx context.Context, p launcher.Probe) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.answers[p.Address]
		},
		Decide: func(name string, e restart.Exit, failures int) restart.Decision {
			return restart.Decide(name, e, failures, func() float64 { return 0.5 })
		},
		External: func(string) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.docker
		},
		Replan:   func() (*launcher.Plan, error) { return r.next, nil },
		Farewell: func(ctx context.Context) { r.log("farewell"); r.farewell(ctx) },
		Changed: func(s launcher.Status) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.statuses = append(r.statuses, s)
		},
		Log: slog.New(slog.DiscardHandler),
	}, from)
	go func() { r.Run(ctx); close(r.ended) }()
}

// end stops everything.
func (r *rig) end() {
	r.cancel()
	<-r.ended
}

// settled waits until nothing happens any more without time passing.
func (r *rig) settled() { synctest.Wait() }

// pass lets time pass.
func (r *rig) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (r *rig) want(name string, state launcher.State) launcher.DaemonStatus {
	r.t.Helper()
	for _, d := range r.Status().Daemons {
		if d.Name == name {
			if d.State != state {
				r.t.Errorf("%s is %s (%s), want %s; events: %q", name, d.State, d.Reason, state, r.took())
			}
			return d
		}
	}
	r.t.Fatalf("no daemon %s", name)
	return launcher.DaemonStatus{}
}

// took returns the events so far.
func (r *rig) took() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.events...)
}

// forget drops the events so far.
func (r *rig) forgetEvents() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}

// bad is a plan with an error.
func bad() *launcher.Plan {
	return &launcher.Plan{Findings: []configs.Finding{{Level: configs.LevelError, Setting: "IP", Message: "IP=0.0.0.0 is no address"}}}
}
