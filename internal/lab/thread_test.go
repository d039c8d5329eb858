package lab

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A test that is over takes the thread with it that it had locked. Programs
// of other tests, which that thread may have started before, run on.
func TestAProcessOutlivesTheThreadThatStartedIt(t *testing.T) {
	t.Parallel()
	path := system(t, "sleep")
	var process *Process
	var thread int
	for process == nil {
		onThread(func() {
			if thread = unix.Gettid(); thread != os.Getpid() { // the first thread of a program never ends
				process = start(t, command{path: path, args: []string{"60"}})
			}
		})
	}
	Eventually(t, time.Minute, "the end of the thread", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread))
		return err != nil
	})
	process.Signal(syscall.SIGTERM)
	process.Wait(t, time.Minute)
	if got := process.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); got != syscall.SIGTERM {
		t.Errorf("the process was ended by %v, not by the test", got)
	}
}

// onThread runs f on a thread that ends with it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		f()
	}()
	<-done
}
