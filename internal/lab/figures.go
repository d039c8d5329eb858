package lab

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
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
