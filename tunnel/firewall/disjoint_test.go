package firewall

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// covers says whether a part allows a packet.
func (p part) covers(a netip.Addr, proto uint8, port uint16) bool {
	return p.to.first.Compare(a) <= 0 && p.to.last.Compare(a) >= 0 &&
		p.protos[0] <= proto && proto <= p.protos[1] && p.ports.first <= port && port <= p.ports.last
}

func (a Allow) covers(to netip.Addr, proto uint8, port uint16) bool {
	return a.Network.Contains(to) && (a.Protocol == 0 || a.Protocol == proto && a.First <= port && port <= a.Last)
}

// What the parts allow is what the list allows, and no packet is in two of them.
func TestDisjointPartsAllowTheSame(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 2))
	for range 300 {
		var list []Allow
		for range 1 + random.IntN(6) {
			// A small world, so that much overlaps: 16 addresses, 8 ports.
			bits := 28 + random.IntN(5)
			a := Allow{Network: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(16))}), bits).Masked()}
			if p := random.IntN(3); p > 0 {
				a.Protocol = []uint8{protoTCP, protoUDP}[p-1]
				a.First = uint16(1 + random.IntN(8))
				a.Last = a.First + uint16(random.IntN(4))
			}
			list = append(list, a)
		}
		parts := disjoint(list, true)
		for last := range 18 {
			to := netip.AddrFrom4([4]byte{10, 0, 0, byte(last)})
			for _, proto := range []uint8{1, protoTCP, protoUDP, 47} {
				for port := range uint16(14) {
					want, got := false, 0
					for _, a := range list {
						want = want || a.covers(to, proto, port)
					}
					for _, p := range parts {
						if p.covers(to, proto, port) {
							got++
						}
					}
					if got > 1 || want != (got == 1) {
						t.Fatalf("%v: %s, protocol %d, port %d is in %d parts, allowed: %v\n%+v", list, to, proto, port, got, want, parts)
					}
				}
			}
		}
	}
}

func TestDisjointAtTheEndsOfTheAddressSpace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		network     string
		first, last string
	}{
		{"0.0.0.0/0", "0.0.0.0", "255.255.255.255"},
		{"255.255.255.255/32", "255.255.255.255", "255.255.255.255"},
		{"::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	} {
		p := prefix(test.network)
		parts := disjoint([]Allow{{Network: p}}, p.Addr().Is4())
		if len(parts) != 1 || parts[0].to.first.String() != test.first || parts[0].to.last.String() != test.last {
			t.Errorf("%s: %+v", p, parts)
		}
		if other := disjoint([]Allow{{Network: p}}, !p.Addr().Is4()); len(other) != 0 {
			t.Errorf("%s in the other family: %+v", p, other)
		}
	}
}

// A route that two others make whole is one element, not three.
func TestDisjointJoinsNeighbours(t *testing.T) {
	t.Parallel()
	parts := disjoint([]Allow{{Network: prefix("10.0.0.0/9")}, {Network: prefix("10.128.0.0/9")}, {Network: prefix("10.1.0.0/16")}}, true)
	if len(parts) != 1 || parts[0].to != spanOf(prefix("10.0.0.0/8")) {
		t.Errorf("%+v", parts)
	}
}

func TestWithinKeepsPoliciesInBounds(t *testing.T) {
	t.Parallel()
	bounds := []netip.Prefix{prefix("10.1.0.0/16"), prefix("fd00::/64")}
	list := []Allow{
		{Network: prefix("10.0.0.0/8"), Protocol: protoTCP, First: 80, Last: 80}, // too wide
		{Network: prefix("10.1.2.0/24")},
		{Network: prefix("192.168.0.0/16")}, // outside
		{Network: prefix("::/0")},
	}
	got := within(list, bounds)
	want := []Allow{
		{Network: prefix("10.1.0.0/16"), Protocol: protoTCP, First: 80, Last: 80},
		{Network: prefix("10.1.2.0/24")},
		{Network: prefix("fd00::/64")},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}
