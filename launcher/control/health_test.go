package control

import (
	"testing"
	"time"

	"panteras/launcher"
)

func TestHealth(t *testing.T) {
	now := time.Now()
	daemon := func(state launcher.State, delay time.Duration) launcher.DaemonStatus {
		d := launcher.DaemonStatus{Name: "consul", State: state, Since: now}
		if delay > 0 {
			at := now.Add(delay)
			d.RetryAt = &at
		}
		return d
	}
	h := newHealth()
	for i, step := range []struct {
		daemon launcher.DaemonStatus
		fails  bool
	}{
		{daemon(launcher.StateDisabled, 0), false},
		{daemon(launcher.StateAbsent, 0), false},
		{daemon(launcher.StateWaiting, 0), false},
		{daemon(launcher.StateStarting, 0), false},
		{daemon(launcher.StateReady, 0), false},
		{daemon(launcher.StateUnhealthy, 0), false},
		{daemon(launcher.StateBackoff, time.Second), false},
		{daemon(launcher.StateStarting, 0), false},
		{daemon(launcher.StateBackoff, longBackoff), true},
		{daemon(launcher.StateStarting, 0), true},
		{daemon(launcher.StateBackoff, time.Second), true}, // jitter
		{daemon(launcher.StateReady, 0), false},
		{daemon(launcher.StateStarting, 0), false},
		{daemon(launcher.StateFailed, 0), true},
		{daemon(launcher.StateStopped, 0), false},
	} {
		got := h.judge(launcher.Status{Daemons: []launcher.DaemonStatus{step.daemon}})
		if fails := got.Status == "failing" && len(got.Daemons) == 1 && got.Daemons[0] == "consul"; fails != step.fails || !fails && got.Status != "ok" {
			t.Errorf("step %d, %s: %+v", i, step.daemon.State, got)
		}
	}
}

func TestHealthOverTCP(t *testing.T) {
	r := newRig(t, nil)
	if code, body, _ := r.request(t, "GET", healthPath, without); code != 200 || body != `{"status":"ok","daemons":[]}`+"\n" {
		t.Errorf("answered with %d %s", code, body)
	}
	r.supervisor.Set(launcher.DaemonStatus{Name: "marathon", State: launcher.StateFailed, Reason: "secret plan"})
	if code, body, _ := r.request(t, "GET", healthPath, without); code != 503 || body != `{"status":"failing","daemons":["marathon"]}`+"\n" {
		t.Errorf("answered with %d %s", code, body)
	}
}
