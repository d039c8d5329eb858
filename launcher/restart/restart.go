// Package restart decides what becomes of a daemon whose process has ended: whether
// it starts again at once, after a while, or not at all. [Decide] is a pure function;
// who calls it keeps the time and the count of failures.
//
// A daemon is never given up because it failed often: what it waits for may come back
// at any hour. It is given up when its exit code says that no restart can mend it.
package restart

import (
	"fmt"
	"syscall"
	"time"
)

const (
	// Shortest and Longest are the bounds of a delay. It doubles with every failure in
	// a row.
	Shortest = time.Second
	Longest  = time.Minute
	// Healthy is how long a process that became ready must have run for its failures
	// of before to be forgotten.
	Healthy = time.Minute

	// jitter is by how much of itself a delay is longer or shorter at most, so that
	// the hosts of a cluster that failed together do not start together.
	jitter = 0.2
	// quick is a life too short for a restart at once, if the one before failed too:
	// otherwise a program that ends at once would keep a processor busy.
	quick = time.Second
)

// Exit is how a process ended.
type Exit struct {
	// Code is the exit code, Signal the signal that ended it, 0 if none did.
	Code   int
	Signal syscall.Signal
	// Ran is how long the process lived.
	Ran time.Duration
	// WasReady tells whether it was ready at any time.
	WasReady bool
}

// Kind is what a [Decision] comes to.
type Kind int

// The kinds of a decision.
const (
	// AfterDelay starts the daemon again when Delay is over.
	AfterDelay Kind = iota
	// AtOnce starts it again without delay.
	AtOnce
	// Final does not start it again until an operator, or new settings, ask for it.
	Final
)

// Decision is what becomes of the daemon.
type Decision struct {
	Kind Kind
	// Delay is 0 unless Kind is AfterDelay.
	Delay time.Duration
	// Reason says for an operator how the process ended and, where that is known,
	// what it means and what to do.
	Reason string
	// Failures is the number to call [Decide] with the next time.
	Failures int
}

// Decide decides about a daemon, by its name in the plan. failures is what the
// decision before this one said, 0 at first; rnd returns a number in [0, 1).
func Decide(name string, e Exit, failures int, rnd func() float64) Decision {
	if e.WasReady && e.Ran >= Healthy {
		failures = 0
	}
	meanings := codes[name]
	if e.Signal != 0 || own[name] && e.WasReady { // one of ours that was ready had settings that are right: it crashed
		meanings = nil
	}
	code, known := meanings[e.Code]
	d := Decision{Reason: reason(e, code), Failures: failures + 1}
	inARow := failures
	switch {
	case known && code.kind == Final && failures+1 >= code.times:
		d.Kind = Final
		return d
	case known && code.kind == AtOnce && (e.Ran >= quick || failures == 0):
		d.Kind = AtOnce
		if e.Ran >= quick {
			d.Failures = failures // this is how it works, and no failure
		}
		return d
	case own[name]:
		if e.WasReady && failures < ownAtOnce {
			d.Kind = AtOnce
			return d
		}
		inARow = max(0, failures-ownAtOnce)
	}
	d.Delay = delay(inARow, rnd())
	return d
}

// delay grows with the failures in a row before this one.
func delay(failures int, random float64) time.Duration {
	d := Longest
	for i, doubled := 0, Shortest; doubled < Longest; i, doubled = i+1, doubled*2 {
		if i == failures {
			d = doubled
			break
		}
	}
	d = time.Duration(float64(d) * (1 + jitter*(2*random-1)))
	return min(max(d, Shortest), Longest)
}

// reason says how a process ended, and what that means as far as it is known.
func reason(e Exit, c code) string {
	switch {
	case e.Signal == syscall.SIGKILL:
		return "killed by SIGKILL; if nobody did that, memory ran out: see `dmesg`"
	case e.Signal != 0:
		return fmt.Sprintf("killed by %s", signalName(e.Signal))
	case c.meaning != "":
		return fmt.Sprintf("exit code %d: %s", e.Code, c.meaning)
	case e.Code == 0:
		return "exit code 0: it ended by itself, which a daemon should not"
	case e.Code > shellSignal && e.Code < shellSignal+32:
		return fmt.Sprintf("exit code %d, which stands for %s", e.Code, signalName(syscall.Signal(e.Code-shellSignal)))
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// shellSignal is what shells and Java add to the number of the signal that ended them.
const shellSignal = 128
