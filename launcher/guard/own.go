package guard

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

const (
	// EnvLauncher is the pid of the launcher in the environment of a daemon that is this
	// program.
	EnvLauncher = "PANTERAS_LAUNCHER"
	// parentPoll is how often such a daemon looks whether the launcher is still there.
	parentPoll = 200 * time.Millisecond
)

// EndWithLauncher is for daemons that are this program: one whose launcher is gone ends
// with code 1, at once, as the guard would end it. So it ends even if launcher and guard
// were killed together, when nobody is left to end it. A launcher that becomes another
// program in place stays the same process. In a process that no launcher started, nothing
// happens.
func EndWithLauncher() {
	text, given := os.LookupEnv(EnvLauncher)
	if !given {
		return
	}
	_ = os.Unsetenv(EnvLauncher)
	launcher, err := strconv.Atoi(text)
	if err != nil {
		return
	}
	go func() {
		for os.Getppid() == launcher {
			time.Sleep(parentPoll)
		}
		fmt.Fprintln(os.Stderr, "panteras: the launcher (parent process) has gone")
		os.Exit(1)
	}()
}
