package proc

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// entry is a process as /proc/PID/stat shows it.
type entry struct {
	pid, parent, group, session int
	zombie                      bool
	paused                      bool   // stopped by a signal
	started                     uint64 // clock ticks after boot: tells it from another with its pid
}

// table is the processes of the machine at some moment, by pid.
type table map[int]entry

// readTable reads /proc. Processes that start or end meanwhile may be missing.
func readTable() (table, error) {
	if own, err := os.Readlink("/proc/self"); err != nil || own != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("/proc is not that of this PID namespace (/proc/self is %q, not %d): mount it (unshare --mount-proc)", own, os.Getpid())
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot read /proc, by which the processes of daemons are found: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot read /proc, by which the processes of daemons are found: %w", err)
	}
	t := table{}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if e, ok := readEntry(pid); ok {
				t[pid] = e
			}
		}
	}
	return t, nil
}

// readEntry is false if there is no such process.
func readEntry(pid int) (entry, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return entry{}, false
	}
	return parseStat(pid, stat)
}

// parseStat reads a line of proc_pid_stat(5). The second field, the name, is in
// parentheses and may hold anything, also spaces and parentheses.
func parseStat(pid int, stat []byte) (entry, bool) {
	const state, parent, group, session, started = 0, 1, 2, 3, 19 // after the name
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= started {
		return entry{}, false
	}
	e := entry{pid: pid, zombie: fields[state] == "Z" || fields[state] == "X", paused: fields[state] == "T"}
	var errs [4]error
	e.parent, errs[0] = strconv.Atoi(fields[parent])
	e.group, errs[1] = strconv.Atoi(fields[group])
	e.session, errs[2] = strconv.Atoi(fields[session])
	e.started, errs[3] = strconv.ParseUint(fields[started], 10, 64)
	return e, errs == [4]error{}
}

// descendants are the processes below pid, itself not included, parents before their
// children.
func (t table) descendants(pid int) []entry {
	children := map[int][]entry{}
	for _, e := range t {
		children[e.parent] = append(children[e.parent], e)
	}
	found := slices.Clone(children[pid])
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].pid]...)
	}
	return found
}

// members are the processes alive below self that belong to the daemon whose main
// process is, or was, pid: that process, those in its session or group, those that
// marked says so of, and everything below any of these.
func (t table) members(self, pid int, marked func(entry) bool) []entry {
	var found []entry
	belongs := map[int]bool{}
	for _, e := range t.descendants(self) {
		if belongs[e.parent] || e.pid == pid || e.session == pid || e.group == pid || (!e.zombie && marked(e)) {
			belongs[e.pid] = true
			if !e.zombie {
				found = append(found, e)
			}
		}
	}
	return found
}

// markedAs tells whether the environment that a process started with names the daemon.
func markedAs(name string) func(entry) bool {
	return func(e entry) bool {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", e.pid))
		return err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+EnvDaemon+"="+name+"\x00"))
	}
}
