package supervisor

import (
	"context"
	"slices"
	"testing"
	"time"

	"panteras/launcher"
	"panteras/launcher/proc"
)

// One that leaves something behind for its successor is told whether there will be one.
func TestADaemonIsToldWhetherAnotherOneFollows(t *testing.T) {
	tunnel := launcher.Daemon{Name: "tunnel", StopForNext: "SIGUSR1"}
	bubble(t, daemons(tunnel), nil, func(r *rig) {
		r.pass(time.Second)
		want := func(what string, events ...string) {
			t.Helper()
			r.settled()
			if got := r.took(); !slices.Equal(got, events) {
				t.Errorf("%s: %q, want %q", what, got, events)
			}
			r.forgetEvents()
		}
		r.forgetEvents()
		if err := r.Restart(r.t.Context(), "tunnel"); err != nil {
			t.Error(err)
		}
		want("restart", "tunnel gets signal 10", "start tunnel")
		r.stubborn["tunnel"] = true
		restarted := make(chan error, 1)
		go func() { restarted <- r.Restart(context.Background(), "tunnel") }()
		r.settled()
		go func() { _ = r.Stop(context.Background(), "tunnel") }()
		want("stopped in a restart", "tunnel gets signal 10", "tunnel gets signal 15")
		r.process("tunnel").exit(proc.Exit{})
		if err := <-restarted; err == nil {
			t.Error("the restart succeeded")
		}
		r.want("tunnel", launcher.StateStopped)
		r.stubborn["tunnel"] = false
		if err := r.Supervisor.Start(r.t.Context(), "tunnel"); err != nil {
			t.Error(err)
		}
		if err := r.Stop(r.t.Context(), "tunnel"); err != nil {
			t.Error(err)
		}
		want("start and stop", "start tunnel", "tunnel gets signal 15")
	})
}
