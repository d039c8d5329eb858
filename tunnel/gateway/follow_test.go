package gateway

import (
	"context"
	"testing"

	"panteras/internal/lab"
	"panteras/tunnel"

	"github.com/prometheus/client_golang/prometheus"
)

// silent is a store that has no news.
type silent struct{ tunnel.Store }

func (silent) Watch(ctx context.Context, _ func(tunnel.Snapshot, error)) { <-ctx.Done() }

// Whichever of a trouble with the store and a state of it came last is what the metric says,
// also where both wait for a gateway that is busy.
func TestTheLatestWordOnTheStoreCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alice := r.add("alice", nil)
	r.store = silent{r.store}
	r.start()
	r.have(alice)
	g := r.gateway
	state, err := r.store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	up := func() bool {
		registry := prometheus.NewRegistry()
		registry.MustRegister(g.figures.storeUp)
		families, err := registry.Gather()
		if err != nil || len(families) != 1 {
			t.Fatal(families, err)
		}
		return families[0].GetMetric()[0].GetGauge().GetValue() == 1
	}
	troubled, accepted := func() { g.report(errBroken) }, func() { g.accept(state) }
	for range 20 { // which of two channels is read first is left to chance
		for _, c := range []struct {
			first, then func()
			up          bool
		}{{troubled, accepted, true}, {accepted, troubled, false}} {
			answer := make(chan report, 1)
			r.host.look(func() { // the gateway waits for this to end before it answers
				g.asks <- answer
				c.first()
				c.then()
			})
			<-answer
			lab.Eventually(t, testPatience, "the news to be taken", func() bool { return len(g.accepted) == 0 && len(g.reported) == 0 })
			if _, ok := g.askReport(); !ok || up() != c.up {
				t.Fatalf("the store is up: %v, want %v", up(), c.up)
			}
		}
	}
}
