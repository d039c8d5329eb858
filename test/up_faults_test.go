package test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"panteras/internal/lab"
	"panteras/launcher"
)

// TestUpPausedDaemon stops daemons by SIGSTOP: one that says itself that it is ready, and
// one that is asked.
func TestUpPausedDaemon(t *testing.T) {
	t.Parallel()
	h := smallHost(t)
	h.up(t)
	h.ready(t, "marathon", "dns")
	before := h.pids()
	signal := func(sig syscall.Signal) {
		for _, pid := range before {
			if err := syscall.Kill(pid, sig); err != nil {
				t.Fatal(err)
			}
		}
	}
	signal(syscall.SIGSTOP)
	for name := range before {
		d := h.state(t, name, launcher.StateUnhealthy)
		wantText(t, "the reason", d.Reason, "SIGSTOP", "kill -CONT")
	}
	signal(syscall.SIGCONT)
	h.ready(t, "marathon", "dns")
	if after := h.pids(); !maps.Equal(before, after) {
		t.Errorf("pids were %v and are %v", before, after)
	}
}

// TestUpRunDirRemoved takes RUN_DIR away from a host that runs.
func TestUpRunDirRemoved(t *testing.T) {
	t.Parallel()
	h := smallHost(t)
	h.up(t)
	h.ready(t, "marathon", "dns")
	before := h.pids()
	if err := os.RemoveAll(h.path("run")); err != nil {
		t.Fatal(err)
	}
	h.Signal(syscall.SIGHUP)
	h.ready(t, "marathon", "dns")
	if output, code := h.run(t, "up"); code != 1 || !strings.Contains(output, "already running") {
		t.Errorf("a second one ends with %d: %s", code, output)
	}
	h.kill(t, before["dns"]) // whose files were there
	h.kill(t, before["marathon"])
	for name, pid := range before {
		h.is(t, name, "ready anew", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != pid })
	}
	wantText(t, "the log", h.Stderr(), "the control socket was removed; it is there again")
}

// TestUpgradeUnderReloads asks for reloads without pause while the launcher becomes
// another program: nothing ends, and what was asked for last is done.
func TestUpgradeUnderReloads(t *testing.T) {
	t.Parallel()
	h, file, base := hostOfAFile(t)
	before := h.pids()
	for range 5 {
		cmd := exec.Command(filepath.Join(h.bin, "panteras"), "upgrade")
		cmd.Env, cmd.Dir = h.env, "/"
		upgrade := lab.Start(t, cmd)
		lab.Eventually(t, readyTime, "the end of the upgrade", func() bool {
			h.Signal(syscall.SIGHUP)
			if h.ended() {
				t.Fatal("SIGHUP has ended the guard")
			}
			select {
			case <-upgrade.Done():
				return true
			default:
				return false
			}
		})
		if code := upgrade.Wait(t, patience); code != 0 {
			t.Fatalf("upgrade: exit code %d: %s", code, upgrade.Stderr())
		}
	}
	if after := h.pids(); after["marathon"] != before["marathon"] {
		t.Errorf("marathon had the pid %d and has %d", before["marathon"], after["marathon"])
	}
	put(t, file, base+"MARATHON_PARAMS=--task_launch_timeout=300000\n")
	h.Signal(syscall.SIGHUP)
	h.is(t, "marathon", "ready anew", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != before["marathon"] })
}

// TestUpgradeToAProgramThatCrashes is one that answers all that it is asked before, and
// dies when it has taken over: nothing runs on without a launcher, and that is said.
func TestUpgradeToAProgramThatCrashes(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"guard", "launcher"} {
		t.Run(who, func(t *testing.T) {
			h := smallHost(t)
			h.up(t)
			h.ready(t, "marathon", "dns")
			real := filepath.Join(h.bin, "panteras")
			put(t, h.path("crash"), `#!/bin/sh
[ "$1" = version ] || [ "$PANTERAS_GUARD" = check ] && exec `+real+` "$@"
[ -n "$PANTERAS_GUARD" ] && [ `+who+` = launcher ] && exec `+real+` "$@"
kill -SEGV $$
`)
			if err := os.Chmod(h.path("crash"), 0o755); err != nil {
				t.Fatal(err)
			}
			output, code := h.run(t, "upgrade", h.path("crash"))
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
			wantText(t, "upgrade", output, "the launcher has ended", "panteras up")
			h.Wait(t, patience)
			lab.Eventually(t, aSecond, "that all processes are gone", func() bool { return len(inNetwork(networkOf(t))) == 0 })
			wantText(t, "the output", h.Stderr(), "all daemons have been killed")
		})
	}
}

// TestUpCrashesLeakNothing ends daemons over and over, in every way that there is.
func TestUpCrashesLeakNothing(t *testing.T) {
	t.Parallel()
	h := smallHost(t)
	h.misbehave(t, "marathon", "alone", "children")
	h.up(t)
	h.ready(t, "marathon", "dns")
	crash := func(times int) {
		t.Helper()
		for i := range times {
			name := "marathon"
			if i%4 == 0 { // it has more that can be left: sockets that are handed on
				name = "dns"
			}
			before := h.is(t, name, "ready", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid > 0 })
			h.kill(t, before.Pid)
			h.is(t, name, "seen to have ended", func(d launcher.DaemonStatus) bool { return d.Restarts > before.Restarts })
			// Does not wait for the time to come, and forgives.
			if _, err := h.client.Do(t.Context(), "start", name); err != nil {
				t.Fatal(err)
			}
			if i%8 == 0 {
				h.must(t, "restart", "dns")
			}
		}
	}
	crash(8)
	before := h.left(t)
	const crashes, spare = 100, 8 // some come and go
	crash(crashes)
	lab.Eventually(t, patience, "as much to be there as before", func() bool {
		for what, n := range h.left(t) {
			if n > before[what]+spare {
				t.Logf("%s were %d and are %d", what, before[what], n)
				return false
			}
		}
		return true
	})
	if restarts := h.status()["marathon"].Restarts + h.status()["dns"].Restarts; restarts < crashes {
		t.Errorf("there were %d restarts, want %d", restarts, crashes)
	}
}

// left is all that a life of a daemon could leave: of files, goroutines, processes, control
// groups.
func (h *upHost) left(t *testing.T) map[string]int {
	t.Helper()
	network := networkOf(t)
	guard, launcher := h.guardAndLauncher(t, network)
	counts := map[string]int{"processes": len(inNetwork(network)), "zombies": zombiesOf(guard, launcher)}
	for what, pattern := range map[string]string{
		"open files": fmt.Sprintf("/proc/%d/fd/*", launcher), "open files of the guard": fmt.Sprintf("/proc/%d/fd/*", guard),
		"files in RUN_DIR": h.path("run", "*", "*"), "threads": fmt.Sprintf("/proc/%d/task/*", launcher),
	} {
		list, _ := filepath.Glob(pattern)
		counts[what] = len(list)
	}
	for _, group := range cgroupsOf(guard) {
		list, _ := filepath.Glob(filepath.Join(group, "*", "cgroup.procs"))
		counts["control groups"] += len(list)
	}
	metrics := overSocket(t, "unix", h.path("run", "control.sock"), "/metrics")
	_, after, ok := strings.Cut(metrics, "\ngo_goroutines{daemon=\"launcher\"} ")
	goroutines, err := strconv.Atoi(strings.SplitN(after, "\n", 2)[0])
	if !ok || err != nil {
		t.Fatalf("no goroutines in %.300s (%v)", metrics, err)
	}
	counts["goroutines"] = goroutines
	return counts
}
