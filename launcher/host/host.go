package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"panteras/configs"
	"panteras/internal/statefile"
	"panteras/launcher"
	"panteras/launcher/control"
	"panteras/launcher/guard"
	"panteras/launcher/logs"
	"panteras/launcher/page"
	"panteras/launcher/probe"
	"panteras/launcher/proc"
	"panteras/launcher/restart"
	"panteras/launcher/supervisor"
)

// Options are what a launcher is made of.
type Options struct {
	// Load reads the settings of this host.
	Load func() (*configs.Loaded, configs.HostFacts)
	// Args and Env are this process's own, for the program that it may become.
	Args, Env []string
	// Self is the path of this program.
	Self string
	// Require are daemons whose programs must be installed.
	Require []string
	// Open opens sockets for the DNS server. It returns none for an address that is not
	// on this host yet; beside tells that this process holds the port already.
	Open func(s launcher.Socket, beside bool) ([]*os.File, error)
	// Link is the link to the guard.
	Link *guard.Link
	// Peers and Explain are for the status page.
	Peers   page.Peers
	Explain func(ctx context.Context, name string) (string, error)
	Build   control.Build
	Console io.Writer
	Log     *slog.Logger
}

// Host is a launcher at work.
type Host struct {
	o          Options
	reaper     *proc.Reaper
	logs       *logs.Logs
	sockets    *sockets
	supervisor *supervisor.Supervisor
	status     *net.TCPListener
	upgrades   chan string
	// The newest status, for who registers, and for who tells daemons about others.
	changes, watched chan launcher.Status

	stopRegister func()
	// asked tells that a signal has asked for a reload which has not read the settings yet.
	asked atomic.Bool

	mu         sync.Mutex
	control    *net.UnixListener
	server     *control.Server // nil before it serves, like page
	page       *page.Page
	loaded     *configs.Loaded
	plan       *launcher.Plan
	lastStatus launcher.Status
}

// SettingsError says that the settings are wrong.
type SettingsError struct{ err error }

func (e *SettingsError) Error() string { return e.err.Error() }

// Unwrap returns what is wrong.
func (e *SettingsError) Unwrap() error { return e.err }

// Run runs this host's daemons until ctx is done and then stops them in order. urgent is closed when somebody asks a second
// time.
func Run(ctx context.Context, o Options, reloads <-chan os.Signal, urgent <-chan struct{}) error {
	h := &Host{o: o, upgrades: make(chan string, 1), changes: make(chan launcher.Status, 1), watched: make(chan launcher.Status, 1)}
	left, err := inheritance()
	if err != nil {
		return err
	}
	plan, err := h.replan()
	if left != nil {
		err = errors.Join(err, left.keepFolders(&h.loaded.Settings))
	}
	if err == nil {
		err = plan.Err()
	}
	if err != nil && left == nil {
		return &SettingsError{err}
	}
	if err != nil { // the daemons go on as they are
		o.Log.Error("the settings are wrong; what runs goes on as it is", "error", err)
		plan = planOf(plan, left.Snapshot)
		h.plan = plan
	}
	return h.run(ctx, left, plan, reloads, urgent)
}

// planOf is the plan that daemons were started from.
func planOf(p *launcher.Plan, snap *supervisor.Snapshot) *launcher.Plan {
	old := *p
	old.Daemons = nil
	for _, d := range snap.Daemons {
		old.Daemons = append(old.Daemons, d.Plan)
	}
	return &old
}

func (h *Host) run(ctx context.Context, left *handOver, plan *launcher.Plan, reloads <-chan os.Signal, urgent <-chan struct{}) (err error) {
	settings := h.settings()
	for _, dir := range []string{settings.RunDir, settings.StateDir} {
		if err := statefile.MakeOpenFolder(dir); err != nil {
			return fmt.Errorf("cannot make a folder: %w; set RUN_DIR and STATE_DIR to folders that this user may write to", err)
		}
	}
	if left == nil {
		if err := requirePrograms(h.o.Require, plan); err != nil {
			return err
		}
	}
	if err := h.listen(left); err != nil {
		return err
	}
	defer func() { _ = h.socket().Close() }()
	if h.reaper, err = proc.NewReaper(h.o.Log); err != nil {
		return err
	}
	defer h.reaper.Close()
	h.logs = logs.New(logs.Options{Dir: settings.LogDir, Format: settings.LogFormat, Console: h.o.Console, Mask: plan.Mask})
	defer h.logs.Close()
	h.sockets = &sockets{open: h.o.Open, held: map[string][]heldSocket{}, missing: map[string]bool{}}
	defer h.sockets.close()
	var snap *supervisor.Snapshot
	if left != nil {
		snap = h.take(left)
	}
	h.supervisor = supervisor.New(supervisor.Options{
		Plan: plan, Runner: runner{h}, Probe: probe.Check,
		Decide: func(name string, e restart.Exit, failures int) restart.Decision {
			return restart.Decide(name, e, failures, rand.Float64)
		},
		External: external, Replan: h.replan, Farewell: h.farewell, Changed: h.changed, Log: h.o.Log,
	}, snap)
	stopServing, err := h.serve()
	if err != nil {
		return err
	}
	defer stopServing()

	registering, stop := context.WithCancel(context.Background())
	var register sync.WaitGroup
	h.stopRegister = sync.OnceFunc(func() { stop(); register.Wait() })
	defer h.stopRegister()
	register.Go(func() { h.registerLoop(registering) })
	register.Go(func() { watchClock(registering, h.o.Log) })
	register.Go(func() { h.balanceLoop(registering) })
	var watch sync.WaitGroup
	watching, stopWatching := context.WithCancel(context.Background())
	defer func() { stopWatching(); watch.Wait() }()
	watch.Go(func() { h.watchLoop(watching) })

	ended := make(chan struct{})
	go func() {
		h.supervisor.Run(ctx)
		close(ended)
	}()
	notify(daemon.SdNotifyReady)
	h.o.Link.Ready()
	defer h.forgetSockets()
	return h.wait(ctx, ended, reloads, urgent)
}

// forgetSockets removes the notify sockets of daemons, all of which have ended.
func (h *Host) forgetSockets() {
	list, _ := filepath.Glob(filepath.Join(h.settings().RunDir, "*", notifyPrefix+"*"))
	for _, path := range list {
		_ = os.Remove(path)
	}
}

// wait does what is asked from outside until the supervisor has ended.
func (h *Host) wait(ctx context.Context, ended chan struct{}, reloads <-chan os.Signal, urgent <-chan struct{}) error {
	stopping := ctx.Done()
	for {
		select {
		case <-ended:
			return nil
		case <-stopping:
			stopping = nil
			notify(daemon.SdNotifyStopping)
		case <-urgent:
			urgent = nil
			h.o.Log.Warn("asked a second time to stop; killing what still runs")
			h.supervisor.KillAll()
		case <-reloads:
			if !h.asked.Swap(true) { // one that will read the settings does for all
				go h.reloadBySignal(ctx)
			}
		case path := <-h.upgrades:
			if err := h.become(ctx, path, reloads); err != nil {
				h.o.Log.Error("upgrade failed; everything goes on as before", "error", err)
			}
		}
	}
}

// reloadTime is how long a reload by signal waits for daemons.
const reloadTime = 5 * time.Minute

func (h *Host) reloadBySignal(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	defer notify(daemon.SdNotifyReady)
	h.renewSocket()
	if err := h.supervisor.Reload(ctx, ""); err != nil {
		if ctx.Err() != nil {
			h.asked.Store(false) // it may have had no turn
		}
		h.o.Log.Error("reload failed", "error", err)
		return
	}
	h.o.Log.Info("reloaded")
}

// take makes handles of what another program left. A daemon that cannot be taken over
// counts as ended.
func (h *Host) take(left *handOver) *supervisor.Snapshot {
	h.sockets.adopt(left.Sockets)
	maps.Copy(h.sockets.missing, left.Missing)
	for _, l := range left.Logs {
		if err := h.logs.Adopt(l); err != nil {
			h.o.Log.Error("cannot take over the output of a daemon", "daemon", l.Daemon, "error", err)
		}
	}
	for i, d := range left.Snapshot.Daemons {
		handle, ok := left.Handles[d.Plan.Name]
		if !ok {
			continue
		}
		p, err := adopt(h.reaper, handle)
		if err != nil {
			h.o.Log.Error("cannot take over a daemon", "daemon", d.Plan.Name, "pid", handle.Pid, "error", err)
			continue
		}
		h.keepFloating(p, d.Plan.Floating)
		h.changeFloating(p, d.Plan.Floating) // the guard may be another program, too
		left.Snapshot.Daemons[i].Process = p
	}
	return left.Snapshot
}

// look reads the settings, and plans.
func (h *Host) look() (*configs.Loaded, *launcher.Plan) {
	loaded, facts := h.o.Load()
	return loaded, launcher.New(loaded, launcher.Facts{Host: facts, Self: h.o.Self})
}

// replan reads the settings again. The plan is in force, for what is not a daemon,
// unless it has errors.
func (h *Host) replan() (*launcher.Plan, error) {
	h.asked.Store(false) // before they are read: what is asked from now on may be about others
	loaded, plan := h.look()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loaded != nil && plan.Err() == nil {
		if err := fixed(&h.loaded.Settings, &loaded.Settings); err != nil {
			return plan, err
		}
		if names := late(&h.loaded.Settings, &loaded.Settings); len(names) > 0 {
			h.o.Log.Warn("settings differ that the launcher reads only when it starts or is upgraded", "settings", names)
		}
	}
	if h.loaded == nil || plan.Err() == nil {
		h.loaded, h.plan = loaded, plan
		if h.logs != nil {
			h.logs.SetMask(plan.Mask)
		}
		if h.server != nil {
			h.server.SetChildren(plan.Metrics())
			h.letIn(&loaded.Settings)
		}
	}
	return plan, nil
}

func (h *Host) current() (*configs.Loaded, *launcher.Plan) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.loaded, h.plan
}

func (h *Host) settings() *configs.Settings {
	loaded, _ := h.current()
	return &loaded.Settings
}

// changed is told of every change of a state.
func (h *Host) changed(s launcher.Status) {
	h.mu.Lock()
	h.lastStatus = s
	h.mu.Unlock()
	replace(h.changes, s)
	replace(h.watched, s)
}

// replace puts a value into a channel of one, in the place of an older one that nobody
// took. Nobody else may send there.
func replace[T any](c chan T, value T) {
	for {
		select {
		case c <- value:
			return
		default:
		}
		select {
		case <-c:
		default:
		}
	}
}

func (h *Host) last() launcher.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lastStatus
}

// requirePrograms says which programs are missing that must be there.
func requirePrograms(names []string, p *launcher.Plan) error {
	var errs []error
	for _, name := range names {
		i := slices.IndexFunc(p.Daemons, func(d launcher.Daemon) bool { return d.Name == name })
		if i < 0 {
			var all []string
			for _, d := range p.Daemons {
				all = append(all, d.Name)
			}
			errs = append(errs, fmt.Errorf("--require %s: there is no such daemon; there are %s", name, strings.Join(all, ", ")))
			continue
		}
		d := p.Daemons[i]
		if d.Run {
			if err := installed(d); err != nil {
				errs = append(errs, fmt.Errorf("--require %s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// external says why something that is no daemon of a plan cannot be used yet.
func external(name string) error {
	if name != launcher.Docker {
		return fmt.Errorf("nothing is known of %s", name)
	}
	conn, err := net.DialTimeout("unix", launcher.DockerSocket, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// notify tells the service manager (sd_notify(3)); without one it does nothing.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }
