package supervisor

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"panteras/launcher"
	"panteras/launcher/proc"
)

func TestEverythingStopsInOrder(t *testing.T) {
	bubble(t, daemons(consul, template, haproxy, dns), nil, func(r *rig) {
		r.pass(time.Second)
		r.forgetEvents()
		r.farewell = func(context.Context) {
			<-time.After(time.Second)
			r.log("deregistered")
		}
		began := time.Now()
		r.end()
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v although nothing but the farewell takes time", took)
		}
		want := []string{"haproxy gets signal 15", "farewell", "consul-template gets signal 15", "dns gets signal 15", "deregistered", "consul gets signal 15"}
		got := r.took()
		if i := slices.Index(got, "farewell"); i >= 0 { // is said beside the rest
			got, want = slices.Delete(got, i, i+1), slices.Delete(want, 1, 2)
		}
		if !slices.Equal(got, want) {
			t.Errorf("events %q\nwant %q", got, want)
		}
		if err := r.Supervisor.Start(r.t.Context(), "consul"); !errors.Is(err, errEnding) {
			t.Errorf("a start afterwards: %v", err)
		}
		if s := r.want("consul", launcher.StateStopped); s.Pid != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestAStubbornDaemonIsKilledWhenItsGraceIsOver(t *testing.T) {
	bubble(t, daemons(consul), func(r *rig) { r.stubborn["consul"] = true }, func(r *rig) {
		r.pass(time.Second)
		began := time.Now()
		if err := r.Stop(r.t.Context(), "consul"); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
		r.want("consul", launcher.StateStopped)
	})
}

func TestAllIsKilledWhenSomebodyAsksTwice(t *testing.T) {
	bubble(t, daemons(consul), func(r *rig) { r.stubborn["consul"] = true }, func(r *rig) {
		r.pass(time.Second)
		r.cancel()
		r.pass(time.Second) // long before its grace is over
		r.KillAll()
		r.settled()
		if got := r.took(); !slices.Contains(got, "consul is killed") {
			t.Errorf("events %q", got)
		}
	})
}

// The process has ended and what it has started has not: nobody may take its pid for
// that of a process.
func TestAPidThatIsGoneIsNotShown(t *testing.T) {
	bubble(t, daemons(consul), func(r *rig) { r.stubborn["consul"] = true }, func(r *rig) {
		r.pass(time.Second)
		go func() { _ = r.Supervisor.Stop(context.Background(), "consul") }()
		r.settled()
		p := r.process("consul")
		if s := r.want("consul", launcher.StateStopping); s.Pid != p.pid {
			t.Errorf("it still runs: %+v", s)
		}
		p.exited <- proc.Exit{}
		r.settled()
		if s := r.want("consul", launcher.StateStopping); s.Pid != 0 {
			t.Errorf("it has ended: %+v", s)
		}
		p.over = true
		close(p.gone)
		r.mu.Lock()
		r.running["consul"] = nil
		r.mu.Unlock()
		r.settled()
		r.want("consul", launcher.StateStopped)
	})
}
