package tunnel

import "time"

const (
	// jump is how far a clock may be off what has passed since the last look,
	// before it counts as set rather than as running.
	jump = 30 * time.Second
	// jumpTrust is how long a clock that was set must run on steadily before
	// access is judged by it.
	jumpTrust = 10 * time.Minute
)

// Clock is the time by which access expires. A clock that is set forth by mistake
// must not cut people off, and one that is set back must not let them in again.
//
// It follows the host's clock as long as that one runs. When the host's clock is
// set, it goes on as it was; it takes the new time over after [jumpTrust], in
// which a mistake is mended or a time server has had its way. It never goes back
// behind a time that was given out, nor behind the floor, which is the last time
// that was known before a restart. It belongs to one goroutine.
type Clock struct {
	latest time.Time     // given out last; never goes back
	offset time.Duration // trusted time minus what the host's clock says
	read   time.Time     // of the host's clock, with the monotonic one
	steady time.Duration // how long the host's clock has run since it was set
}

// NewClock begins with a reading of time.Now.
func NewClock(now, floor time.Time) *Clock {
	c := &Clock{read: now, latest: now.Round(0)}
	if floor.After(c.latest) {
		c.latest = floor.Round(0)
	}
	return c
}

// Now takes a reading of time.Now and returns the time to judge by. jumped is how
// far the host's clock was set since the reading before; 0 when it just ran.
func (c *Clock) Now(now time.Time) (trusted time.Time, jumped time.Duration) {
	// Both readings have the monotonic clock, so this is what has really passed…
	passed := now.Sub(c.read)
	// …and this is how far the host's clock went meanwhile.
	walked := now.Round(0).Sub(c.read.Round(0))
	c.read = now
	if off := walked - passed; off > jump || off < -jump {
		jumped = off
		c.offset -= off
		c.steady = 0
	} else {
		c.steady += passed
	}
	if c.offset != 0 && c.steady >= jumpTrust {
		c.offset = 0
	}
	if t := now.Round(0).Add(c.offset); t.After(c.latest) {
		c.latest = t
	}
	return c.latest, jumped
}
