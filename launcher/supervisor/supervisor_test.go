package supervisor

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"panteras/launcher"
)

var (
	consul   = launcher.Daemon{Name: "consul"}
	template = launcher.Daemon{Name: "consul-template", After: []string{"consul"}}
	haproxy  = launcher.Daemon{Name: "haproxy", After: []string{"consul-template"}, Patience: 15 * time.Second, Reload: "SIGUSR2"}
	dns      = launcher.Daemon{Name: "dns", Self: true, Overlaps: true, Probe: launcher.Probe{Kind: launcher.ProbeNotify}, Reload: "SIGHUP"}
	agent    = launcher.Daemon{Name: "mesos-agent", After: []string{launcher.Docker, "consul"}, TasksOutlive: true}
)

func TestDaemonsStartWhenWhatTheyWaitForIsReady(t *testing.T) {
	bubble(t, daemons(template, consul), func(r *rig) { r.answers["consul"] = errNotYet }, func(r *rig) {
		r.pass(time.Hour)
		if s := r.want("consul-template", launcher.StateWaiting); !slices.Equal(s.WaitingFor, []string{"consul"}) {
			t.Errorf("waits for %q", s.WaitingFor)
		}
		if s := r.want("consul", launcher.StateStarting); s.Reason != errNotYet.Error() || s.Pid == 0 || s.Ready {
			t.Errorf("status %+v", s)
		}
		r.answer("consul", nil)
		r.pass(slowProbe)
		r.want("consul", launcher.StateReady)
		if s := r.want("consul-template", launcher.StateReady); s.WaitingFor == nil || !s.Ready {
			t.Errorf("status %+v", s)
		}
		if got := r.took(); !slices.Equal(got, []string{"start consul", "start consul-template"}) {
			t.Errorf("events %q", got)
		}
	})
}

func TestPatienceIsFinite(t *testing.T) {
	bubble(t, daemons(template, consul, haproxy), func(r *rig) { r.answers["consul"] = errNotYet }, func(r *rig) {
		r.pass(14 * time.Second)
		r.want("haproxy", launcher.StateWaiting)
		r.pass(2 * time.Second)
		r.want("haproxy", launcher.StateReady)
		r.want("consul-template", launcher.StateWaiting)
	})
}

func TestAForeignSocketIsWaitedFor(t *testing.T) {
	bubble(t, daemons(consul, agent), func(r *rig) { r.docker = errNotYet }, func(r *rig) {
		r.pass(time.Minute)
		if s := r.want("mesos-agent", launcher.StateWaiting); !slices.Equal(s.WaitingFor, []string{"docker"}) {
			t.Errorf("waits for %q", s.WaitingFor)
		}
		r.mu.Lock()
		r.docker = nil
		r.mu.Unlock()
		r.pass(externalPoll)
		r.want("mesos-agent", launcher.StateReady)
	})
}

func TestReadinessByNotification(t *testing.T) {
	bubble(t, daemons(dns), nil, func(r *rig) {
		r.pass(time.Hour)
		r.want("dns", launcher.StateStarting)
		close(r.process("dns").notified)
		r.settled()
		r.want("dns", launcher.StateReady)
	})
}

func TestUnhealthyIsShownAndHeals(t *testing.T) {
	bubble(t, daemons(consul), nil, func(r *rig) {
		r.pass(time.Minute)
		r.answer("consul", errors.New("no leader"))
		r.pass(2 * liveProbe)
		r.want("consul", launcher.StateReady)
		r.pass(2 * liveProbe)
		if s := r.want("consul", launcher.StateUnhealthy); s.Reason != "no leader" || s.Ready || s.Restarts != 0 {
			t.Errorf("status %+v", s)
		}
		r.answer("consul", nil)
		r.pass(liveProbe)
		if s := r.want("consul", launcher.StateReady); s.Reason != "" {
			t.Errorf("reason %q", s.Reason)
		}
		if got := r.took(); !slices.Equal(got, []string{"start consul"}) {
			t.Errorf("events %q", got)
		}
	})
}

// TestAPausedProcessIsUnhealthy is SIGSTOP, for every way to be asked: what says itself
// that it is ready cannot say that it is not.
func TestAPausedProcessIsUnhealthy(t *testing.T) {
	running := launcher.Daemon{Name: "registrator", Probe: launcher.Probe{Kind: launcher.ProbeRunning}}
	bubble(t, daemons(consul, dns, running), nil, func(r *rig) {
		close(r.process("dns").notified)
		r.pass(time.Minute)
		for _, name := range []string{"consul", "dns", "registrator"} {
			r.want(name, launcher.StateReady)
			r.process(name).pause(true)
			r.pass(unhealthyAfter * liveProbe)
			if s := r.want(name, launcher.StateUnhealthy); !strings.Contains(s.Reason, "kill -CONT") {
				t.Errorf("reason %q", s.Reason)
			}
			r.process(name).pause(false)
			r.pass(liveProbe)
			r.want(name, launcher.StateReady)
		}
	})
}

func TestChangesAreTold(t *testing.T) {
	bubble(t, daemons(consul), nil, func(r *rig) {
		r.pass(time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := len(r.statuses); n == 0 || r.statuses[n-1].Daemons[0].State != launcher.StateReady {
			t.Errorf("told of %+v", r.statuses)
		}
	})
}
