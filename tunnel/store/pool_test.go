package store

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"panteras/tunnel"
)

// Who adds at the same time seldom wants the same address: else each of them but one would
// have to try again.
func TestAddressesAreChosenFromARandomStart(t *testing.T) {
	t.Parallel()
	const times = 50
	seen := map[netip.Addr]bool{}
	for range times {
		list, ok := pick(both, nil, time.Now())
		if !ok || len(list) != 2 {
			t.Fatal(list, ok)
		}
		seen[list[0]] = true
	}
	if len(seen) < times/2 {
		t.Errorf("%d choices among 65,000 addresses were %d different ones", times, len(seen))
	}
}

// counting is a kv that counts what changes it.
type counting struct {
	kv
	applied int
}

func (c *counting) apply(ctx context.Context, ops []op) (bool, error) {
	c.applied++
	return c.kv.apply(ctx, ops)
}

// Whoever dies in the middle of a change, or asks then, finds all of it or nothing: it is one
// transaction.
func TestEachChangeIsOneTransaction(t *testing.T) {
	t.Parallel()
	all := &counting{kv: newMemory()}
	s := &Store{kv: all, now: time.Now}
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"add", func() error {
			_, err := s.Add(t.Context(), tunnel.Peer{Name: "alice", PublicKey: newKey()}, both)
			return err
		}},
		{"update", func() error {
			_, err := s.Update(t.Context(), "alice", func(p *tunnel.Peer) error { p.Disabled = true; return nil })
			return err
		}},
		{"rotate", func() error { _, err := s.Rotate(t.Context(), "alice", "", newKey(), nil); return err }},
		{"remove", func() error { _, err := s.Remove(t.Context(), "alice"); return err }},
	} {
		all.applied = 0
		if err := change.do(); err != nil || all.applied != 1 {
			t.Errorf("%s: %d transactions, %v", change.name, all.applied, err)
		}
	}
}
