package supervisor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"panteras/launcher"
	"panteras/launcher/proc"
)

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
