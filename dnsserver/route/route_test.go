package route

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// name is a name in wire form.
func name(t testing.TB, s string) []byte {
	t.Helper()
	b := make([]byte, 300)
	n, err := dns.PackDomainName(dns.Fqdn(s), b, 0, nil, false)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b[:n]
}

func TestLookup(t *testing.T) {
	t.Parallel()
	table := New(0)
	for i, suffix := range []string{"consul", "acme.test", "apps.acme.test", "10.in-addr.arpa", "b.c"} {
		if err := table.Add(Kind(1+i%3), name(t, suffix), 1+i); err != nil {
			t.Fatal(err)
		}
	}
	table.Seal()
	for asked, want := range map[string]int{
		".": 0, "consul": 1, "a.consul": 1, "x.y.z.consul": 1, "xconsul": 0, "consul.x": 0, "consu": 0,
		"acme.test": 2, "www.acme.test": 2, "apps.acme.test": 3, "a.apps.acme.test": 3, "xapps.acme.test": 2, "test": 0, "xacme.test": 0,
		"10.in-addr.arpa": 4, "1.10.in-addr.arpa": 4, "110.in-addr.arpa": 0,
		// "\003b.c" is one label; its last bytes look like the route's suffix only if the dot is taken for a boundary.
		`x\.b.c`: 0, "b.c": 5, "a.b.c": 5,
	} {
		e := table.Lookup(name(t, asked))
		if e.Target != want {
			t.Errorf("%s: target %d, want %d", asked, e.Target, want)
		}
		if apex := e.Apex(name(t, asked)); apex != slices.Contains([]string{".", "consul", "acme.test", "apps.acme.test", "10.in-addr.arpa", "b.c"}, asked) {
			t.Errorf("%s: apex %v", asked, apex)
		}
	}
	parent := map[string]int{"consul": 0, "acme.test": 0, "apps.acme.test": 2, "10.in-addr.arpa": 0}
	for suffix, want := range parent {
		if got := table.Lookup(name(t, suffix)).Parent; got == nil || got.Target != want {
			t.Errorf("the parent of %s is %+v, want target %d", suffix, got, want)
		}
	}
}

// A label that contains the wire form of a suffix is not that suffix.
func TestLabelsAreNotScanned(t *testing.T) {
	t.Parallel()
	table := New(0)
	if err := table.Add(Consul, name(t, "consul"), 1); err != nil {
		t.Fatal(err)
	}
	table.Seal()
	tricky := "\x0eabcdefg\x06consul\x00" // one label of 14 bytes
	if got := table.Lookup([]byte(tricky)); got.Target != 0 {
		t.Errorf("target %d", got.Target)
	}
}

// Whatever the order in which routes are given, the longest suffix wins, as a naive search finds it.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	labels := []string{"a", "b", "ab", "10", "in-addr", "arpa", "consul"}
	randomName := func() string {
		var l []string
		for range 1 + rng.IntN(4) {
			l = append(l, labels[rng.IntN(len(labels))])
		}
		return strings.Join(l, ".")
	}
	for range 300 {
		routes := map[string]int{}
		for i := range rng.IntN(10) {
			routes[randomName()] = i + 1
		}
		var suffixes []string
		for s := range routes {
			suffixes = append(suffixes, s)
		}
		build := func() *Table {
			rng.Shuffle(len(suffixes), func(i, j int) { suffixes[i], suffixes[j] = suffixes[j], suffixes[i] })
			table := New(0)
			for _, s := range suffixes {
				if err := table.Add(Custom, name(t, s), routes[s]); err != nil {
					t.Fatal(err)
				}
			}
			table.Seal()
			return table
		}
		one, other := build(), build()
		for range 50 {
			asked := randomName()
			best, length := 0, -1
			for s, target := range routes {
				if (asked == s || strings.HasSuffix(asked, "."+s)) && len(s) > length {
					best, length = target, len(s)
				}
			}
			if a, b := one.Lookup(name(t, asked)).Target, other.Lookup(name(t, asked)).Target; a != best || b != best {
				t.Fatalf("%s: %d and %d, want %d of %v", asked, a, b, best, routes)
			}
		}
	}
}

func TestAddRefusesASecondRoute(t *testing.T) {
	t.Parallel()
	table := New(0)
	if err := table.Add(Consul, name(t, "consul"), 1); err != nil {
		t.Fatal(err)
	}
	if err := table.Add(Custom, name(t, "consul"), 2); err == nil || !strings.Contains(err.Error(), "consul and custom") {
		t.Errorf("got %v", err)
	}
	table.AddDefault(Empty, name(t, "consul"), 3)
	table.AddDefault(Empty, name(t, "invalid"), 4)
	table.AddDefault(Loopback, name(t, "invalid"), 5)
	table.Seal()
	if a, b := table.Lookup(name(t, "consul")), table.Lookup(name(t, "a.invalid")); a.Target != 1 || b.Target != 4 {
		t.Errorf("targets %d and %d", a.Target, b.Target)
	}
}

func TestReversePrefixes(t *testing.T) {
	t.Parallel()
	prefixes := []string{"10.1.0.0/16", "10.0.0.0/8", "10.1.2.0/24", "10.1.2.3/32", "2001:db8::/32", "2001:db8:1::/48", "0.0.0.0/0"}
	rng := rand.New(rand.NewPCG(2, 2))
	for range 20 {
		table := New(0)
		if err := table.Add(Custom, name(t, "9.10.in-addr.arpa"), 99); err != nil {
			t.Fatal(err)
		}
		for _, z := range EmptyZones() {
			table.AddDefault(Empty, name(t, z), 50)
		}
		for _, i := range rng.Perm(len(prefixes) - 1) {
			table.AddReverse(netip.MustParsePrefix(prefixes[i]), 1+i)
		}
		table.Seal()
		for address, want := range map[string]int{
			"10.2.0.1": 2, "10.1.0.1": 1, "10.1.2.1": 3, "10.1.2.3": 4, "10.9.0.1": 99, "11.0.0.1": 0, "192.168.1.1": 50, "172.16.0.1": 50, "172.15.0.1": 0, "172.32.0.1": 0,
			"2001:db8::1": 5, "2001:db8:1::1": 6, "2001:db9::1": 0, "fe80::1": 50, "fec0::1": 0, "fd00::1": 50, "::1": 50, "::2": 0, "127.1.2.3": 50,
		} {
			e := table.Lookup(name(t, ReverseName(netip.MustParseAddr(address))))
			if e.Target != want {
				t.Fatalf("%s: target %d, want %d", address, e.Target, want)
			}
			if want > 0 && want < 10 && e.Kind != Reverse {
				t.Errorf("%s is of kind %s", address, e.Kind)
			}
		}
		// A part of a reverse name is no address: it stays with whoever has the zone.
		if e := table.Lookup(name(t, "1.10.in-addr.arpa")); e.Target != 50 {
			t.Errorf("target %d", e.Target)
		}
	}
}

func TestPrefixesAreMasked(t *testing.T) {
	t.Parallel()
	table := New(0)
	table.AddReverse(netip.MustParsePrefix("10.1.2.3/16"), 1)
	table.Seal()
	if e := table.Lookup(name(t, "9.9.1.10.in-addr.arpa")); e.Target != 1 {
		t.Errorf("target %d", e.Target)
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	for k := range numKinds {
		if k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
}
