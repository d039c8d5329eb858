package dnsserver

import (
	"math/rand/v2"
	"testing"
)

// The table does what a map does, whatever collides and moves.
func TestTableIsAMap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		tab := newTable(1)
		model := map[uint64]int32{}
		space := uint64(1) << (4 + seed%10)
		key := func() uint64 {
			k := rng.Uint64() % space
			if seed%3 == 0 { // keys that begin in the last slots, so that their runs wrap round
				return endKeys[k%uint64(len(endKeys))]
			}
			return k<<16 | k // as a socket and an id
		}
		for range 20000 {
			k := key()
			switch rng.IntN(5) {
			case 0, 1:
				v := rng.Int32()
				tab.put(k, v)
				model[k] = v
			case 2, 3:
				tab.del(k)
				delete(model, k)
			default:
				want, ok := model[k]
				if !ok {
					want = none
				}
				if got := tab.get(k); got != want {
					t.Fatalf("seed %d: key %d is %d, want %d", seed, k, got, want)
				}
			}
			if tab.n != len(model) {
				t.Fatalf("seed %d: %d entries, want %d", seed, tab.n, len(model))
			}
		}
		for k, want := range model {
			if got := tab.get(k); got != want {
				t.Fatalf("seed %d: key %d is %d, want %d", seed, k, got, want)
			}
			tab.del(k)
		}
		for i, v := range tab.vals {
			if v != none || tab.n != 0 {
				t.Fatalf("seed %d: slot %d still holds %d of %d", seed, i, v, tab.n)
			}
		}
	}
}

// endKeys are keys whose slot is among the last of a table of 64.
var endKeys = func() (list []uint64) {
	tab := newTable(1)
	for k := uint64(0); len(list) < 512; k++ {
		if tab.slot(k) >= 60 {
			list = append(list, k)
		}
	}
	return list
}()

func TestTableDoesNotGrowUnderSteadyLoad(t *testing.T) {
	tab := newTable(1000)
	rng := rand.New(rand.NewPCG(1, 1))
	keys := make([]uint64, 1000)
	size := len(tab.keys)
	for i := range 200000 {
		k := &keys[i%len(keys)]
		tab.del(*k)
		*k = rng.Uint64()
		tab.put(*k, 1)
	}
	if len(tab.keys) != size {
		t.Errorf("the table grew from %d to %d slots for %d keys", size, len(tab.keys), len(keys))
	}
}

func TestPool(t *testing.T) {
	t.Parallel()
	var p pool[int]
	rng := rand.New(rand.NewPCG(1, 1))
	held := map[int32]*int{}
	for range 20000 {
		if rng.IntN(5) < 3 {
			i := p.get()
			if held[i] != nil {
				t.Fatalf("item %d was handed out twice", i)
			}
			held[i] = p.at(i)
			*p.at(i) = int(i)
		} else {
			for i, at := range held {
				if p.at(i) != at || *at != int(i) {
					t.Fatalf("item %d has moved", i)
				}
				delete(held, i)
				p.put(i)
				break
			}
		}
		if p.used() != len(held) {
			t.Fatalf("%d in use, want %d", p.used(), len(held))
		}
	}
}
