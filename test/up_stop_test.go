package test

import (
	"os"
	"testing"
	"time"

	"panteras/launcher"
)

// TestUpStopWaitsNoLonger stops a daemon that takes its time, and then everything: both are
// over when the last process is, not when its grace is.
func TestUpStopWaitsNoLonger(t *testing.T) {
	t.Parallel()
	h := smallHost(t)
	h.misbehave(t, "marathon", "alone", "late")
	h.up(t)
	h.ready(t, "marathon", "dns")
	grace := time.Duration(h.plan(t)["marathon"].Stop.GraceSeconds) * time.Second
	ended := h.path("state", "marathon", "ended")
	// waited is how long it took from the end of the process until that was told.
	waited := func(what string) {
		t.Helper()
		now := time.Now()
		text, err := os.ReadFile(ended)
		if err != nil {
			t.Fatalf("%s, marathon had not ended: %v", what, err)
		}
		at, err := time.Parse(time.RFC3339Nano, string(text))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %v after the last process", what, now.Sub(at))
		if took := now.Sub(at); took > grace/2 {
			t.Errorf("%s: %v after the last process, with a grace of %v", what, took, grace)
		}
	}
	h.must(t, "stop", "marathon")
	waited("stopped")
	if err := os.Remove(ended); err != nil {
		t.Fatal(err)
	}
	h.must(t, "start", "marathon")
	h.state(t, "marathon", launcher.StateReady)
	if code := h.Stop(t); code != 0 {
		t.Errorf("stopped with exit code %d", code)
	}
	waited("everything stopped")
}
