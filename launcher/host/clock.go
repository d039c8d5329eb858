package host

import (
	"context"
	"log/slog"
	"time"
)

// Nothing here waits by the system clock, so one that is set harms no daemon of ours.
// But it makes certificates, tokens and the clocks of other hosts disagree, so it is
// said.
const (
	clockPoll = 5 * time.Second
	// clockJump is how much makes it worth a word: chrony steps at start only, and
	// slews later.
	clockJump = 2 * time.Second
)

// jump is by how much the system clock was set between two readings.
func jump(before, now time.Time) time.Duration {
	return now.Round(0).Sub(before.Round(0)) - now.Sub(before)
}

// watchClock tells of a clock that was set, until ctx is done.
func watchClock(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(clockPoll)
	defer ticker.Stop()
	before := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		if by := jump(before, now); by.Abs() >= clockJump {
			log.Warn("the system clock was set, or the machine slept; what runs goes on", "by", by.Round(time.Second).String())
		}
		before = now
	}
}
