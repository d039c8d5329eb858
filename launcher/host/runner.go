package host

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"panteras/launcher"
	"panteras/launcher/guard"
	"panteras/launcher/proc"
	"panteras/launcher/supervisor"
)

// runner is the host as the supervisor sees it.
type runner struct{ *Host }

// Start writes a daemon's files and starts it.
func (h runner) Start(d launcher.Daemon) (supervisor.Process, error) {
	// Before anything is written for a program that is not there.
	if err := installed(d); err != nil {
		return nil, err
	}
	if err := h.writeFiles(d); err != nil {
		return nil, err
	}
	h.prepareFloating(d)
	if d.Watch.Daemon != "" {
		// It starts when the other one is ready; the file may be of another run.
		if err := writeWatch(d, false); err != nil {
			return nil, fmt.Errorf("cannot write a file of %s: %w", d.Name, err)
		}
	}
	caps, err := capabilities(d.Capabilities)
	if err != nil {
		return nil, err
	}
	listen, err := h.sockets.of(d)
	if err != nil {
		return nil, err
	}
	stdout, stderr, err := h.logs.Pipe(d.Name)
	if err != nil {
		return nil, fmt.Errorf("cannot make pipes for the output of %s: %w", d.Name, err)
	}
	defer stdout.Close()
	defer stderr.Close()
	name := d.Name
	if d.Self {
		// For a while it runs beside its successor, and is another daemon then.
		name += "-" + rand.Text()[:8]
	}
	own, err := ownerOf(d.User)
	if err != nil {
		return nil, err
	}
	env := maps.Clone(d.Env)
	if d.Self {
		env[guard.EnvLauncher] = strconv.Itoa(os.Getpid())
	}
	var ready *readiness
	if d.Probe.Kind == launcher.ProbeNotify {
		if ready, err = newReadiness(filepath.Join(h.settings().RunDir, d.Name, notifyPrefix+rand.Text()[:8]), own); err != nil {
			return nil, err
		}
		env["NOTIFY_SOCKET"] = ready.path
	}
	user := d.User
	if os.Geteuid() != 0 {
		user, caps = "", nil // it can only run as we do
	}
	p, err := h.reaper.Start(proc.Spec{
		Name: name, Argv: d.Argv, Env: env, User: user, NOFile: d.NOFile, Caps: caps,
		Stdout: stdout, Stderr: stderr, Listen: listen, Self: d.Self,
	})
	if err != nil {
		if ready != nil {
			ready.close()
		}
		return nil, err
	}
	started := &process{Process: p, name: name, readiness: ready}
	started.closeAfter()
	h.keepFloating(started, d.Floating)
	return started, nil
}

// CanOverlap tells whether all sockets of a daemon are held here.
func (h runner) CanOverlap(d launcher.Daemon) bool { return !h.sockets.missing[d.Name] }

// installed says why a daemon's program cannot be run. The error wraps proc.ErrAbsent
// if it is not there.
func installed(d launcher.Daemon) error {
	if d.Self || len(d.Argv) == 0 {
		return nil
	}
	_, err := proc.LookUp(d.Argv[0], d.Env["PATH"])
	for _, file := range d.Needs {
		if _, missing := os.Stat(file); err == nil && errors.Is(missing, os.ErrNotExist) {
			err = fmt.Errorf("%s is %w", file, proc.ErrAbsent)
		}
	}
	if errors.Is(err, proc.ErrAbsent) {
		return fmt.Errorf("%w; %s", err, launcher.InstallHint(d.Name))
	}
	return err
}

// Reload writes a daemon's files anew and makes it read them.
func (h runner) Reload(d launcher.Daemon, p supervisor.Process) error {
	if err := h.writeFiles(d); err != nil {
		return err
	}
	sig := unix.SignalNum(d.Reload)
	if sig == 0 {
		return fmt.Errorf("%s reads its files anew on %q, which is no signal", d.Name, d.Reload)
	}
	if running, ok := p.(*process); ok {
		h.changeFloating(running, d.Floating)
	}
	return p.Signal(sig)
}

// capabilityNumbers are those that plans use; see capabilities(7).
var capabilityNumbers = map[string]uintptr{
	"CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE,
	"CAP_NET_ADMIN":        unix.CAP_NET_ADMIN,
	"CAP_NET_RAW":          unix.CAP_NET_RAW,
	"CAP_SYS_ADMIN":        unix.CAP_SYS_ADMIN,
}

func capabilities(names []string) ([]uintptr, error) {
	var list []uintptr
	for _, name := range names {
		n, ok := capabilityNumbers[name]
		if !ok {
			return nil, fmt.Errorf("the capability %s is unknown", name)
		}
		list = append(list, n)
	}
	return list, nil
}
