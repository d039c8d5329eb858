package supervisor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"panteras/launcher"
	"panteras/launcher/proc"
)

// changed is a plan whose daemons f may change.
func changed(plan *launcher.Plan, f func(map[string]*launcher.Daemon)) *launcher.Plan {
	next := &launcher.Plan{Daemons: slices.Clone(plan.Daemons)}
	byName := map[string]*launcher.Daemon{}
	for i := range next.Daemons {
		byName[next.Daemons[i].Name] = &next.Daemons[i]
	}
	f(byName)
	return next
}

func TestReloadTouchesOnlyWhatDiffers(t *testing.T) {
	plan := daemons(consul, template, haproxy)
	bubble(t, plan, nil, func(r *rig) {
		r.pass(time.Second)
		r.forgetEvents()
		if err := r.Supervisor.Reload(r.t.Context(), ""); err != nil || len(r.took()) > 0 {
			t.Errorf("the same plan: %v, %q", err, r.took())
		}
		r.next = changed(plan, func(d map[string]*launcher.Daemon) {
			d["consul-template"].Argv = []string{"consul-template", "-wait=5s"}
			d["haproxy"].Files = []launcher.File{{Path: "/run/haproxy.cfg", Content: "global"}}
		})
		if err := r.Supervisor.Reload(r.t.Context(), ""); err != nil {
			t.Error(err)
		}
		got := r.took()
		slices.Sort(got)
		if want := []string{"consul-template gets signal 15", "reload haproxy", "start consul-template"}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		r.want("consul-template", launcher.StateReady) // it returned when that was so
		r.forgetEvents()
		if err := r.Supervisor.Reload(r.t.Context(), "haproxy"); err != nil || !slices.Equal(r.took(), []string{"reload haproxy"}) {
			t.Errorf("one daemon by name: %v, %q", err, r.took())
		}
	})
}

// HAPROXY_STATS_PORT is in the file that consul-template makes, so HAProxy itself goes on.
func TestOneThatGoesOnIsAskedAsTheNewPlanSays(t *testing.T) {
	plan := daemons(consul, haproxy)
	bubble(t, plan, nil, func(r *rig) {
		r.pass(time.Second)
		r.forgetEvents()
		r.answer("haproxy", errNotYet) // nobody is at the old address any more
		r.next = changed(plan, func(d map[string]*launcher.Daemon) { d["haproxy"].Probe.Address = "elsewhere" })
		if err := r.Supervisor.Reload(r.t.Context(), ""); err != nil || len(r.took()) > 0 {
			t.Errorf("%v, %q", err, r.took())
		}
		r.pass(2 * unhealthyAfter * liveProbe)
		r.want("haproxy", launcher.StateReady)
		r.next = changed(r.next, func(d map[string]*launcher.Daemon) {
			d["haproxy"].Probe = launcher.Probe{Kind: launcher.ProbeRunning}
		})
		if err := r.Supervisor.Reload(r.t.Context(), ""); err != nil || !slices.Contains(r.took(), "start haproxy") {
			t.Errorf("another kind of probe: %v, %q", err, r.took())
		}
	})
}

func TestReloadStartsAndStopsWhatTheSettingsSay(t *testing.T) {
	plan := daemons(consul, template)
	plan.Daemons[1].Run = false
	bubble(t, plan, nil, func(r *rig) {
		r.pass(time.Second)
		r.want("consul-template", launcher.StateDisabled)
		r.next = daemons(consul, template)
		if err := r.Supervisor.Reload(r.t.Context(), ""); err != nil {
			t.Error(err)
		}
		r.want("consul-template", launcher.StateReady)
		r.next = plan
		if err := r.Supervisor.Reload(r.t.Context(), ""); err != nil {
			t.Error(err)
		}
		r.settled()
		r.want("consul-template", launcher.StateDisabled)
	})
}

// A daemon that is wanted again while it still stops keeps its grace, and starts anew
// when that is over.
func TestReloadSwitchesOnWhatStillStops(t *testing.T) {
	for _, daemon := range []launcher.Daemon{{Name: "chronos"}, {Name: "chronos", TasksOutlive: true}} {
		on := daemons(daemon)
		bubble(t, on, func(r *rig) { r.stubborn["chronos"] = true }, func(r *rig) {
			r.pass(time.Second)
			off := changed(on, func(d map[string]*launcher.Daemon) { d["chronos"].Run = false })
			r.next = off
			if err := r.Supervisor.Reload(r.t.Context(), ""); err != nil {
				t.Error(err)
			}
			r.pass(time.Second)
			r.want("chronos", launcher.StateStopping)
			r.next = on
			ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
			defer cancel()
			if err := r.Supervisor.Reload(ctx, ""); err != nil {
				t.Errorf("tasks outlive %v: %v", daemon.TasksOutlive, err)
			}
			s := r.want("chronos", launcher.StateReady)
			if got, want := r.took(), []string{"start chronos", "chronos gets signal 15", "chronos is killed", "start chronos"}; !slices.Equal(got, want) || s.Restarts != 0 {
				t.Errorf("tasks outlive %v: events %q, %d restarts", daemon.TasksOutlive, got, s.Restarts)
			}
		})
	}
}

func TestReloadLeavesAloneWhatAnOperatorStopped(t *testing.T) {
	plan := daemons(consul)
	bubble(t, plan, nil, func(r *rig) {
		r.pass(time.Second)
		if err := r.Stop(r.t.Context(), "consul"); err != nil {
			t.Error(err)
		}
		r.next = changed(plan, func(d map[string]*launcher.Daemon) { d["consul"].Argv = []string{"consul", "x"} })
		if err := r.Supervisor.Reload(r.t.Context(), ""); err != nil {
			t.Error(err)
		}
		r.want("consul", launcher.StateStopped)
	})
}

func TestReloadMendsWhatFailed(t *testing.T) {
	plan := daemons(launcher.Daemon{Name: "marathon"})
	bubble(t, plan, nil, func(r *rig) {
		r.pass(time.Second)
		r.process("marathon").exit(proc.Exit{Code: 112})
		r.settled()
		r.want("marathon", launcher.StateFailed)
		r.next = changed(plan, func(d map[string]*launcher.Daemon) { d["marathon"].Argv = []string{"marathon"} })
		if err := r.Supervisor.Reload(r.t.Context(), ""); err != nil {
			t.Error(err)
		}
		r.want("marathon", launcher.StateReady)
	})
}

func TestWrongSettingsChangeNothing(t *testing.T) {
	bubble(t, daemons(consul), nil, func(r *rig) {
		r.pass(time.Second)
		r.forgetEvents()
		r.next = bad()
		if err := r.Supervisor.Reload(r.t.Context(), ""); err == nil || !strings.Contains(err.Error(), "nothing was changed: ") || !strings.Contains(err.Error(), "IP=0.0.0.0") {
			t.Errorf("error %v", err)
		}
		if got := r.took(); len(got) > 0 {
			t.Errorf("events %q", got)
		}
	})
}

func TestAHandOverKeepsEverything(t *testing.T) {
	plan := daemons(consul, template, dns)
	bubble(t, plan, func(r *rig) { r.answers["consul-template"] = errNotYet }, func(r *rig) {
		r.pass(time.Second)
		server := r.process("dns")
		close(server.notified)
		r.process("consul-template").exit(proc.Exit{Code: 1})
		r.settled()
		failure := errors.New("exec format error")
		var snap *Snapshot
		if err := r.HandOver(r.t.Context(), func(s *Snapshot) error { snap = s; return failure }); !errors.Is(err, failure) {
			t.Errorf("error %v", err)
		}
		r.want("consul", launcher.StateReady) // it goes on

		// Another process finds the same daemons under new handles.
		r.end()
		pid := 0
		for i, d := range snap.Daemons {
			if d.Process == nil {
				continue
			}
			p := r.newProcess(d.Plan.Name)
			p.pid, snap.Daemons[i].Process = d.Pid, p
			if d.Plan.Name == "consul" {
				pid = d.Pid
			}
		}
		server = r.process("dns")
		r.forgetEvents()
		next := changed(plan, func(d map[string]*launcher.Daemon) { d["consul"].Argv = []string{"consul", "new"} })
		r.next = next
		r.begin(next, snap)
		r.settled()
		if s := r.want("consul", launcher.StateReady); s.Pid != pid {
			t.Errorf("consul has pid %d, had %d", s.Pid, pid)
		}
		if s := r.want("consul-template", launcher.StateBackoff); s.LastExit != "exit code 1" || s.RetryAt == nil {
			t.Errorf("status %+v", s)
		}
		if got := r.took(); !slices.Equal(got, []string{"start dns"}) {
			t.Errorf("events %q", got)
		}
		close(r.process("dns").notified)
		r.settled()
		if !server.over {
			t.Error("the old DNS server goes on")
		}
		// The next reload brings the new plan.
		if err := r.Supervisor.Reload(r.t.Context(), ""); err != nil {
			t.Error(err)
		}
		if s := r.want("consul", launcher.StateReady); s.Pid == pid {
			t.Error("consul keeps the old plan")
		}
	})
}

func TestAReloadThatWaitsKeepsNoOtherFromWorking(t *testing.T) {
	plan := daemons(consul)
	bubble(t, plan, nil, func(r *rig) {
		r.pass(time.Second)
		r.answer("consul", errNotYet)
		r.next = changed(plan, func(d map[string]*launcher.Daemon) { d["consul"].Argv = []string{"consul", "wrong"} })
		first := make(chan error, 1)
		go func() { first <- r.Supervisor.Reload(r.t.Context(), "") }()
		r.pass(time.Minute)
		r.answer("consul", nil)
		r.next = plan
		if err := r.Supervisor.Reload(r.t.Context(), ""); err != nil {
			t.Error(err)
		}
		<-first
		r.want("consul", launcher.StateReady)
	})
}

func TestOneWhoseSuccessorDoesNotComeUpIsHandedOver(t *testing.T) {
	plan := daemons(dns)
	bubble(t, plan, nil, func(r *rig) {
		old := r.process("dns")
		close(old.notified)
		r.settled()
		go func() { _ = r.Restart(context.Background(), "dns") }()
		r.pass(time.Second)
		r.process("dns").exit(proc.Exit{Code: 1})
		r.settled()
		r.want("dns", launcher.StateBackoff)
		stop := errors.New("no upgrade today")
		err := r.HandOver(r.t.Context(), func(s *Snapshot) error {
			if d := s.Daemons[0]; d.Process != old || d.State != launcher.StateReady {
				t.Errorf("handed over: %+v", d)
			}
			return stop
		})
		if !errors.Is(err, stop) {
			t.Errorf("error %v", err)
		}
	})
}

func TestAReloadThatFailedIsTriedAgain(t *testing.T) {
	plan := daemons(haproxy)
	plan.Daemons[0].After = nil
	bubble(t, plan, nil, func(r *rig) {
		r.pass(time.Second)
		r.next = changed(plan, func(d map[string]*launcher.Daemon) {
			d["haproxy"].Files = []launcher.File{{Path: "/run/haproxy.cfg", Content: "global"}}
		})
		r.full = errors.New("no space left on device")
		if err := r.Supervisor.Reload(r.t.Context(), ""); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("error %v", err)
		}
		r.full = nil
		r.forgetEvents()
		if err := r.Supervisor.Reload(r.t.Context(), ""); err != nil || !slices.Equal(r.took(), []string{"reload haproxy"}) {
			t.Errorf("afterwards: %v, %q", err, r.took())
		}
	})
}

// The next program knows nothing of what Consul was told, so that what it took over has
// to be told even where nothing changes.
func TestASuccessorTellsAtOnce(t *testing.T) {
	plan := daemons(consul)
	bubble(t, plan, nil, func(r *rig) {
		r.pass(time.Second)
		var snap *Snapshot
		failure := errors.New("exec format error")
		if err := r.HandOver(r.t.Context(), func(s *Snapshot) error { snap = s; return failure }); !errors.Is(err, failure) {
			t.Fatal(err)
		}
		r.end()
		p := r.newProcess("consul")
		p.pid, snap.Daemons[0].Process = snap.Daemons[0].Pid, p
		r.mu.Lock()
		r.statuses = nil
		r.mu.Unlock()
		r.begin(plan, snap)
		r.settled()
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.statuses) == 0 || r.statuses[0].Daemons[0].State != launcher.StateReady {
			t.Errorf("told of %+v", r.statuses)
		}
	})
}
