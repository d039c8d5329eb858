package balancer

import (
	"encoding/json"
	"testing"
	"time"
)

// TestOneAtATime: a snapshot that comes while another one is applied, by a process of its
// own, waits for it.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	a, b := web(t, "web", "a", "haproxy"), web(t, "other", "b", "haproxy")
	r := startedRig(t, a)
	both, err := json.Marshal(snapshotOf(a, b))
	if err != nil {
		t.Fatal(err)
	}
	one, err := json.Marshal(snapshotOf(a))
	if err != nil {
		t.Fatal(err)
	}
	second := *r.Balancer
	reloader := r.Reloader
	entered, release := make(chan struct{}), make(chan struct{})
	r.Reloader = ReloadFunc(func(ctx ctxType) error {
		close(entered)
		<-release
		return reloader.Reload(ctx)
	})
	ended := make(chan error, 2)
	go func() { _, err := r.Apply(t.Context(), both); ended <- err }()
	<-entered
	if result, err := second.Retry(t.Context()); result != nil || err != nil { // the first is at it
		t.Errorf("a retry beside: %+v, %v", result, err)
	}
	if !Applying(r.StateDir) {
		t.Error("nobody sees that it is being applied")
	}
	go func() { _, err := second.Apply(t.Context(), one); ended <- err }()
	const enough = time.Second // for who does not wait
	select {
	case err := <-ended:
		t.Errorf("the second did not wait for the first: %v", err)
		ended <- err
	case <-time.After(enough):
	}
	close(release)
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if Applying(r.StateDir) {
		t.Error("it seems to be applied afterwards")
	}
	if code, _ := r.get("other.service.consul", "/"); code != 503 {
		t.Errorf("what left with the second answers %d", code)
	}
}
