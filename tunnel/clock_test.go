package tunnel

import (
	"testing"
	"time"
)

// hostClock is a host's clock that somebody sets.
type hostClock struct {
	*Clock
	wall time.Time
}

func newHostClock(floor time.Time) *hostClock {
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	return &hostClock{NewClock(start, floor), start}
}

// after lets time pass while the clock runs, and sets it by some more.
func (h *hostClock) after(passed, set time.Duration) (time.Time, time.Duration) {
	h.wall = h.wall.Add(passed + set)
	return h.look(h.wall, passed, h.wall)
}

func TestClockFollowsAClockThatRuns(t *testing.T) {
	h := newHostClock(time.Time{})
	for range 100 {
		if got, jumped := h.after(time.Minute, 2*time.Second); !got.Equal(h.wall) || jumped != 0 {
			t.Fatalf("%v (jumped %v), want the host's time %v", got, jumped, h.wall)
		}
	}
}

func TestClockThatIsSetForthDoesNotCutOff(t *testing.T) {
	h := newHostClock(time.Time{})
	right := h.wall
	if _, jumped := h.after(time.Second, 365*24*time.Hour); jumped != 365*24*time.Hour {
		t.Errorf("jumped %v", jumped)
	}
	got, _ := h.after(5*time.Minute, 0)
	if want := right.Add(5*time.Minute + time.Second); !got.Equal(want) {
		t.Errorf("5 minutes after the mistake it is %v, want %v", got, want)
	}
	h.after(time.Second, -365*24*time.Hour) // mended
	if got, _ = h.after(time.Hour, 0); !got.Equal(h.wall) {
		t.Errorf("after the mistake was mended it is %v, want %v", got, h.wall)
	}
}

func TestClockTrustsANewTimeThatStays(t *testing.T) {
	h := newHostClock(time.Time{})
	h.after(time.Second, 24*time.Hour)
	if got, _ := h.after(jumpTrust-time.Second, 0); got.Equal(h.wall) {
		t.Errorf("the new time was trusted too early")
	}
	if got, _ := h.after(time.Second, 0); !got.Equal(h.wall) {
		t.Errorf("it is %v, want the new time %v", got, h.wall)
	}
}

func TestClockThatIsSetBackDoesNotRevive(t *testing.T) {
	h := newHostClock(time.Time{})
	expired := h.wall.Add(time.Hour)
	if got, _ := h.after(2*time.Hour, 0); got.Before(expired) {
		t.Fatal("time does not pass")
	}
	for range 100 {
		if got, _ := h.after(time.Minute, -24*time.Hour); got.Before(expired) {
			t.Fatalf("it is %v again, and what had expired is alive", got)
		}
	}
	if got, _ := h.after(24*time.Hour, 0); got.Before(expired) {
		t.Errorf("it is %v, although a day has passed", got)
	}
}

// After a mistake that was trusted the right time is taken over again.
func TestClockLeavesAWrongFuture(t *testing.T) {
	h := newHostClock(time.Time{})
	h.after(time.Second, 365*24*time.Hour)
	h.after(time.Hour, 0)
	h.after(time.Second, -365*24*time.Hour)
	if got, _ := h.after(jumpTrust, 0); !got.Equal(h.wall) {
		t.Errorf("it is %v, want %v", got, h.wall)
	}
}

// A host whose clock begins in 1970 knows from before its restart that it is later.
func TestClockNeverBeginsBeforeItsFloor(t *testing.T) {
	floor := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	h := newHostClock(floor)
	if got, _ := h.after(time.Hour, 0); !got.Equal(floor.Add(time.Hour)) {
		t.Errorf("it is %v, want an hour after the floor", got)
	}
	h.after(time.Second, 366*24*time.Hour) // a time server answers
	if got, _ := h.after(jumpTrust, 0); !got.Equal(h.wall) {
		t.Errorf("it is %v, want %v", got, h.wall)
	}
}

func TestClockReadsTheRealClock(t *testing.T) {
	c := NewClock(time.Now(), time.Time{})
	got, jumped := c.Now(time.Now())
	if off := time.Since(got); off < 0 || off > time.Minute || jumped != 0 {
		t.Errorf("it is %v off (jumped %v)", off, jumped)
	}
}
