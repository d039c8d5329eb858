package logs

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// readSize is how many bytes are read from a pipe at once.
const readSize = 32 << 10

// pipe is the reading end of what a daemon writes to.
type pipe struct {
	daemon *daemon
	stream string
	file   *os.File
	split  splitter
	done   chan struct{} // closed when nobody reads any more
	ended  bool          // all writers are gone; set before done
}

// Pipe makes the two files that a daemon shall have as its stdout and stderr. The
// caller closes them when the process has them. What is read from them counts until the
// last process that holds one is gone.
func (l *Logs) Pipe(name string) (stdout, stderr *os.File, err error) {
	outReader, stdout, err := newPipe(name)
	if err != nil {
		return nil, nil, err
	}
	errReader, stderr, err := newPipe(name)
	if err != nil {
		_ = outReader.Close()
		_ = stdout.Close()
		return nil, nil, err
	}
	d := l.daemon(name)
	l.read(&pipe{daemon: d, stream: Stdout, file: outReader})
	l.read(&pipe{daemon: d, stream: Stderr, file: errReader})
	return stdout, stderr, nil
}

// newPipe is os.Pipe with a writing end that blocks, as programs expect of their output.
func newPipe(name string) (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("cannot make a pipe for the output of %s: %w", name, err)
	}
	w = os.NewFile(uintptr(fds[1]), name)
	r, err = pollable(fds[0], name)
	if err != nil {
		_ = w.Close()
	}
	return r, w, err
}

// pollable makes a file of a descriptor whose reads can be interrupted.
func pollable(fd int, name string) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot read the output of %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// read starts to read a pipe.
func (l *Logs) read(p *pipe) {
	p.done, p.split.mask = make(chan struct{}), l.mask
	l.mu.Lock()
	l.pipes[p] = true
	l.mu.Unlock()
	go l.run(p)
}

func (l *Logs) run(p *pipe) {
	defer close(p.done)
	b := make([]byte, readSize)
	for {
		n, err := p.file.Read(b)
		var texts []string
		p.split.add(b[:n], func(text string) { texts = append(texts, text) })
		if p.daemon.file != nil && len(texts) > 0 {
			p.daemon.file.await(filePatience)
		}
		l.publish(p.daemon, p.stream, texts)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return // Close or Detach goes on with it
		}
		if err != nil {
			p.ended = true
			l.end(p)
			l.mu.Lock()
			delete(l.pipes, p)
			l.mu.Unlock()
			return
		}
	}
}

// interrupt makes the reader return.
func (p *pipe) interrupt() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) }

// dup copies a descriptor; the copy is closed on exec.
func dup(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) }
