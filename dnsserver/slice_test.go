package dnsserver

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// child is a process of its own, so that the tests do not change themselves.
func child(t *testing.T, nice int) (pid int) {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if err := unix.Setpriority(unix.PRIO_PROCESS, cmd.Process.Pid, nice); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func attributes(t *testing.T, tid int) *unix.SchedAttr {
	t.Helper()
	a, err := unix.SchedGetAttr(tid, 0)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestShortenSlice has threads of several kinds: only how long they run at a time changes, and only to less. A kernel before 6.12 knows no slices, and nothing changes.
func TestShortenSlice(t *testing.T) {
	t.Parallel()
	short := func(before uint64) uint64 { return min(before, uint64(slice)) }
	t.Run("nice stays", func(t *testing.T) {
		t.Parallel()
		pid := child(t, 7)
		before := attributes(t, pid)
		if changed, err := shortenSlice(pid, slice); err != nil || changed != (before.Runtime > uint64(slice)) {
			t.Fatal(changed, err)
		}
		if after := attributes(t, pid); after.Runtime != short(before.Runtime) || after.Nice != 7 || after.Policy != unix.SCHED_NORMAL {
			t.Errorf("%+v, before %+v", after, before)
		}
	})
	t.Run("a shorter one stays", func(t *testing.T) {
		t.Parallel()
		pid := child(t, 0)
		_, _ = shortenSlice(pid, 200*time.Microsecond)
		before := attributes(t, pid)
		if changed, err := shortenSlice(pid, slice); err != nil || changed {
			t.Fatal(changed, err)
		}
		if after := attributes(t, pid); after.Runtime != before.Runtime || after.Runtime > uint64(200*time.Microsecond) {
			t.Errorf("%+v, before %+v", after, before)
		}
	})
	t.Run("another policy stays", func(t *testing.T) {
		t.Parallel()
		pid := child(t, 0)
		if err := unix.SchedSetAttr(pid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0); err != nil {
			t.Fatal(err)
		}
		if changed, err := shortenSlice(pid, slice); err != nil || changed {
			t.Fatal(changed, err)
		}
		if after := attributes(t, pid); after.Policy != unix.SCHED_IDLE {
			t.Errorf("%+v", after)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		t.Parallel()
		if _, err := shortenSlice(1<<22+1, slice); err == nil { // above the largest pid, proc(5)
			t.Error("no error")
		}
	})
}

// TestServerRunsInShortSlices looks at the threads of a process with a server.
func TestServerRunsInShortSlices(t *testing.T) {
	t.Parallel()
	upstream := netip.AddrPortFrom(loopback, lab.Port(t)) // nobody is asked
	run(t, upstream, upstream, nil)
	runtime.LockOSThread() // so that there are more threads than one
	defer runtime.UnlockOSThread()
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil || len(tasks) < 2 {
		t.Fatal(tasks, err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err != nil {
			t.Fatal(err)
		}
		a, err := unix.SchedGetAttr(tid, 0)
		if _, gone := os.Stat(task); err != nil && gone == nil {
			t.Fatal(err)
		}
		if err == nil && a.Runtime > uint64(slice) {
			t.Errorf("thread %d runs for %v at a time", tid, time.Duration(a.Runtime))
		}
	}
}
