package proc

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// kill sends SIGKILL to the process that the entry was read from, and to no other that
// got its pid since.
func kill(e entry) {
	fd, err := unix.PidfdOpen(e.pid, 0)
	if err != nil {
		return // it has gone
	}
	defer unix.Close(fd)
	if now, ok := readEntry(e.pid); ok && now.started == e.started {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

// killRest is how long KillDescendants rests before it looks again; the dying take
// about as long.
const killRest = 2 * time.Millisecond

// KillDescendants sends SIGKILL to every process below this one, over and over, until
// none is left alive or the time is over; it returns how many are left. For a child
// subreaper that is everything it or its children ever started. After each round it
// calls reap, which should collect the dead.
func KillDescendants(within time.Duration, reap func()) (left int) {
	deadline := time.Now().Add(within)
	for {
		left = 0
		processes, err := readTable()
		if err != nil {
			return left
		}
		for _, e := range processes.descendants(os.Getpid()) {
			if !e.zombie {
				left++
				kill(e)
			}
		}
		reap()
		if left == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(killRest)
	}
}
