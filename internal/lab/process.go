package lab

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopTimeout is how long Stop gives a process to end after SIGTERM.
const stopTimeout = 30 * time.Second

// Process is a program that runs beside a test.
type Process struct {
	name   string
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process has ended and its output is complete
	stdout output
	stderr output
}

// command says what to run.
type command struct {
	path string
	args []string
	env  []string
	dir  string
}

// start runs a program until the test is over at the latest.
func start(t testing.TB, c command) *Process {
	t.Helper()
	cmd := exec.Command(c.path, c.args...)
	cmd.Env, cmd.Dir = c.env, c.dir
	return Start(t, cmd)
}

// Start runs a command that a test made itself, where the other helpers cannot do
// what it needs: descriptors and rights other than ours. It is killed when the test is
// over at the latest, and its output, which is collected, is logged if the test failed.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{name: filepath.Base(cmd.Path), cmd: cmd, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	// Should the test die without cleaning up (a panic, a timeout), the kernel
	// ends the program. A grandchild that holds the output open cannot make
	// Wait hang for longer than WaitDelay.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = 5 * time.Second
	if err := onOwnThread(p.cmd.Start, func() { <-p.done }); err != nil {
		t.Fatalf("cannot start %s: %v", cmd.Path, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s %s (pid %d): %v\n%s%s", p.name, strings.Join(cmd.Args[1:], " "), p.Pid(), p.cmd.ProcessState, p.Stdout(), p.Stderr())
		}
	})
	return p
}

// Pid returns the process id, also after the process has ended.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stdout returns what the program has printed so far.
func (p *Process) Stdout() string { return p.stdout.String() }

// Stderr returns what the program has logged so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal to the process; one that has ended does not mind.
func (p *Process) Signal(signal os.Signal) { _ = p.cmd.Process.Signal(signal) }

// Wait waits for the process to end by itself and returns its exit code, -1 if
// a signal ended it. The test fails when it does not end within timeout.
func (p *Process) Wait(t testing.TB, timeout time.Duration) int {
	t.Helper()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-timer.C:
		t.Fatalf("%s (pid %d) still runs after %v", p.name, p.Pid(), timeout)
		return -1
	}
}

// Stop asks the process to end (SIGTERM) and returns its exit code, -1 if the
// signal itself ended it.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Wait(t, stopTimeout)
}

// Kill ends the process at once (SIGKILL) and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// ended reports whether the process is gone.
func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// output collects what a process writes, for readers that do not wait.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
