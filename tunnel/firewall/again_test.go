package firewall

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
)

// What the clock says has ended, because it was set forth, is still in the kernel; so the next
// change does not build on it.
func TestNoTimeoutOutlivesAClockThatWasSet(t *testing.T) {
	ownNetwork(t)
	now := start
	f := New(at(&now))
	r := exampleRules()
	r.Peers[2].Expires = start.Add(time.Hour)
	apply(t, f, r)
	now = start.Add(2 * time.Hour)
	without := exampleRules()
	without.Peers = slices.Delete(without.Peers, 2, 3)
	apply(t, f, without)
	if l := listing(t); strings.Contains(l, "10.99.0.3") {
		t.Errorf("who has expired by the new time is still in:\n%s", l)
	}
	again := exampleRules()
	again.Peers[2].Expires = now.Add(12 * time.Hour)
	apply(t, f, again)
	if l := listing(t); !strings.Contains(l, "10.99.0.3 timeout 12h") {
		t.Errorf("who may come again has another timeout:\n%s", l)
	}
}

// What another program does to a table that was just made is not taken for what was made.
func TestATableChangedAtOnceIsMadeAgain(t *testing.T) {
	ownNetwork(t)
	now := start
	apply(t, New(at(&now)), exampleRules())
	want := listing(t)
	for _, when := range [][]int{{0}, {1}, {1, 3}} { // before it is written, after, and twice
		f := New(at(&now))
		asked := 0
		f.generation = func() (uint32, error) {
			n, err := generation()
			if slices.Contains(when, asked) {
				nft(t, "flush set inet panteras closed4")
			}
			asked++
			return n, err
		}
		apply(t, f, exampleRules())
		if got := listing(t); (got != want) == f.InForce() {
			t.Errorf("changed at questions %v: in force is %v, -want +got:\n%s", when, f.InForce(), cmp.Diff(want, got))
		}
	}
}

// Nobody is cut off before the end, not by a tick of the kernel's.
func TestElementsDoNotEndEarly(t *testing.T) {
	ownNetwork(t)
	f := New(time.Now)
	empty := exampleRules()
	empty.Peers = nil
	apply(t, f, empty)
	r := *empty
	var ends []time.Time
	a, end := addr("10.99.1.0"), time.Now().Add(500*time.Millisecond)
	for range 100 {
		a, end = a.Next(), end.Add(5_123_456*time.Nanosecond)
		ends = append(ends, end)
		r.Peers = append(r.Peers, Peer{Addresses: []netip.Addr{a}, Expires: end})
	}
	apply(t, f, &r)
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	for left := len(ends); left > 0; {
		list, err := c.GetSetElements(f.sides[0].peers)
		if err != nil {
			t.Fatal(err)
		}
		seen := time.Now()
		// By number: where the kernel resizes the set meanwhile it lists one twice for another.
		want := 0
		for _, end := range ends {
			if end.After(seen) {
				want++
			}
		}
		if left = len(list); left < want {
			t.Fatalf("there are %d elements, and %d should not have ended; the next one does in %v", left, want, ends[len(ends)-want].Sub(seen))
		}
	}
	if late := time.Since(end); late > 5*time.Second {
		t.Errorf("the last one ended %v late", late)
	}
}

// The kernel's time and ours come apart, the more the longer somebody has access: who ends a
// little early or late is no damage that somebody else has done.
func TestElementsMayEndEarlyOrLate(t *testing.T) {
	ownNetwork(t)
	for name, c := range map[string]struct {
		at      time.Duration // after the start
		removed bool          // whether the gateway has taken the peer away
		changed string        // what the kernel has meanwhile
		inForce bool
	}{
		"a little early":         {time.Hour - 3*time.Second, false, "", true},
		"too early":              {time.Hour - 10*time.Second, false, "", false},
		"a little late":          {time.Hour, true, "add element inet panteras peers4 { 10.99.0.3 timeout 1h expires 3s }", true},
		"too late":               {time.Hour, true, "add element inet panteras peers4 { 10.99.0.3 timeout 1h expires 10s }", false},
		"for ever":               {time.Hour, true, "add element inet panteras peers4 { 10.99.0.3 }", false},
		"short, and it was long": {time.Hour, true, "add element inet panteras peers4 { 10.99.0.3 timeout 3s }", false},
	} {
		now := start
		f := New(at(&now))
		r := exampleRules()
		r.Peers[2].Expires = start.Add(time.Hour)
		if c.removed {
			r.Peers = slices.Delete(r.Peers, 2, 3)
		} else {
			c.changed = "delete element inet panteras peers4 { 10.99.0.3 }"
		}
		apply(t, f, r)
		nft(t, c.changed)
		now = start.Add(c.at)
		if got := f.InForce(); got != c.inForce {
			t.Errorf("%s: in force is %v, want %v", name, got, c.inForce)
		}
	}
}
