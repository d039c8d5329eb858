package supervisor

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/launcher"
	"panteras/launcher/proc"
)

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
