package balancer

import (
	"maps"
	"net"
	"os"
	"testing"
	"time"
)

// TestSilentHAProxy: one that listens and does not answer runs all the same: what it holds
// is not somebody else's.
func TestSilentHAProxy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := os.MkdirAll(r.RunDir, 0o700); err != nil {
		t.Fatal(err)
	}
	const soon = 100 * time.Millisecond
	if got := r.runningWithin(soon); got != "" {
		t.Errorf("without a socket: %q", got)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.Options.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if got := r.runningWithin(soon); got != unknown {
		t.Errorf("while it says nothing: %q", got)
	}
	_ = l.Close()
	if got := r.runningWithin(soon); got != "" {
		t.Errorf("after its end: %q", got)
	}
	if running, err := Runs(r.Options.Socket); running || err != nil {
		t.Errorf("after its end: runs %v, %v", running, err)
	}
}

// TestSilentForASnapshot: one that does not answer keeps what it has, and is told when it
// answers.
func TestSilentForASnapshot(t *testing.T) {
	t.Parallel()
	a := web(t, "web", "a", "haproxy")
	r := newRig(t)
	r.apply(a)
	before, reloader := r.inPlace(), r.Reloader
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.Options.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	r.Reloader = ReloadFunc(func(ctxType) error { asked++; return nil })
	r.AnswerTime, r.Patience = 100*time.Millisecond, 300*time.Millisecond
	began := time.Now()
	if _, err := r.Apply(t.Context(), textOf(t, a, web(t, "fresh", "fresh", "haproxy"))); err == nil || asked != 1 {
		t.Errorf("applied to one that does not answer: %v, reloaded %d times", err, asked)
	}
	if _, err := r.Retry(t.Context()); err == nil || asked != 2 {
		t.Errorf("tried again at one that does not answer: %v, reloaded %d times", err, asked)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("that took %v", took)
	}
	if report, _, err := ReadReport(r.RunDir); err != nil || report.Refused == "" || !report.Pending {
		t.Errorf("the report is %+v, %v", report, err)
	}
	if got := r.inPlace(); !maps.Equal(got, before) {
		t.Errorf("in place are %v, not %v", got, before)
	}
	_ = l.Close()
	r.AnswerTime, r.Patience, r.Reloader = 0, 0, reloader
	r.startHAProxy()
	r.serves("before", "fresh", 503)
	if result := r.retry(); result == nil || !result.Reloaded {
		t.Errorf("%+v", result)
	}
	r.serves("afterwards", "fresh", 200)
}
