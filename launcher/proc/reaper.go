package proc

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Reaper starts processes and knows those that belong to them. There should be one in
// a program, and it must be closed.
type Reaper struct {
	log    *slog.Logger
	cgroup *Cgroup // nil where there is none

	wake chan struct{} // a main process has ended
	quit chan struct{}
	done chan struct{}

	tellLimit sync.Once // that the limit on open files is too low: it is so for all

	mu        sync.Mutex
	processes map[*Process]struct{} // that are not gone
	strangers map[int]Exit          // reaped before Adopt could claim them; nil after the first Start
}

// heldAgain is when the reaper looks again at a dead child that somebody in this
// program holds, and so should reap; mostly it has then been reaped.
const heldAgain = time.Second

// NewReaper makes this process a child subreaper and begins to reap what daemons leave
// to it.
func NewReaper(log *slog.Logger) (*Reaper, error) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return nil, fmt.Errorf("cannot watch processes: pidfd_open: %w; this needs Linux 5.4 or newer, and a container runtime that allows the call", err)
	}
	unix.Close(fd)
	if _, err := readTable(); err != nil {
		return nil, err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("cannot become the parent of orphans (child subreaper): %w", err)
	}
	r := &Reaper{
		log:       log,
		cgroup:    ownCgroup(),
		wake:      make(chan struct{}, 1),
		quit:      make(chan struct{}),
		done:      make(chan struct{}),
		processes: map[*Process]struct{}{},
		strangers: map[int]Exit{},
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	go r.run(signals)
	return r, nil
}

// Close ends the reaper. The processes go on.
func (r *Reaper) Close() {
	close(r.quit)
	<-r.done
}

func (r *Reaper) run(signals chan os.Signal) {
	defer close(r.done)
	defer signal.Stop(signals)
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-r.quit:
			return
		case <-again.C:
		case <-signals:
		case <-r.wake:
		}
		if r.reapStrangers() {
			again.Reset(heldAgain)
		}
		r.findGone()
	}
}

// poke makes the reaper look.
func (r *Reaper) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// reapStrangers reaps the dead children that nobody in this program started. Those that
// somebody did start are known by the descriptor (pidfd) that package os holds until
// they are waited for. again tells that such a one is dead: perhaps only somebody who
// is about to kill it holds it.
func (r *Reaper) reapStrangers() (again bool) {
	if !anyDeadChild() {
		return false
	}
	processes, err := readTable()
	if err != nil {
		r.log.Error("cannot reap", "error", err)
		return true
	}
	var dead []int
	for _, e := range processes {
		if e.zombie && e.parent == os.Getpid() {
			dead = append(dead, e.pid)
		}
	}
	held := heldProcesses() // after the table: whoever was started before it was held before it
	for _, pid := range dead {
		if held[pid] {
			again = true
			continue
		}
		var status syscall.WaitStatus
		if got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil); got == pid && err == nil {
			r.mu.Lock()
			if r.strangers != nil {
				r.strangers[pid] = exitOf(status, time.Now())
			}
			r.mu.Unlock()
		}
	}
	return again
}

// anyDeadChild is cheap, and spares most looks at all processes.
func anyDeadChild() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
}

// heldProcesses are those for which this process has a pidfd.
func heldProcesses() map[int]bool {
	held := map[int]bool{}
	dir, err := os.Open("/proc/self/fdinfo")
	if err != nil {
		return held
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		info, err := os.ReadFile("/proc/self/fdinfo/" + name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(info)) {
			if value, found := strings.CutPrefix(line, "Pid:"); found {
				if pid, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
					held[pid] = true
				}
			}
		}
	}
	return held
}

// findGone finds processes that have ended with everything that belonged to them. The
// last to end of those is a child of this process, so a look after each end of a child
// misses none.
func (r *Reaper) findGone() {
	for _, p := range r.ended() {
		// A process that forks and ends may hide its child from one look.
		empty := true
		for range 2 {
			empty = empty && len(r.members(p.name, p.pid)) == 0
		}
		empty = empty && len(r.cgroup.daemon(p.name).pids()) == 0 && !r.anyStray(p.name, p.pid)
		if !empty && p.killed.Load() {
			p.kill() // what the last kill has missed
		}
		if empty {
			r.mu.Lock()
			delete(r.processes, p)
			r.mu.Unlock()
			r.cgroup.daemon(p.name).Remove()
			close(p.gone)
		}
	}
}

// ended are the processes that are not gone and whose main process has ended.
func (r *Reaper) ended() []*Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ended []*Process
	for p := range r.processes {
		select {
		case <-p.ended:
			ended = append(ended, p)
		default:
		}
	}
	return ended
}

// Members are the live processes that belong to the daemon, its main process pid
// included. What it left behind is found too, by its session, group, environment or
// control group; only what changed all of these is not.
func (r *Reaper) Members(name string, pid int) []int {
	var pids []int
	for _, e := range r.members(name, pid) {
		pids = append(pids, e.pid)
	}
	return pids
}

func (r *Reaper) members(name string, pid int) []entry {
	processes, err := readTable()
	if err != nil {
		r.log.Error("cannot tell which processes belong to a daemon", "daemon", name, "error", err)
		return nil
	}
	marked, inside := markedAs(name), r.cgroup.daemon(name).pids()
	return processes.members(os.Getpid(), pid, func(e entry) bool { return inside[e.pid] || marked(e) })
}
