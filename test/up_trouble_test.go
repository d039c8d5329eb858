package test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
	"panteras/launcher"
)

// smallHost runs a stand-in and the DNS server, which both wait for nothing.
func smallHost(t *testing.T, env ...string) *upHost {
	t.Helper()
	h := oneHost(t, append(append(only("marathon", "dns"), "STATUS_LISTEN=10.7.0.1:9000"), env...)...)
	h.misbehave(t, "marathon", "alone")
	// From root's shell on a host where others are to see nothing; the DNS server is another user.
	h.before = []string{"/bin/sh", "-c", `umask 077; exec "$0" "$@"`}
	return h
}

// wantText fails the test unless a text has all the pieces.
func wantText(t *testing.T, what, text string, pieces ...string) {
	t.Helper()
	for _, piece := range pieces {
		if !strings.Contains(text, piece) {
			t.Errorf("%s lacks %q: %s", what, piece, text)
		}
	}
}

func TestUpAbsentProgram(t *testing.T) {
	t.Parallel()
	h := smallHost(t)
	h.remove(t, "marathon")
	if output, code := h.run(t, "up", "--require", "marathon,dns"); code != 1 {
		t.Errorf("--require of what is absent: exit code %d: %s", code, output)
	} else {
		wantText(t, "the error", output, "--require marathon", "not installed", "START_")
	}
	h.up(t)
	h.ready(t, "dns")
	d := h.state(t, "marathon", launcher.StateAbsent)
	wantText(t, "the reason", d.Reason, "marathon", "not installed", launcher.InstallHint("marathon"))
	if output, code := h.run(t, "start", "marathon"); code != 1 || !strings.Contains(output, "absent") {
		t.Errorf("starting what is absent: exit code %d: %s", code, output)
	}
	h.installStandIn(t, "marathon")
	h.must(t, "start", "marathon")
	h.ready(t, "marathon")
}

// TestUpRestarts ends a daemon in every way that the launcher tells apart.
func TestUpRestarts(t *testing.T) {
	t.Parallel()
	h := smallHost(t)
	h.misbehave(t, "marathon", "alone", "exit 1")
	h.up(t)
	d := h.is(t, "marathon", "in backoff for the third time", func(d launcher.DaemonStatus) bool {
		return d.State == launcher.StateBackoff && d.Restarts >= 3
	})
	if d.RetryAt == nil || d.RetryAt.Sub(d.Since).Seconds() < 3 || d.RetryAt.Sub(d.Since).Seconds() > 5 {
		t.Errorf("after three failures it waits from %v to %v", d.Since, d.RetryAt)
	}
	wantText(t, "its last lines", strings.Join(d.Output, "\n"), "stand-in: told to end")
	wantText(t, "status", h.must(t, "status"), "backoff", "starts again in ", "exit code 1", "told to end")

	h.misbehave(t, "marathon", "alone")
	h.must(t, "start", "marathon") // does not wait for the time to come
	h.ready(t, "marathon")

	h.misbehave(t, "marathon", "alone", "once", "exit 103")
	before := h.status()["marathon"]
	backoffs := strings.Count(h.Stderr(), `"daemon is backoff"`)
	h.kill(t, before.Pid) // the first failure since it was asked for: after a second
	h.is(t, "marathon", "ready again", func(d launcher.DaemonStatus) bool { return d.Ready && d.Restarts >= before.Restarts+2 })
	if got := strings.Count(h.Stderr(), `"daemon is backoff"`); got > backoffs+2 {
		t.Errorf("it waited %d times", got-backoffs)
	}

	h.misbehave(t, "marathon", "alone", "exit 111")
	if output, code := h.run(t, "restart", "marathon"); code != 1 {
		t.Errorf("exit code %d: %s", code, output)
	}
	d = h.state(t, "marathon", launcher.StateFailed)
	wantText(t, "the reason", d.Reason, "111", "cannot listen on its port", "MARATHON_PARAMS")
	h.misbehave(t, "marathon", "alone")
	h.must(t, "start", "marathon")
	h.ready(t, "marathon", "dns")
}

// kill ends a process at once.
func (h *upHost) kill(t *testing.T, pid int) {
	t.Helper()
	if pid <= 0 { // which would be this test and all that is with it
		t.Fatalf("there is no process %d to kill", pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// TestUpMarathonLosesItsLeadership is exit code 103, which is how Marathon works.
func TestUpMarathonLosesItsLeadership(t *testing.T) {
	t.Parallel()
	h := smallHost(t)
	h.misbehave(t, "marathon", "alone", "once", "exit 103")
	h.up(t)
	d := h.state(t, "marathon", launcher.StateReady)
	if d.Restarts != 1 || !strings.Contains(d.LastExit, "103") || strings.Contains(h.Stderr(), "daemon is backoff") {
		t.Errorf("it was started again %d times, at last because of %q", d.Restarts, d.LastExit)
	}
}

// TestUpTakenPort is told who has the ports that it wants, by the plan and when it runs.
func TestUpTakenPort(t *testing.T) {
	t.Parallel()
	h := smallHost(t, "DNS_LISTEN=10.7.0.1:53")
	for _, address := range []string{"10.7.0.1:53", "10.7.0.1:9000"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
	who := "pid " + strconv.Itoa(os.Getpid())
	plan := h.must(t, "plan")
	for _, setting := range []string{"DNS_LISTEN", "STATUS_LISTEN"} {
		found := false
		for line := range strings.Lines(plan) {
			found = found || strings.Contains(line, setting) && strings.Contains(line, "is held by") && strings.Contains(line, who)
		}
		if !found {
			t.Errorf("the plan does not say who holds the port of %s: %s", setting, plan)
		}
	}
	h.up(t)
	h.ready(t, "marathon")
	d := h.state(t, "dns", launcher.StateBackoff)
	wantText(t, "the reason", d.Reason, "53", who)
	lab.Eventually(t, patience, "a word about STATUS_LISTEN", func() bool { return strings.Contains(h.Stderr(), "the status server cannot listen") })
	for line := range strings.Lines(h.Stderr()) {
		if strings.Contains(line, "the status server cannot listen") {
			wantText(t, "the log", line, "STATUS_LISTEN", "10.7.0.1:9000", who)
		}
	}
}

func TestUpTwice(t *testing.T) {
	t.Parallel()
	h := smallHost(t)
	h.up(t)
	h.ready(t, "marathon", "dns")
	before := h.pids()
	output, code := h.run(t, "up")
	_, launcherPid := h.guardAndLauncher(t, networkOf(t))
	if code != 1 {
		t.Errorf("a second one ends with %d", code)
	}
	for _, pid := range []int{launcherPid, before["dns"]} { // they were not started by that name
		if name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm"); err != nil || string(name) != "panteras\n" {
			t.Errorf("process %d is shown as %q (%v)", pid, name, err)
		}
	}
	wantText(t, "the error", output, "already running (pid "+strconv.Itoa(launcherPid)+")", h.path("run", "control.sock"))
	if after := h.pids(); after["marathon"] != before["marathon"] || after["dns"] != before["dns"] {
		t.Errorf("pids were %v and are %v", before, after)
	}
}

// hostOfAFile is a host that runs Marathon and the DNS server because a file says so: what
// the environment says, a file cannot change. base is what is in the file.
func hostOfAFile(t *testing.T) (h *upHost, file, base string) {
	t.Helper()
	h = oneHost(t)
	h.misbehave(t, "marathon", "alone")
	file, base = h.path("restricted", "host"), strings.Join(only("marathon", "dns"), "\n")+"\n"
	put(t, file, base)
	h.up(t)
	h.ready(t, "marathon", "dns")
	return h, file, base
}

// TestUpReload reads settings that are wrong, and ones that change something.
func TestUpReload(t *testing.T) {
	t.Parallel()
	h, file, base := hostOfAFile(t)
	before := h.pids()
	for _, wrong := range []struct{ text, says string }{
		{"START_ZOOKEEPER=true\nSTART_MESOS_MASTER=true\nMESOS_MASTER_QUORUM=9\n", "MESOS_MASTER_QUORUM"},
		{"MARATHON_PARAMS='--x\n", "closing quote"},
		{"MARATHON_PARAMS=$(hostname)\n", "command substitution"},
		{"DNS_LISTEN=nonsense\n", "DNS_LISTEN"},
	} {
		put(t, file, base+wrong.text)
		output, code := h.run(t, "reload")
		if code != 1 {
			t.Errorf("%q: exit code %d: %s", wrong.text, code, output)
		}
		wantText(t, "the error", output, "nothing was changed", file, wrong.says)
	}
	h.Signal(syscall.SIGHUP)
	lab.Eventually(t, patience, "a word about the reload", func() bool { return strings.Contains(h.Stderr(), "reload failed") })
	if after := h.pids(); after["marathon"] != before["marathon"] || after["dns"] != before["dns"] {
		t.Errorf("pids were %v and are %v", before, after)
	}
	put(t, file, base+"MARATHON_PARAMS=--task_launch_timeout=300000\n")
	h.must(t, "reload")
	after := h.pids()
	if after["marathon"] == before["marathon"] || after["dns"] != before["dns"] {
		t.Errorf("pids were %v and are %v", before, after)
	}
	seen, err := os.ReadFile(h.path("state", "marathon", "seen.json"))
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, "what marathon saw", string(seen), "--task_launch_timeout=300000")
	put(t, file, base+"START_MARATHON=false\nDNS_ROUTES=corp=10.7.0.9\n")
	h.Signal(syscall.SIGHUP)
	h.state(t, "marathon", launcher.StateDisabled)
	h.ready(t, "dns")
	if got := h.pids()["dns"]; got != before["dns"] {
		t.Errorf("the DNS server had the pid %d and has %d", before["dns"], got)
	}
}

// TestUpBadDisk takes the folder for what daemons keep away under a host that runs, and
// gives it back.
func TestUpBadDisk(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, says string
		spoil      func(*testing.T, string)
		mend       func(*testing.T, string)
	}{
		{"read-only", "read-only file system", func(t *testing.T, dir string) {
			remount(t, dir, unix.MS_RDONLY)
		}, func(t *testing.T, dir string) { remount(t, dir, 0) }},
		{"full", "no space left on device", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "much"), make([]byte, 1<<20), 0o600); err == nil {
				t.Fatal("it is not full")
			}
			_ = os.Remove(filepath.Join(dir, "marathon", "seen.json")) // of which the stand-in makes a new one
			if err := os.WriteFile(filepath.Join(dir, "more"), make([]byte, 1<<20), 0o600); err == nil {
				t.Fatal("it is not full")
			}
		}, func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "much"), 0); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := smallHost(t)
			ownMounts(t)
			state := h.path("state")
			if err := os.Mkdir(state, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", state, "tmpfs", 0, "size=256k,mode=755"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(state, unix.MNT_DETACH) })
			h.up(t)
			h.ready(t, "marathon", "dns")
			before := h.pids()
			test.spoil(t, state)
			h.must(t, "reload")
			if after := h.pids(); after["marathon"] != before["marathon"] || after["dns"] != before["dns"] {
				t.Errorf("pids were %v and are %v", before, after)
			}
			h.kill(t, before["dns"]) // keeps nothing
			h.is(t, "dns", "ready again", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != before["dns"] })
			h.kill(t, before["marathon"])
			d := h.is(t, "marathon", "in backoff", func(d launcher.DaemonStatus) bool { return d.State == launcher.StateBackoff && d.Restarts > 1 })
			wantText(t, "what is said of marathon", d.Reason+strings.Join(d.Output, "\n"), test.says)
			test.mend(t, state)
			h.ready(t, "marathon")
		})
	}
}

// remount changes what may be done with what is mounted at dir.
func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, "size=256k,mode=755"); err != nil {
		t.Fatalf("cannot remount %s: %v", dir, err)
	}
}

// TestUpWithReadOnlyState is a host that boots when its disk is already bad.
func TestUpWithReadOnlyState(t *testing.T) {
	t.Parallel()
	h := smallHost(t)
	ownMounts(t)
	h.env = append(h.env, "STATE_DIR="+readOnly(t))
	h.useUpstream(t)
	h.up(t)
	h.ready(t, "dns")
	reply, err := exchange("udp", dnsAt("10.7.0.1"), plainQuery("www.example.org", 1))
	if err != nil {
		t.Fatal(err)
	}
	wantAddress(t, reply, "192.0.2.7")
	d := h.state(t, "marathon", launcher.StateBackoff)
	wantText(t, "what is said of marathon", d.Reason, "read-only file system", "marathon")
	wantText(t, "what is said of the token", h.Stderr(), "nobody is let in at STATUS_LISTEN", "read-only file system")
}
