package dnsserver

import (
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// slice is how long a thread of ours asks the kernel to run at a time. Who asks for less than others (about 1.4 ms on two processors, twice that on many) need not wait until their
// turn is over when it has something to do (sched_setattr(2), sched_runtime; taken up since Linux 6.12); it gets no more in all.
const slice = time.Millisecond

// shortSlices asks for it for all threads there are; those to come inherit it. Where it is not to be had, answers wait a little longer on a busy machine: that is no error.
var shortSlices = sync.OnceFunc(shortenAll)

func shortenAll() {
	const passes = 10 // each finds the threads that others made during the one before
	for range passes {
		tasks, _ := os.ReadDir("/proc/self/task")
		again := false
		for _, t := range tasks {
			if tid, err := strconv.Atoi(t.Name()); err == nil {
				changed, _ := shortenSlice(tid, slice)
				again = again || changed
			}
		}
		if !again {
			return
		}
	}
}

// shortenSlice lets a thread run for at most d at a time, and says whether it ran for longer before. Its policy and its nice value stay.
func shortenSlice(tid int, d time.Duration) (changed bool, err error) {
	a, err := unix.SchedGetAttr(tid, 0)
	if err != nil || a.Policy != unix.SCHED_NORMAL && a.Policy != unix.SCHED_BATCH || a.Runtime <= uint64(d) { // 0: a kernel without
		return false, err
	}
	a.Size, a.Runtime = unix.SizeofSchedAttr, uint64(d)
	if err := unix.SchedSetAttr(tid, a, 0); err != nil {
		return false, err
	}
	return true, nil
}
