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

// long is a slice that no kernel gives by itself.
const long = 5 * time.Millisecond

// child is a process of its own, so that the tests do not change themselves, with a long slice.
func child(t *testing.T) (pid int) {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lengthen(t, cmd.Process.Pid)
	return cmd.Process.Pid
}

// lengthen gives a thread a long slice, if the kernel knows such (6.12).
func lengthen(t *testing.T, tid int) {
	t.Helper()
	a := attributes(t, tid)
	a.Size, a.Runtime = unix.SizeofSchedAttr, uint64(long)
	if err := unix.SchedSetAttr(tid, a, 0); err != nil {
		t.Fatal(err)
	}
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
	t.Run("nice stays", func(t *testing.T) {
		t.Parallel()
		pid := child(t)
		before := attributes(t, pid)
		if err := unix.Setpriority(unix.PRIO_PROCESS, pid, int(before.Nice)+1); err != nil {
			t.Fatal(err)
		}
		known := before.Runtime == uint64(long)
		if changed, err := shortenSlice(pid, slice); err != nil || changed != known {
			t.Fatal(changed, err)
		}
		after := attributes(t, pid)
		if known && after.Runtime != uint64(slice) || after.Nice != before.Nice+1 || after.Policy != before.Policy {
			t.Errorf("%+v, before %+v", after, before)
		}
	})
	t.Run("a shorter one stays", func(t *testing.T) {
		t.Parallel()
		pid := child(t)
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
		pid := child(t)
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
	short := func() {
		t.Helper()
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
	short()
	// Kernels with short ones anyway would not notice: so one thread gets a long one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	lengthen(t, unix.Gettid())
	shortenAll()
	short()
}
