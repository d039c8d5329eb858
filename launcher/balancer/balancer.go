package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"panteras/configs/haproxy"
)

// Reloader asks whoever runs HAProxy to make it read its files. It need not wait until
// that is done.
type Reloader interface {
	Reload(ctx context.Context) error
}

// Balancer applies snapshots on one host.
type Balancer struct {
	// Options are what the host says; Busy is found out here.
	Options haproxy.Options
	// StateDir holds the configuration, which outlives a restart of the host; RunDir
	// the sockets and the report. Both are folders of HAProxy's own.
	StateDir, RunDir string
	// Program is HAProxy; "" looks it up in PATH.
	Program string
	// Master is the path of the master's socket.
	Master   string
	Reloader Reloader
	Log      *slog.Logger
	// Patience is how long a reload may take; 0 is 20 s.
	Patience time.Duration
}

// The names of the files beside those of haproxy.Config.
const (
	// ReportFile lies in RunDir for people, and in StateDir for the next snapshot.
	ReportFile = "report.json"
	shapesFile = "shapes.json"
	lockFile   = "apply.lock"
	nextDir    = "next"
)

// Result tells what Apply did.
type Result struct {
	haproxy.Report
	// Changed tells that the files differ from those before.
	Changed bool
	// Reloaded tells that a reload was needed, Changes how many changes were made
	// through the runtime socket.
	Reloaded bool
	Changes  int
	// Running is false where no HAProxy runs: it will start with these files.
	Running bool
}

// Apply brings a snapshot into effect. An error means that the last good configuration
// stays, and the report says why.
func (b *Balancer) Apply(ctx context.Context, text []byte) (*Result, error) {
	unlock, err := b.begin(syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer unlock()
	snapshot, err := haproxy.Decode(text)
	if err != nil { // one before it that is pending stays so
		b.refuse(err, b.lastReport())
		return nil, err
	}
	return b.attempt(ctx, snapshot, &pending{Snapshot: text})
}

// Retry applies the last snapshot again, if it is pending. The result is nil if none is,
// or if one is being applied right now.
func (b *Balancer) Retry(ctx context.Context) (*Result, error) {
	unlock, err := b.begin(syscall.LOCK_EX | syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	p, err := b.pending()
	if p == nil || err != nil {
		return nil, err
	}
	snapshot, err := haproxy.Decode(p.Snapshot)
	if err != nil {
		return nil, errors.Join(err, b.forget())
	}
	return b.attempt(ctx, snapshot, p)
}

// begin makes the folders, and keeps others from applying at the same time.
func (b *Balancer) begin(how int) (unlock func(), err error) {
	for _, dir := range []string{b.StateDir, b.RunDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	return lock(filepath.Join(b.StateDir, lockFile), how)
}

// attempt applies a snapshot, which is pending until it is in effect.
func (b *Balancer) attempt(ctx context.Context, snapshot *haproxy.Snapshot, p *pending) (*Result, error) {
	b.keep(p)
	previous := b.lastReport()
	result, err := b.apply(ctx, snapshot, previous)
	if err == nil {
		if result.Running {
			err = b.forget()
		}
		return result, err
	}
	if errors.As(err, new(*notTaken)) {
		if p.Refused++; p.Refused < mostRefusals {
			b.keep(p)
		} else if forgetErr := b.forget(); forgetErr != nil {
			b.Log.Error("cannot give a refused snapshot up", "error", forgetErr)
		}
	}
	b.refuse(err, previous)
	return nil, err
}

// refuse tells people why a snapshot has no effect.
func (b *Balancer) refuse(why error, previous *haproxy.Report) {
	refused := haproxy.Report{Refused: why.Error(), Pending: Pending(b.RunDir)}
	if previous != nil {
		refused.Backends, refused.Findings = previous.Backends, previous.Findings
		refused.Applied, refused.Reloaded = previous.Applied, previous.Reloaded
	}
	if err := b.writeRefusal(refused); err != nil {
		b.Log.Error("cannot write the report", "error", err)
	}
}

func (b *Balancer) apply(ctx context.Context, snapshot *haproxy.Snapshot, previous *haproxy.Report) (*Result, error) {
	running := b.running()
	config := b.render(snapshot, previous, running != "")
	changed, err := b.differs(config)
	if err != nil {
		return nil, err
	}
	result := &Result{Report: config.Report, Changed: changed, Running: running != ""}
	shapes := b.shapes()
	if changed {
		if err := b.stage(ctx, config); err != nil {
			return nil, err
		}
	}
	last := files(b.StateDir, config)
	// The shapes come first: a HAProxy that starts at this moment has one of them.
	known := map[string]haproxy.Shape{config.Shape.ID: config.Shape}
	if shape, ok := shapes[running]; ok {
		known[running] = shape
	}
	if err := b.writeShapes(known); err != nil {
		return nil, err
	}
	if changed {
		if err := b.install(config); err != nil {
			return nil, err
		}
	}
	if running == "" && changed && b.running() != "" {
		// It has started meanwhile, maybe with the files before.
		return b.apply(ctx, snapshot, previous)
	}
	if running != "" {
		err := b.bringUp(ctx, config, known[running], result)
		if err != nil && b.gone() {
			// It was stopped meanwhile, which says nothing against the configuration.
			err, result.Running, result.Reloaded = nil, false, false
		}
		if err != nil {
			if restoreErr := last.restore(); restoreErr != nil {
				b.Log.Error("cannot put the last good configuration back", "error", restoreErr)
			}
			return nil, err
		}
	}
	if changed { // clients need not wait for the disk
		if err := syncPath(b.StateDir); err != nil {
			return nil, err
		}
	}
	report := &result.Report
	report.Applied, report.Pending = time.Now().UTC(), !result.Running
	switch {
	case result.Reloaded:
		report.Reloaded = report.Applied
	case previous != nil:
		report.Reloaded = previous.Reloaded
	}
	if err := b.writeReport(*report); err != nil {
		return nil, err
	}
	return result, nil
}

// gone tells that HAProxy does not run, neither its master nor a worker.
func (b *Balancer) gone() bool {
	conn, err := net.DialTimeout("unix", b.Master, cliTimeout)
	if err != nil {
		return b.running() == ""
	}
	_ = conn.Close()
	return false
}

// bringUp makes a running HAProxy serve the configuration.
func (b *Balancer) bringUp(ctx context.Context, config *haproxy.Config, loaded haproxy.Shape, result *Result) error {
	if loaded.ID != "" && loaded.Takes(config.Shape) {
		n, err := reconcile(b.runtime(), config, loaded)
		result.Changes = n
		if err == nil {
			return nil
		}
		b.Log.Warn("cannot change the running HAProxy, so it is reloaded", "error", err)
	}
	result.Reloaded = true
	return b.reload(ctx, config.Shape.ID)
}

// render renders, without the TCP ports that somebody else holds: HAProxy would not
// start with one of them.
func (b *Balancer) render(s *haproxy.Snapshot, previous *haproxy.Report, running bool) *haproxy.Config {
	held := map[uint16]bool{}
	if previous != nil && running {
		for _, backend := range previous.Backends {
			held[backend.Port] = true
		}
	}
	options := b.Options
	config := haproxy.Render(s, options, previous)
	options.Busy = map[uint16]string{}
	for _, backend := range config.Report.Backends {
		if port := backend.Port; port != 0 && !held[port] && !free(netip.AddrPortFrom(options.Listen, port)) {
			options.Busy[port] = "another program on this host"
		}
	}
	if len(options.Busy) == 0 {
		return config
	}
	return haproxy.Render(s, options, previous)
}

// free tells that a port can be listened on.
func free(a netip.AddrPort) bool {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(a))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// lock locks a file as flock(2) has it.
func lock(path string, how int) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	return func() {
		// A child that is just being started has it, too, and does not unlock by Close.
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
		_ = f.Close()
	}, nil
}
