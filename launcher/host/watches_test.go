package host

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"panteras/launcher"
)

// Those that watch a daemon are told that it is down when it stays away, not when it comes
// back in a moment.
func TestAnOutage(t *testing.T) {
	now := time.Now()
	in := func(d time.Duration) *time.Time { at := now.Add(d); return &at }
	for _, c := range []struct {
		what   string
		daemon launcher.DaemonStatus
		away   time.Duration // since it last did its work
		down   bool
		again  time.Duration
	}{
		{"it works", launcher.DaemonStatus{State: launcher.StateReady}, 0, false, 0},
		{"it does not answer", launcher.DaemonStatus{State: launcher.StateUnhealthy}, 0, true, 0},
		{"an operator has stopped it", launcher.DaemonStatus{State: launcher.StateStopped}, 0, true, 0},
		{"it cannot run", launcher.DaemonStatus{State: launcher.StateFailed}, 0, true, 0},
		{"it is gone from the machine", launcher.DaemonStatus{State: launcher.StateAbsent}, 0, true, 0},
		{"the settings have it not", launcher.DaemonStatus{State: launcher.StateDisabled}, 0, true, 0},
		{"it ended for the first time", launcher.DaemonStatus{State: launcher.StateBackoff, RetryAt: in(1200 * time.Millisecond)}, 0, false, outageHold},
		{"it comes too late", launcher.DaemonStatus{State: launcher.StateBackoff, RetryAt: in(2400 * time.Millisecond)}, 0, true, 0},
		{"it comes too late by now", launcher.DaemonStatus{State: launcher.StateBackoff, RetryAt: in(time.Second)}, 1500 * time.Millisecond, true, 0},
		{"it starts", launcher.DaemonStatus{State: launcher.StateStarting}, 1500 * time.Millisecond, false, 500 * time.Millisecond},
		{"it starts for too long", launcher.DaemonStatus{State: launcher.StateStarting}, outageHold, true, 0},
		{"it ends, perhaps to start anew", launcher.DaemonStatus{State: launcher.StateStopping}, time.Second, false, time.Second},
		{"it waits for another one", launcher.DaemonStatus{State: launcher.StateWaiting}, 10 * time.Second, true, 0},
	} {
		if down, again := outage(c.daemon, now.Add(-c.away), now); down != c.down || again != c.again {
			t.Errorf("%s: down %t, again in %v; want %t, %v", c.what, down, again, c.down, c.again)
		}
	}
	if down, _ := outage(launcher.DaemonStatus{State: launcher.StateStarting}, time.Time{}, now); !down {
		t.Error("one that has never worked is not down")
	}
}

// The file of a daemon that watches another one follows what becomes of that.
func TestAWatchedDaemonGoesAndComes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "haproxy.down")
	synctest.Test(t, func(t *testing.T) {
		h := &Host{o: Options{Log: slog.New(slog.DiscardHandler)}, watched: make(chan launcher.Status, 1), plan: &launcher.Plan{Daemons: []launcher.Daemon{
			{Name: "haproxy"}, {Name: "keepalived", Watch: launcher.Watch{Daemon: "haproxy", Path: path}},
		}}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { h.watchLoop(ctx); close(ended) }()
		pid := 7
		becomes := func(state launcher.State) {
			d := launcher.DaemonStatus{Name: "haproxy", State: state, Ready: state == launcher.StateReady}
			if state == launcher.StateBackoff {
				at := time.Now().Add(time.Second)
				d.RetryAt = &at
			}
			replace(h.watched, launcher.Status{Daemons: []launcher.DaemonStatus{d, {Name: "keepalived", Pid: pid}}})
			synctest.Wait()
		}
		says := func(what, want string) {
			t.Helper()
			synctest.Wait()
			if text, _ := os.ReadFile(path); string(text) != want {
				t.Errorf("%s: the file holds %q, want %q", what, text, want)
			}
		}
		pass := func(d time.Duration) { <-time.After(d) }

		becomes(launcher.StateReady)
		says("it is ready", "0\n")
		pass(time.Hour)
		becomes(launcher.StateBackoff)
		says("it has ended", "0\n")
		pass(time.Second)
		becomes(launcher.StateStarting)
		pass(999 * time.Millisecond)
		says("it is on its way", "0\n")
		pass(2 * time.Millisecond)
		says("it does not come", "1\n")
		becomes(launcher.StateReady)
		says("it is back", "0\n")
		pass(time.Hour)
		becomes(launcher.StateStopped)
		says("it was stopped", "1\n")
		pid = 0
		becomes(launcher.StateReady)
		says("nobody watches it", "1\n")
		cancel()
		<-ended
	})
}
