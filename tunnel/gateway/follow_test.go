package gateway

import (
	"context"
	"errors"
	"strings"
	"testing"

	"panteras/internal/lab"
	"panteras/tunnel"

	"github.com/prometheus/client_golang/prometheus"
)

// silent is a store that has no news.
type silent struct{ tunnel.Store }

func (silent) Watch(ctx context.Context, _ func(tunnel.Snapshot, error)) { <-ctx.Done() }

// tampered is a store with entries that nobody can understand, as many as it was told last.
type tampered struct {
	tunnel.Store
	entries chan []string
}

func (s tampered) Watch(ctx context.Context, seen func(tunnel.Snapshot, error)) {
	for {
		select {
		case names := <-s.entries:
			snapshot, err := s.Read(ctx)
			for _, name := range names {
				snapshot.Broken = append(snapshot.Broken, tunnel.Broken{Kind: tunnel.KindPeer, Name: name, Err: errors.New("peers/" + name + ": garbage")})
			}
			seen(snapshot, err)
		case <-ctx.Done():
			return
		}
	}
}

// Every entry that cannot be understood is logged, once, however busy the gateway is; and the
// store is up all the while.
func TestEveryBrokenEntryIsLogged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alice := r.add("alice", nil)
	entries := make(chan []string)
	r.store = tampered{r.store, entries}
	r.start()
	r.have(alice)
	g := r.gateway
	for i, names := range [][]string{{"bob", "carol"}, {"bob", "carol"}, {"bob", "carol", "dave"}, {}} {
		r.whileBusy(func() {
			entries <- names
			lab.Eventually(t, testPatience, "the state to wait for the gateway", func() bool { return len(g.accepted) == 1 })
		})
		lab.Eventually(t, testPatience, "the news to be taken", func() bool { return len(g.accepted) == 0 && len(g.reported) == 0 })
		if _, ok := g.askReport(); !ok {
			t.Fatal("the gateway has ended")
		}
		log := r.log.String()
		for name, times := range map[string][]int{"bob": {1, 1, 2, 2}, "carol": {1, 1, 2, 2}, "dave": {0, 0, 1, 1}} {
			if got := strings.Count(log, "peers/"+name+": garbage; it is left out"); got != times[i] {
				t.Errorf("after %v: %s is logged %d times, want %d", names, name, got, times[i])
			}
		}
		if strings.Contains(log, "can be read again") {
			t.Errorf("the store was never away, and the log says:\n%s", log)
		}
	}
}

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
			r.whileBusy(func() {
				c.first()
				c.then()
			})
			lab.Eventually(t, testPatience, "the news to be taken", func() bool { return len(g.accepted) == 0 && len(g.reported) == 0 })
			if _, ok := g.askReport(); !ok || up() != c.up {
				t.Fatalf("the store is up: %v, want %v", up(), c.up)
			}
		}
	}
}
