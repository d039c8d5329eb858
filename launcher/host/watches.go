package host

import (
	"context"
	"time"

	"panteras/launcher"
)

const (
	// outageHold is how long a daemon may be away on its way back before those that watch
	// it are told: the first restart takes a second, and to give its work to another host
	// and have it there costs as much.
	outageHold = 2 * time.Second
	// watchAgain is when a file is tried again that could not be written.
	watchAgain = 5 * time.Second
)

// outage tells whether a daemon does not do its work and will not at once, by its state and
// when it last did. again is when the same state may mean something else; 0 is never.
func outage(d launcher.DaemonStatus, worked, now time.Time) (down bool, again time.Duration) {
	switch d.State {
	case launcher.StateReady:
		return false, 0
	case launcher.StateWaiting, launcher.StateStarting, launcher.StateStopping, launcher.StateBackoff:
		left := outageHold - now.Sub(worked)
		if left <= 0 || d.RetryAt != nil && d.RetryAt.Sub(now) > left {
			return true, 0
		}
		return false, left
	}
	return true, 0
}

// watchLoop keeps the files of those that watch others ([launcher.Watch]) until ctx is
// done.
func (h *Host) watchLoop(ctx context.Context) {
	worked := map[string]time.Time{} // when each last did its work
	var status launcher.Status
	timer := time.NewTimer(0)
	defer timer.Stop()
	failed := ""
	for {
		before := status
		select {
		case <-ctx.Done():
			return
		case status = <-h.watched:
		case <-timer.C:
		}
		now, next := time.Now(), time.Duration(0)
		for _, d := range status.Daemons {
			if d.Ready || ready(before, d.Name) { // it did until this moment
				worked[d.Name] = now
			}
		}
		_, plan := h.current()
		problem := ""
		for _, d := range plan.Daemons {
			of, watches := daemonOf(status, d.Watch.Daemon)
			if self, ok := daemonOf(status, d.Name); !watches || !ok || self.Pid == 0 {
				continue
			}
			down, again := outage(of, worked[of.Name], now)
			if err := writeWatch(d, down); err != nil {
				problem, again = err.Error(), watchAgain
			}
			if again > 0 && (next == 0 || again < next) {
				next = again
			}
		}
		if problem != "" && problem != failed {
			h.o.Log.Error("a daemon cannot be told about another one; look at RUN_DIR", "error", problem)
		}
		failed = problem
		if next > 0 {
			timer.Reset(next)
		} else {
			timer.Stop()
		}
	}
}

// writeWatch tells a daemon about the one that it watches.
func writeWatch(d launcher.Daemon, down bool) error {
	own, err := ownerOf(d.User)
	if err != nil {
		return err
	}
	content := "0\n"
	if down {
		content = "1\n"
	}
	return writeFile(launcher.File{Path: d.Watch.Path, Mode: "0600", Content: content}, own)
}
