package proc

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Exit is how a process ended.
type Exit struct {
	// Code is the exit code; -1 if a signal ended the process, or if nobody knows.
	Code int
	// Signal is the one that ended it, or 0.
	Signal syscall.Signal
	At     time.Time
}

// exitOf is what the status that wait(2) brings means.
func exitOf(status syscall.WaitStatus, at time.Time) Exit {
	if status.Signaled() {
		return Exit{Code: -1, Signal: status.Signal(), At: at}
	}
	return Exit{Code: status.ExitStatus(), At: at}
}

// String is such as "exit code 1" or "killed by SIGKILL".
func (e Exit) String() string {
	switch {
	case e.Signal != 0:
		name := unix.SignalName(e.Signal)
		if name == "" {
			name = fmt.Sprintf("signal %d", int(e.Signal))
		}
		return "killed by " + name
	case e.Code < 0:
		return "ended, nobody saw how"
	}
	return fmt.Sprintf("exit code %d", e.Code)
}
