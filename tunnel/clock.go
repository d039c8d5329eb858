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
// set, it goes on as it was, and takes the new time over after [jumpTrust], in
// which a mistake is mended or a time server has had its way. It is never less
// than the time at its beginning and what has passed since. It belongs to one
// goroutine.
type Clock struct {
	read    time.Time     // of the host's clock, with the monotonic one
	least   time.Time     // what the time is at least
	trusted time.Time     // given out last
	steady  time.Duration // how long the host's clock has run since it was set
}

// NewClock begins with a reading of time.Now and with the floor: the last time that
// was trusted before a restart, or the zero time.
func NewClock(now, floor time.Time) *Clock {
	c := &Clock{read: now, least: now.Round(0), steady: jumpTrust}
	if floor.After(c.least) {
		c.least = floor.Round(0)
	}
	c.trusted = c.least
	return c
}

// Now takes a reading of time.Now and returns the time to judge by. jumped is how
// far the host's clock was set since the reading before; 0 when it just ran.
func (c *Clock) Now(now time.Time) (trusted time.Time, jumped time.Duration) {
	// Both readings have the monotonic clock, so this is what has really passed,
	// and without it this is how far the host's clock went meanwhile.
	return c.look(now.Round(0), now.Sub(c.read), now)
}

func (c *Clock) look(wall time.Time, passed time.Duration, now time.Time) (trusted time.Time, jumped time.Duration) {
	off := wall.Sub(c.read.Round(0)) - passed
	c.read = now
	c.least = c.least.Add(passed)
	c.trusted = c.trusted.Add(passed)
	c.steady += passed
	if off > jump || off < -jump {
		jumped, c.steady = off, 0
	}
	if c.steady >= jumpTrust {
		c.trusted = wall
	}
	if c.trusted.Before(c.least) {
		c.trusted = c.least
	}
	return c.trusted, jumped
}
