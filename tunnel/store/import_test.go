package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// slowly is a kv on which everybody has seen a change before the next one comes, and who
// makes them may be cut off.
type slowly struct {
	kv
	seen func()
	left int // changes until then; never if negative
}

var errCutOff = errors.New("cut off")

func (s *slowly) apply(ctx context.Context, ops []op) (bool, error) {
	if s.left == 0 {
		return false, errCutOff
	}
	s.left--
	done, err := s.kv.apply(ctx, ops)
	s.seen()
	return done, err
}

func (s *slowly) most() int { return 64 }

// A gateway that runs while its store is put back notices nothing, also if the import is
// cut off and done again; one that was started meanwhile has everybody in the end.
func anImportCutsNobodyOff(t *testing.T, s *Store, clock *testClock) {
	ctx := t.Context()
	const peers = 60 // which is more than one transaction holds
	if _, err := s.Join(ctx, tunnel.NewCluster()); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(ctx, testGateway("gw1")); err != nil {
		t.Fatal(err)
	}
	for i := range peers {
		mustAdd(t, s, fmt.Sprint("peer", i), both...)
	}
	backup, err := s.Export(ctx)
	if err != nil {
		t.Fatal(err)
	}
	old := follow(t, s)
	lab.Eventually(t, patience, "all peers in force", func() bool { return old.count() == peers })
	cluster, err := s.kv.get(ctx, clusterKey)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := s.kv.apply(ctx, []op{{key: clusterKey, index: cluster.index}}); !done || err != nil {
		t.Fatal(done, err)
	}
	lab.Eventually(t, patience, "the loss to be said", func() bool { return old.said("it was wiped") })
	wipe(t, s)
	if _, err := s.Join(ctx, tunnel.NewCluster()); err != nil { // as one that starts now does
		t.Fatal(err)
	}
	fresh, latest := follow(t, s), watched(t, s)
	lab.Eventually(t, patience, "the new gateway to follow", func() bool { return fresh.cluster().ULA.IsValid() })

	settled := func() {
		now := mustRead(t, s)
		lab.Eventually(t, patience, "a change to be seen", func() bool {
			seen := latest()
			return seen.Cluster == now.Cluster && len(seen.Peers) == len(now.Peers)
		})
	}
	for left := range 4 {
		cut := &Store{kv: &slowly{kv: s.kv, seen: settled, left: left}, now: clock.now}
		// Once something was changed it says so, be it only the mark.
		if _, err := cut.Import(ctx, backup); !errors.Is(err, errCutOff) || errors.Is(err, tunnel.ErrUnfinished) != (left > 0) {
			t.Fatalf("an import that was cut off: %v", err)
		}
		if _, err := s.Export(ctx); left > 0 && err == nil {
			t.Error("half a store was exported")
		}
		if old.count() != peers || fresh.count() != 0 {
			t.Errorf("after %d changes in force: %d and %d peers", left, old.count(), fresh.count())
		}
	}
	whole := &Store{kv: &slowly{kv: s.kv, seen: settled, left: -1}, now: clock.now}
	if _, err := whole.Import(ctx, backup); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*follower{fresh, old} {
		lab.Eventually(t, patience, "all peers in force", func() bool { return f.count() == peers && f.cluster() == backup.Cluster })
	}
	mustAdd(t, s, "later", both...)
	lab.Eventually(t, patience, "another peer in force", func() bool { return old.count() == peers+1 && fresh.count() == peers+1 })
	if fewest := old.fewest(); fewest < peers {
		t.Errorf("meanwhile only %d of %d peers had access", fewest, peers)
	}
}

// watched watches a store until the test is over, and tells what it said last.
func watched(t *testing.T, s *Store) (latest func() tunnel.Snapshot) {
	t.Helper()
	var mu sync.Mutex
	var last tunnel.Snapshot
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Watch(ctx, func(snap tunnel.Snapshot, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				last = snap
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func() tunnel.Snapshot {
		mu.Lock()
		defer mu.Unlock()
		return last
	}
}

// A store that is wiped is no removal of everybody, in whatever order the parts of that are
// seen.
func aWipeCutsNobodyOff(t *testing.T, s *Store, _ *testClock) {
	const peers, rounds = 5, 5 // which are wiped in one transaction
	if _, err := s.Join(t.Context(), tunnel.NewCluster()); err != nil {
		t.Fatal(err)
	}
	for i := range peers {
		mustAdd(t, s, fmt.Sprint("peer", i), both...)
	}
	all, err := s.kv.list(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for range rounds {
		f := follow(t, s)
		lab.Eventually(t, patience, "all peers in force", func() bool { return f.count() == peers })
		wipe(t, s)
		lab.Eventually(t, patience, "the loss to be said", func() bool { return f.said("it was wiped") })
		if fewest := f.fewest(); fewest < peers {
			t.Errorf("only %d of %d peers have access", fewest, peers)
		}
		var ops []op
		for key, e := range all {
			ops = append(ops, op{key: key, value: e.value})
		}
		if done, err := s.kv.apply(t.Context(), ops); !done || err != nil {
			t.Fatal(done, err)
		}
	}
}

// meanwhile is a kv on which something happens after some lists.
type meanwhile struct {
	kv
	lists  int
	happen func()
}

func (m *meanwhile) list(ctx context.Context, prefix string) (map[string]entry, error) {
	entries, err := m.kv.list(ctx, prefix)
	if m.lists--; m.lists == 0 {
		m.happen()
	}
	return entries, err
}

// A consistent read is of one moment, also if the store is wiped or an import ends meanwhile.
func TestAReadIsOfOneMoment(t *testing.T) {
	t.Parallel()
	const peers = 3
	cluster := tunnel.NewCluster()
	fill := func(s *Store, importing bool, n int) {
		t.Helper()
		if err := s.put(t.Context(), clusterKey, encode(tunnel.Cluster{ULA: cluster.ULA, Importing: importing})); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if err := s.put(t.Context(), peerKey(fmt.Sprint("peer", i)), encode(&tunnel.Peer{Name: fmt.Sprint("peer", i), PublicKey: newKey(), Addresses: both4And6(2 + uint64(i))})); err != nil {
				t.Fatal(err)
			}
		}
	}
	for lists := range 5 {
		for what, change := range map[string]func(*Store){
			"wiped":    func(s *Store) { wipe(t, s) },
			"imported": func(s *Store) { fill(s, true, peers); fill(s, false, 0) },
		} {
			inner := newMemory()
			plain := &Store{kv: inner, now: newTestClock().now}
			fill(plain, what == "imported", map[string]int{"wiped": peers, "imported": 1}[what])
			s := &Store{kv: &meanwhile{inner, lists, func() { change(plain) }}, now: plain.now}
			snap := mustRead(t, s)
			if trusted := snap.Cluster.ULA.IsValid() && !snap.Cluster.Importing; trusted && len(snap.Peers) != peers {
				t.Errorf("%s after %d lists: read %d peers", what, lists, len(snap.Peers))
			}
		}
	}
}
