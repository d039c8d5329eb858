package supervisor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"panteras/launcher"
	"panteras/launcher/proc"
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

func TestBackoffCountsDownAndForgets(t *testing.T) {
	bubble(t, daemons(consul), func(r *rig) { r.answers["consul"] = errNotYet }, func(r *rig) {
		r.pass(100 * time.Millisecond)
		for i, delay := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			r.process("consul").exit(proc.Exit{Code: 1})
			r.settled()
			s := r.want("consul", launcher.StateBackoff)
			if s.RetryAt == nil || time.Until(*s.RetryAt) != delay*time.Second || s.LastExit != "exit code 1" || s.Restarts != i+1 || s.Pid != 0 {
				t.Errorf("failure %d: %+v, want a retry in %d s", i, s, delay)
			}
			r.pass(delay*time.Second - time.Millisecond)
			r.want("consul", launcher.StateBackoff)
			r.pass(2 * time.Millisecond)
			r.want("consul", launcher.StateStarting)
		}
		r.answer("consul", nil)
		r.pass(2 * time.Minute)
		r.process("consul").exit(proc.Exit{Signal: syscall.SIGSEGV})
		r.settled()
		if s := r.want("consul", launcher.StateBackoff); time.Until(*s.RetryAt) != time.Second || s.LastExit != "killed by SIGSEGV" {
			t.Errorf("after a healthy period: %+v", s)
		}
	})
}

func TestWhatADaemonLeavesBehindIsKilled(t *testing.T) {
	bubble(t, daemons(consul, agent), nil, func(r *rig) {
		r.pass(time.Minute)
		r.forgetEvents()
		p := r.process("consul")
		p.exited <- proc.Exit{Code: 1} // but something of it stays
		r.settled()
		if got := r.took(); !slices.Equal(got, []string{"consul is killed"}) {
			t.Errorf("events %q", got)
		}
		a := r.process("mesos-agent")
		a.exited <- proc.Exit{Code: 1} // its tasks go on
		r.settled()
		r.want("mesos-agent", launcher.StateBackoff)
		if got := r.took(); slices.Contains(got, "mesos-agent is killed") {
			t.Error("the tasks of an agent were killed")
		}
		a.over = true
		close(a.gone)
		r.mu.Lock()
		r.running["mesos-agent"] = nil
		r.mu.Unlock()
	})
}

func TestMarathonsExitCodes(t *testing.T) {
	bubble(t, daemons(launcher.Daemon{Name: "marathon"}), nil, func(r *rig) {
		r.pass(time.Minute)
		r.process("marathon").exit(proc.Exit{Code: 103})
		r.settled()
		if s := r.want("marathon", launcher.StateReady); s.Restarts != 1 || s.LastExit != "exit code 103" {
			t.Errorf("after 103: %+v", s)
		}
		r.process("marathon").exit(proc.Exit{Code: 111})
		r.pass(time.Hour)
		if s := r.want("marathon", launcher.StateFailed); !strings.Contains(s.Reason, "cannot listen on its port") {
			t.Errorf("after 111: %+v", s)
		}
		if err := r.Supervisor.Start(r.t.Context(), "marathon"); err != nil {
			t.Errorf("an operator's start: %v", err)
		}
	})
}

func TestAnAbsentProgramIsLookedForAgain(t *testing.T) {
	bubble(t, daemons(consul, template), func(r *rig) { r.absent["consul"] = true }, func(r *rig) {
		r.pass(time.Second)
		if s := r.want("consul", launcher.StateAbsent); !strings.Contains(s.Reason, "not installed") {
			t.Errorf("reason %q", s.Reason)
		}
		if err := r.Supervisor.Start(r.t.Context(), "consul"); err == nil || !strings.Contains(err.Error(), "consul is absent") {
			t.Errorf("start of an absent program: %v", err)
		}
		r.mu.Lock()
		r.absent["consul"] = false
		r.mu.Unlock()
		r.pass(absentPoll)
		r.want("consul", launcher.StateReady)
		r.want("consul-template", launcher.StateReady)
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

// TestTheDNSServerDoesNotWaitForWhatItLeft: its sockets are held, so that nothing of its
// last life is in the way of the next.
func TestTheDNSServerDoesNotWaitForWhatItLeft(t *testing.T) {
	bubble(t, daemons(dns), nil, func(r *rig) {
		first := r.process("dns")
		close(first.notified)
		r.settled()
		r.forgetEvents()
		first.lingers = true
		first.exited <- proc.Exit{Signal: syscall.SIGKILL} // but something of it stays
		r.settled()
		second := r.process("dns")
		if second == first {
			t.Fatalf("nothing was started; events: %q", r.took())
		}
		if got := r.took(); !slices.Contains(got, "dns is killed") {
			t.Errorf("what is left was not killed: %q", got)
		}
		close(second.notified)
		r.settled()
		if s := r.want("dns", launcher.StateReady); s.Pid != second.pid || s.Restarts != 1 || s.LastExit == "" {
			t.Errorf("status %+v", s)
		}
		if got := r.took(); slices.Contains(got, "dns gets signal 15") {
			t.Errorf("what has ended was asked to end: %q", got)
		}
		r.cancel() // the end waits for it
		r.settled()
		select {
		case <-r.ended:
			t.Error("something is left")
		default:
		}
		first.goes()
	})
}

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

func TestAnOperatorStopsAndStarts(t *testing.T) {
	off := launcher.Daemon{Name: "zookeeper"}
	plan := daemons(consul, template, off)
	plan.Daemons[2].Run, plan.Daemons[2].Because = false, "MASTER=false (restricted/host:1)"
	bubble(t, plan, nil, func(r *rig) {
		r.pass(time.Second)
		if err := r.Stop(r.t.Context(), "consul"); err != nil {
			t.Error(err)
		}
		r.pass(time.Hour)
		r.want("consul", launcher.StateStopped)
		r.want("consul-template", launcher.StateReady) // it goes on with what it knows
		if err := r.Supervisor.Start(r.t.Context(), "consul"); err != nil {
			t.Error(err)
		}
		before := r.want("consul", launcher.StateReady).Pid
		if err := r.Restart(r.t.Context(), "consul"); err != nil {
			t.Error(err)
		}
		if s := r.want("consul", launcher.StateReady); s.Pid == before || s.Restarts != 0 {
			t.Errorf("after a restart: %+v", s)
		}
		if err := r.Supervisor.Start(r.t.Context(), "zookeeper"); err == nil || !strings.Contains(err.Error(), "MASTER=false (restricted/host:1)") {
			t.Errorf("start of a disabled daemon: %v", err)
		}
		if err := r.Stop(r.t.Context(), "consull"); err == nil || !strings.Contains(err.Error(), "consul-template") {
			t.Errorf("an unknown daemon: %v", err)
		}
		if s := r.want("zookeeper", launcher.StateDisabled); s.Reason != "MASTER=false (restricted/host:1)" {
			t.Errorf("status %+v", s)
		}
	})
}

func TestACommandSaysWhyItDidNotSucceed(t *testing.T) {
	bubble(t, daemons(consul, template), nil, func(r *rig) {
		r.pass(time.Second)
		r.answer("consul", errNotYet)
		restarted := make(chan error, 1)
		go func() { restarted <- r.Restart(context.Background(), "consul") }()
		r.pass(time.Second)
		r.process("consul").exit(proc.Exit{Code: 1})
		if err := <-restarted; err == nil || !strings.Contains(err.Error(), "consul is backoff: exit code 1") {
			t.Errorf("error %v", err)
		}
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
		defer cancel()
		if err := r.Restart(ctx, "consul-template"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "still waits for consul") {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		if n := len(r.waiters); n > 0 {
			t.Errorf("%d waiters are left", n)
		}
	})
}

func TestTheDNSServerIsSucceeded(t *testing.T) {
	bubble(t, daemons(dns), nil, func(r *rig) {
		first := r.process("dns")
		close(first.notified)
		r.settled()
		restarted := make(chan error, 1)
		go func() { restarted <- r.Restart(context.Background(), "dns") }()
		r.pass(time.Minute)
		second := r.process("dns")
		if first.over || second == first {
			t.Fatal("the old process ended before the new one was ready")
		}
		close(second.notified)
		if err := <-restarted; err != nil {
			t.Error(err)
		}
		r.settled()
		if !first.over || second.over {
			t.Error("the old process goes on beside the new one")
		}
		if s := r.want("dns", launcher.StateReady); s.Pid != second.pid || s.LastExit != "" {
			t.Errorf("status %+v", s)
		}
		// One that fails leaves the old one at work.
		go func() { restarted <- r.Restart(context.Background(), "dns") }()
		r.pass(time.Second)
		r.process("dns").exit(proc.Exit{Code: 1})
		if err := <-restarted; err == nil {
			t.Error("a successor that failed was taken for one that works")
		}
		if second.over {
			t.Error("nobody serves names")
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

func TestOneWhoseSocketsCannotBeSharedIsStoppedFirst(t *testing.T) {
	bubble(t, daemons(dns), func(r *rig) { r.opened["dns"] = true }, func(r *rig) {
		first := r.process("dns")
		close(first.notified)
		r.settled()
		restarted := make(chan error, 1)
		go func() { restarted <- r.Restart(context.Background(), "dns") }()
		r.settled()
		if second := r.process("dns"); !first.over || second == first {
			t.Fatal("both run")
		}
		close(r.process("dns").notified)
		if err := <-restarted; err != nil {
			t.Error(err)
		}
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

// A daemon is not ready without its process, however long the rest of it takes to go; the
// next one waits for that.
func TestADaemonWithoutItsProcessIsNotReady(t *testing.T) {
	bubble(t, daemons(consul), nil, func(r *rig) {
		r.pass(time.Second)
		r.want("consul", launcher.StateReady)
		p := r.process("consul")
		p.lingers = true
		p.exited <- proc.Exit{Code: 1}
		r.settled()
		if s := r.want("consul", launcher.StateBackoff); s.Pid != 0 || s.Ready || s.LastExit != "exit code 1" {
			t.Errorf("status %+v", s)
		}
		r.pass(2 * time.Second)
		if s := r.want("consul", launcher.StateWaiting); s.Pid != 0 {
			t.Errorf("status %+v", s)
		}
		p.goes()
		r.settled()
		r.pass(time.Second)
		if s := r.want("consul", launcher.StateReady); s.Pid == 0 || s.Restarts != 1 {
			t.Errorf("status %+v", s)
		}
		for _, s := range r.statuses {
			if d := s.Daemons[0]; d.Ready && d.Pid == 0 {
				t.Errorf("told of %+v", d)
			}
		}
	})
}
