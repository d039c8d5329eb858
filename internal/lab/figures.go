package lab

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Median is the value in the middle, between the two in the middle of an even number;
// 0 of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// Slowdown is how many times longer than its processor time something takes now that only
// needs a processor: 1 where one is free. A bound on time divides by it what was measured,
// or it would fail where the machine does much else.
func Slowdown(t testing.TB) float64 {
	t.Helper()
	const enough = 100 * time.Millisecond
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used := func() time.Duration {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
			t.Fatalf("cannot read the processor time of a thread: %v", err)
		}
		return time.Duration(now.Nano())
	}
	began, before := time.Now(), used()
	for used()-before < enough {
	}
	return max(1, time.Since(began).Seconds()/enough.Seconds())
}

// ProcessorTime is the processor time of a process so far, and that of its children that
// have ended, in seconds (proc_pid_stat(5)).
func ProcessorTime(pid int) (own, children float64, err error) {
	const ticks = 100 // a second
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The name, in parentheses, may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 15 {
		return 0, 0, fmt.Errorf("/proc/%d/stat has only %d fields", pid, len(fields))
	}
	at := func(i int) float64 {
		v, _ := strconv.ParseFloat(fields[i], 64)
		return v / ticks
	}
	return at(11) + at(12), at(13) + at(14), nil
}
