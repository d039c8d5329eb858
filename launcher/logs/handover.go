package logs

import (
	"fmt"
	"maps"
	"os"
	"time"
)

// Handover is one daemon's output as it passes from one program to the next in an
// upgrade. It can be written as JSON.
type Handover struct {
	Daemon string `json:"daemon"`
	// Pipes are what the daemon's processes write to.
	Pipes []HandoverPipe `json:"pipes,omitempty"`
	// Recent are the lines in memory.
	Recent []Line `json:"recent,omitempty"`
}

// HandoverPipe is the reading end of a pipe.
type HandoverPipe struct {
	Stream string `json:"stream"`
	// FD is the descriptor, which must stay open, with the same number, in the next
	// program. It is closed on exec as long as nobody changes that.
	FD int `json:"fd"`
	// Pending begins a line that has not ended.
	Pending []byte `json:"pending,omitempty"`
}

// Detach stops reading and gives away everything there is to go on with: no byte is
// lost, as the pipes hold what comes meanwhile. What was read is written to console and
// files before, as far as they take it. Adopt goes on, here or in the next program.
func (l *Logs) Detach() ([]Handover, error) {
	l.mu.Lock()
	pipes, daemons := l.pipes, maps.Clone(l.daemons)
	l.pipes = map[*pipe]bool{}
	l.mu.Unlock()
	for p := range pipes {
		p.interrupt()
	}
	list := map[string]*Handover{}
	var trouble error
	for p := range pipes {
		<-p.done
		if p.ended {
			continue
		}
		h := list[p.daemon.name]
		if h == nil {
			h = &Handover{Daemon: p.daemon.name}
			list[p.daemon.name] = h
		}
		// The copy is nobody's but the receiver's: no finalizer closes it.
		fd, err := duplicate(p.file)
		if err != nil {
			trouble = fmt.Errorf("cannot hand over the output of %s: %w", p.daemon.name, err)
			continue
		}
		_ = p.file.Close()
		h.Pipes = append(h.Pipes, HandoverPipe{Stream: p.stream, FD: fd, Pending: p.split.pending})
	}
	deadline := time.Now().Add(flushTimeout)
	var all []Handover
	for name, d := range daemons {
		if d.file != nil {
			d.file.flush(time.Until(deadline))
		}
		d.mu.Lock()
		recent := d.last(keepLines)
		d.mu.Unlock()
		h := list[name]
		if h == nil {
			h = &Handover{Daemon: name}
		}
		h.Recent = recent
		all = append(all, *h)
	}
	if l.console != nil {
		l.console.flush(time.Until(deadline))
	}
	return all, trouble
}

// Adopt goes on with a daemon's output. Where the lines in memory are still there, as
// after an upgrade that failed, those handed over are ignored.
func (l *Logs) Adopt(h Handover) error {
	d := l.daemon(h.Daemon)
	d.mu.Lock()
	if len(d.kept) == 0 {
		for _, line := range h.Recent {
			d.keep(line)
		}
	}
	d.mu.Unlock()
	var trouble error
	for _, hp := range h.Pipes {
		f, err := pollable(hp.FD, h.Daemon)
		if err != nil {
			trouble = err
			continue
		}
		l.read(&pipe{daemon: d, stream: hp.Stream, file: f, split: splitter{pending: hp.Pending}})
	}
	return trouble
}

// duplicate copies a file's descriptor; the copy is closed on exec.
func duplicate(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	if controlErr := raw.Control(func(from uintptr) { fd, err = dup(int(from)) }); controlErr != nil {
		return 0, controlErr
	}
	return fd, err
}
