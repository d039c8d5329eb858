package balancer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"panteras/configs/haproxy"
	"panteras/internal/statefile"
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
	// AnswerTime is how long HAProxy may take to answer a command; 0 is 10 s.
	AnswerTime time.Duration
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
		b.refuse(err, b.lastReport(), true)
		return nil, err
	}
	return b.attempt(ctx, snapshot, text)
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
	text, err := b.pending()
	if text == nil || err != nil {
		return nil, err
	}
	snapshot, err := haproxy.Decode(text)
	if err != nil {
		return nil, errors.Join(err, b.forget())
	}
	return b.attempt(ctx, snapshot, text)
}

// begin makes the folders, and keeps others from applying at the same time.
func (b *Balancer) begin(how int) (unlock func(), err error) {
	for _, dir := range []string{b.StateDir, b.RunDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	return statefile.Flock(filepath.Join(b.StateDir, lockFile), how)
}

// attempt applies a snapshot, which as text is pending until it is in effect.
func (b *Balancer) attempt(ctx context.Context, snapshot *haproxy.Snapshot, text []byte) (*Result, error) {
	b.keep(text)
	result, err := b.apply(ctx, snapshot, b.lastReport())
	if err != nil {
		b.refuse(err, b.lastReport(), false)
		return nil, err
	}
	if result.Running {
		if err := errors.Join(b.forget(), b.forgetLast()); err != nil { // it has come into effect all the same
			b.Log.Error("a snapshot that is in effect may be tried again", "error", err)
		}
	}
	return result, nil
}

// refuse tells people why a snapshot has no effect; broken is one that never will.
func (b *Balancer) refuse(why error, previous *haproxy.Report, broken bool) {
	refused := haproxy.Report{Refused: why.Error(), Broken: broken, Pending: Pending(b.RunDir)}
	if previous != nil {
		refused.Backends, refused.Findings = previous.Backends, previous.Findings
		refused.Applied, refused.Reloaded = previous.Applied, previous.Reloaded
	}
	if err := b.writeRefusal(refused); err != nil {
		b.Log.Error("cannot write the report", "error", err)
	}
}

func (b *Balancer) apply(ctx context.Context, snapshot *haproxy.Snapshot, previous *haproxy.Report) (*Result, error) {
	p, err := b.place(ctx, snapshot, previous, nil)
	if err != nil {
		return nil, err
	}
	if p.running == "" && p.changed && b.running() != "" {
		// It has started meanwhile, maybe with the files before.
		again, err := b.place(ctx, snapshot, previous, &p.config.Report)
		if err != nil {
			return nil, errors.Join(err, b.restoreLast())
		}
		again.changed = true
		p = again
	}
	result := &Result{Report: p.config.Report, Changed: p.changed, Running: p.running != ""}
	if result.Running {
		err := b.bringUp(ctx, p.config, p.loaded, result)
		if err != nil && b.gone() {
			// It was stopped meanwhile, which says nothing against the configuration.
			err, result.Running, result.Reloaded = nil, false, false
		}
		if err != nil {
			if restoreErr := b.restoreLast(); restoreErr != nil {
				b.Log.Error("cannot put the last good configuration back", "error", restoreErr)
			}
			return nil, err
		}
	}
	if p.changed { // clients need not wait for the disk
		if err := syncPath(b.StateDir); err != nil {
			return nil, err
		}
	}
	result.date(time.Now().UTC(), previous)
	if err := b.writeReport(result.Report); err != nil {
		return nil, err
	}
	return result, nil
}

// date sets what the report says of when it came into effect: not yet, where HAProxy
// does not run.
func (r *Result) date(now time.Time, previous *haproxy.Report) {
	r.Pending = !r.Running
	if previous != nil {
		r.Applied, r.Report.Reloaded = previous.Applied, previous.Reloaded
	}
	if r.Running {
		r.Applied = now
	}
	if r.Reloaded {
		r.Report.Reloaded = now
	}
}

// placed is a configuration whose files are in place.
type placed struct {
	config  *haproxy.Config
	changed bool
	// running is the description of the HAProxy that ran before, loaded its shape, as
	// far as that is known.
	running string
	loaded  haproxy.Shape
}

// place renders a configuration, and moves its files into place if HAProxy takes them.
// Ports of previous and of started, if any, may be those that HAProxy holds.
func (b *Balancer) place(ctx context.Context, snapshot *haproxy.Snapshot, previous, started *haproxy.Report) (*placed, error) {
	p := &placed{running: b.running()}
	p.config = b.render(snapshot, previous, started, p.running != "")
	var err error
	if p.changed, err = b.differs(p.config); err != nil {
		return nil, err
	}
	shapes := b.shapes()
	if p.changed {
		if err := b.stage(ctx, p.config); err != nil {
			return nil, err
		}
	}
	// The shapes come first: a HAProxy that starts at this moment has one of them.
	known := map[string]haproxy.Shape{p.config.Shape.ID: p.config.Shape}
	if shape, ok := shapes[p.running]; ok {
		known[p.running] = shape
	}
	p.loaded = known[p.running]
	if err := b.writeShapes(known); err != nil {
		return nil, err
	}
	if !p.changed {
		return p, nil
	}
	if err := b.keepLast(p.config, p.running); err != nil {
		return nil, err
	}
	if err := b.install(p.config); err != nil {
		return nil, errors.Join(err, b.restoreLast())
	}
	return p, nil
}

// gone tells that HAProxy does not run, neither its master nor a worker.
func (b *Balancer) gone() bool {
	conn, err := net.DialTimeout("unix", b.Master, b.answerTime())
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
func (b *Balancer) render(s *haproxy.Snapshot, previous, started *haproxy.Report, running bool) *haproxy.Config {
	held := map[uint16]bool{}
	for _, report := range []*haproxy.Report{previous, started} {
		if report == nil || !running {
			continue
		}
		for _, backend := range report.Backends {
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
