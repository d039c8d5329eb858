package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"panteras/tunnel"
)

// model is what a store should hold, in the plainest terms.
type model struct {
	peers map[string]tunnel.Peer
	freed map[netip.Addr]time.Time
}

func (m *model) owner(key tunnel.PublicKey) string {
	for name, p := range m.peers {
		if p.PublicKey == key {
			return name
		}
	}
	return ""
}

// behavesLikeTheModel does random operations on a store of few names, keys and
// addresses, so that they collide all the time.
func behavesLikeTheModel(t *testing.T, s *Store, clock *testClock) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	m := &model{peers: map[string]tunnel.Peer{}, freed: map[netip.Addr]time.Time{}}
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	keys := make([]tunnel.PublicKey, 10)
	for i := range keys {
		keys[i] = newKey()
	}
	narrow := []netip.Prefix{netip.MustParsePrefix("10.99.0.0/29"), network6} // five peers
	const steps = 150
	var history []string
	for range steps {
		name, key := names[random.IntN(len(names))], keys[random.IntN(len(keys))]
		old, exists := m.peers[name]
		var step string
		var got tunnel.Peer
		var err, want error
		switch random.IntN(6) {
		case 0, 1:
			step = "add " + name
			got, err = s.Add(t.Context(), tunnel.Peer{Name: name, PublicKey: key}, narrow)
			switch {
			case exists:
				want = tunnel.ErrPeerExists
			case m.owner(key) != "":
				want = tunnel.ErrKeyInUse
			}
			if errors.Is(err, tunnel.ErrPoolExhausted) {
				want = err
				if free := m.free(narrow[0], clock.now()); free > 0 {
					t.Errorf("the pool is exhausted and has %d addresses", free)
				}
			}
			if err == nil {
				for _, a := range got.Addresses {
					if rested := clock.now().Sub(m.freed[a]); rested < tunnel.Quarantine {
						t.Errorf("%v was given out %v after it was freed", a, rested)
					}
					delete(m.freed, a)
				}
			}
		case 2:
			step = "toggle " + name
			got, err = s.Update(t.Context(), name, func(p *tunnel.Peer) error { p.Disabled = !p.Disabled; return nil })
			if !exists {
				want = tunnel.ErrNoPeer
			} else if err == nil && got.Disabled == old.Disabled {
				t.Errorf("%s was not toggled", name)
			}
		case 3:
			step = "rotate " + name
			got, err = s.Rotate(t.Context(), name, "", key, nil)
			switch {
			case !exists:
				want = tunnel.ErrNoPeer
			case m.owner(key) != "":
				want = tunnel.ErrKeyInUse
			}
		case 4:
			step = "remove " + name
			_, err = s.Remove(t.Context(), name)
			if !exists {
				want = tunnel.ErrNoPeer
				break
			}
			for _, a := range old.Addresses {
				m.freed[a] = clock.now()
			}
			delete(m.peers, name)
		case 5:
			step = "wait"
			clock.add(time.Duration(random.IntN(8)) * time.Minute)
		}
		history = append(history, step)
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Fatalf("seed %d, %v: error %v, want %v", seed, history, err, want)
		}
		if err == nil && got.Name != "" {
			m.peers[name] = got
		}
	}
	m.compare(t, s, fmt.Sprint("seed ", seed, ", ", history))
}

// free counts the addresses that nobody has and that have rested.
func (m *model) free(network netip.Prefix, now time.Time) int {
	taken := map[netip.Addr]bool{}
	for _, p := range m.peers {
		taken[p.Addresses[0]] = true
	}
	free := 0
	for offset := range poolSize([]netip.Prefix{network}) {
		a := at(network, firstOffset+offset)
		freed, resting := m.freed[a]
		if !taken[a] && (!resting || now.Sub(freed) >= tunnel.Quarantine) {
			free++
		}
	}
	return free
}

// compare looks at every entry of the store.
func (m *model) compare(t *testing.T, s *Store, history string) {
	t.Helper()
	snap := mustRead(t, s)
	if len(snap.Peers) != len(m.peers) || len(snap.Broken) > 0 {
		t.Fatalf("%s: %d peers (%d broken), want %d", history, len(snap.Peers), len(snap.Broken), len(m.peers))
	}
	used := map[netip.Addr]string{}
	for i := range snap.Peers {
		p := &snap.Peers[i]
		want := m.peers[p.Name]
		if !p.Equal(&want) {
			t.Errorf("%s: %+v, want %+v", history, p, want)
		}
		for _, a := range p.Addresses {
			if other, taken := used[a]; taken {
				t.Errorf("%s: %s and %s share %v", history, other, p.Name, a)
			}
			used[a] = p.Name
		}
	}
	addresses, err := s.kv.list(t.Context(), addressesPrefix)
	if err != nil {
		t.Fatal(err)
	}
	claims := decodeClaims(addresses)
	for a, c := range claims {
		freed, resting := m.freed[a]
		if c.Freed.IsZero() && used[a] != c.Peer || !c.Freed.IsZero() && (!resting || !freed.Equal(c.Freed) || used[a] != "") {
			t.Errorf("%s: the claim on %v is %+v, used by %q, freed %v", history, a, c, used[a], freed)
		}
	}
	if len(claims) != len(used)+len(m.freed) {
		t.Errorf("%s: %d claims for %d addresses in use and %d that rest", history, len(claims), len(used), len(m.freed))
	}
	keys, err := s.kv.list(t.Context(), keysPrefix)
	if err != nil || len(keys) != len(m.peers) {
		t.Errorf("%s: %d keys for %d peers (%v)", history, len(keys), len(m.peers), err)
	}
}
