package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
)

// program is a command that a test builds itself, where lab.Panteras cannot do
// what it needs: descriptors and rights other than ours.
type program struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

// panterasPath is the path of what `make build` made.
func panterasPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(lab.Root(t), "bin", "panteras")
}

// runProgram starts a command, which is killed when the test is over.
func runProgram(t testing.TB, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	cmd.Dir = t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.done); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%s: %v\n%s", cmd, cmd.ProcessState, p.output())
		}
	})
	return p
}

// Write collects what the command prints.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// output is what it has printed so far.
func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *program) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// exitCode waits for the end.
func (p *program) exitCode(t testing.TB) int {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-timer.C:
		t.Fatalf("%s does not end:\n%s", p.cmd, p.output())
		return -1
	}
}
