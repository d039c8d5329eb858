package proc

import (
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Process is a daemon's main process and all that belongs to it.
type Process struct {
	reaper *Reaper
	name   string
	pid    int
	main   *os.Process

	exit  chan Exit
	ended chan struct{} // closed when the main process has ended
	gone  chan struct{} // closed when all have

	killed atomic.Bool // all that belongs to it is to end
}

// watch waits for a child.
func (r *Reaper) watch(name string, child *os.Process) *Process {
	p := r.process(name, child.Pid)
	p.main = child
	r.mu.Lock()
	r.strangers = nil // nobody is adopted any more
	r.mu.Unlock()
	go p.wait()
	return p
}

// Adopt goes on with a process that was started before this program was executed anew
// in place (same pid), or earlier still. Everything must be adopted before anything is
// started.
func (r *Reaper) Adopt(name string, pid int) *Process {
	p := r.process(name, pid)
	child, err := os.FindProcess(pid)
	e, exists := readEntry(pid)
	if err == nil && exists && e.parent == os.Getpid() {
		p.main = child
		go p.wait()
		return p
	}
	r.mu.Lock()
	exit, known := r.strangers[pid]
	r.mu.Unlock()
	if !known {
		exit = Exit{Code: -1, At: time.Now()}
	}
	p.end(exit)
	return p
}

// process is one that the reaper knows.
func (r *Reaper) process(name string, pid int) *Process {
	p := &Process{
		reaper: r, name: name, pid: pid,
		exit: make(chan Exit, 1), ended: make(chan struct{}), gone: make(chan struct{}),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.processes[p] = struct{}{}
	return p
}

// wait waits for the main process, and only for it.
func (p *Process) wait() {
	exit := Exit{Code: -1}
	if state, err := p.main.Wait(); err == nil {
		exit = exitOf(state.Sys().(syscall.WaitStatus), time.Time{})
	}
	exit.At = time.Now()
	p.end(exit)
}

func (p *Process) end(exit Exit) {
	p.exit <- exit
	close(p.ended)
	p.reaper.poke()
}

// Pid is that of the main process, also after its end.
func (p *Process) Pid() int { return p.pid }

// Exited gets one value, when the main process has ended. What it left behind may
// still run.
func (p *Process) Exited() <-chan Exit { return p.exit }

// Paused tells whether the main process has been stopped by a signal, such as SIGSTOP.
func (p *Process) Paused() bool {
	e, ok := readEntry(p.pid)
	return ok && e.paused
}

// Signal sends a signal to the main process. The error is os.ErrProcessDone if it has
// ended.
func (p *Process) Signal(signal syscall.Signal) error {
	if p.main == nil {
		return os.ErrProcessDone
	}
	return p.main.Signal(signal)
}

// KillAll sends SIGKILL to everything that belongs to the daemon. It returns at once;
// Gone tells when they have ended.
func (p *Process) KillAll() {
	p.killed.Store(true)
	p.kill()
}

func (p *Process) kill() {
	p.reaper.cgroup.daemon(p.name).Kill()
	killed := map[int]bool{}
	for found := true; found; {
		found = false
		for _, e := range p.reaper.members(p.name, p.pid) {
			if !killed[e.pid] {
				killed[e.pid] = true
				found = true
				kill(e)
			}
		}
	}
	p.reaper.killStrays(p.name, p.pid)
}

// Gone is closed when the main process and everything that belonged to it have ended.
func (p *Process) Gone() <-chan struct{} { return p.gone }
