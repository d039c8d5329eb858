package host

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"panteras/launcher"
)

// TestRetries: a snapshot that is not in effect is tried again at longer and longer
// intervals, at once when HAProxy has become ready, and never while it does not run.
func TestRetries(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	ready := launcher.DaemonStatus{State: launcher.StateReady, Ready: true, Since: at(-100)}
	var r retries
	var last time.Time // when the snapshot was tried last; zero is that it is in effect
	// during tells at which seconds it is tried, each of which fails.
	during := func(from, to int, haproxy launcher.DaemonStatus) string {
		var tries []string
		for s := from; s < to; s++ {
			if r.due(at(s), last, haproxy) {
				tries = append(tries, fmt.Sprint(s))
				last = at(s)
				r.tried(at(s), last)
			}
		}
		return strings.Join(tries, " ")
	}
	expect := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: tried at %q, not %q", what, got, want)
		}
	}
	expect("nothing to do", during(0, 10, ready), "")
	last = at(10)
	// The first look is also the first at a HAProxy that is ready.
	expect("it fails", during(10, 300, ready), "10 11 13 17 25 41 73 133 193 253")
	last = at(300) // consul-template has tried another one
	expect("another snapshot", during(300, 310, ready), "301 303 307")
	expect("HAProxy is stopped", during(310, 1000, launcher.DaemonStatus{State: launcher.StateStopped}), "")
	expect("HAProxy waits", during(1000, 1100, launcher.DaemonStatus{State: launcher.StateBackoff}), "")
	expect("HAProxy is about to stop", during(1100, 1200, launcher.DaemonStatus{State: launcher.StateStopping}), "")
	again := launcher.DaemonStatus{State: launcher.StateReady, Ready: true, Since: at(1200)}
	expect("HAProxy is ready again", during(1200, 1205, again), "1200 1201 1203")
	last = time.Time{}
	expect("it is in effect", during(1205, 1300, again), "")
}
