package firewall

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
)

// The names of the sets; each is there for IPv4 and, with another digit, for IPv6.
const (
	setPeers   = "peers"   // the sources that may use the tunnel now
	setFull    = "full"    // the peers that may reach whatever is within the routes
	setExact   = "exact"   // peer . destination . protocol . port
	setPolicy  = "policy"  // the same, each of them a range
	setGateway = "gateway" // our own addresses
	setRoutes  = "routes"  // the outer bound
	setClosed  = "closed"  // never
	setRefused = "refused" // how fast each peer is told no
)

// element is a member of a set. Keys are as the kernel has them, and strings, to be
// compared.
type element struct{ key, end string }

// elements are the members of a set and when each of them ends; the zero time means never.
type elements map[element]time.Time

// The sets that depend on peers. What a peer may is in one of three: the kernel finds a
// member of the first two by its hash, but compares a packet with every range there is,
// which with thousands of them takes more time than all else.
const (
	inPeers = iota
	inFull
	inExact
	inPolicy
	dynamicSets
)

// membership are the members of those sets, in one family.
type membership [dynamicSets]elements

// members computes who may use the tunnel, and what for, in one family.
func members(r *Rules, v4 bool) membership {
	var m membership
	for i := range m {
		m[i] = elements{}
	}
	bounds := routesOf(r, v4)
	var all []Allow
	for _, b := range bounds {
		all = append(all, Allow{Network: b, Last: 0xffff})
	}
	everything := disjoint(all, v4)
	for _, p := range r.Peers {
		parts := []part(nil)
		for _, a := range p.Addresses {
			if a.Is4() != v4 {
				continue
			}
			if parts == nil {
				parts = disjoint(within(p.Allow, bounds), v4)
			}
			peer := field(a.AsSlice())
			m[inPeers][element{key: peer}] = p.Expires
			if len(parts) > 0 && slices.Equal(parts, everything) {
				m[inFull][element{key: peer}] = p.Expires
				continue
			}
			for _, q := range parts {
				first := peer + field(q.to.first.AsSlice()) + field([]byte{q.protos[0]}) + port(q.ports.first)
				last := peer + field(q.to.last.AsSlice()) + field([]byte{q.protos[1]}) + port(q.ports.last)
				if first == last {
					m[inExact][element{key: first}] = p.Expires
				} else {
					m[inPolicy][element{key: first, end: last}] = p.Expires
				}
			}
		}
	}
	return m
}

// routesOf returns the routes of a family without those that others include.
func routesOf(r *Rules, v4 bool) []netip.Prefix {
	return outermost(slices.DeleteFunc(slices.Clone(r.Routes), func(p netip.Prefix) bool { return p.Addr().Is4() != v4 }))
}

// outermost drops networks that lie within others, and sorts.
func outermost(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for i, p := range list {
		inside := slices.ContainsFunc(list[:i], func(o netip.Prefix) bool { return o.Masked() == p.Masked() }) ||
			slices.ContainsFunc(list, func(o netip.Prefix) bool { return o.Bits() < p.Bits() && o.Contains(p.Addr()) })
		if !inside {
			out = append(out, p.Masked())
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// within cuts what is allowed down to the bounds. Two networks are apart, or one is in the other.
func within(list []Allow, bounds []netip.Prefix) []Allow {
	var out []Allow
	for _, a := range list {
		for _, b := range bounds {
			switch {
			case !a.Network.Overlaps(b):
			case a.Network.Bits() >= b.Bits():
				out = append(out, a)
			default:
				cut := a
				cut.Network = b
				out = append(out, cut)
			}
		}
	}
	return out
}

// field pads a part of a concatenated key to the kernel's registers.
func field(b []byte) string {
	return string(append(slices.Clone(b), make([]byte, (4-len(b)%4)%4)...))
}

func port(n uint16) string { return field(binary.BigEndian.AppendUint16(nil, n)) }

// intervals returns the elements of a set of networks: each begins somewhere and ends
// before somewhere.
func intervals(list []netip.Prefix) []nftables.SetElement {
	var out []nftables.SetElement
	for _, p := range outermost(list) {
		s := spanOf(p)
		out = append(out, nftables.SetElement{Key: s.first.AsSlice()})
		if next := s.last.Next(); next.IsValid() {
			out = append(out, nftables.SetElement{Key: next.AsSlice(), IntervalEnd: true})
		}
	}
	return out
}

// Late is how long after its end an element may still be there. The kernel cuts a timeout down
// to its ticks, and counts it from the last one, of 10 ms at most each; without this an element
// would end before its time.
const Late = 20 * time.Millisecond

// kernelElements turns members into what is sent. What has ended already is left out.
func kernelElements(m elements, now time.Time) []nftables.SetElement {
	out := make([]nftables.SetElement, 0, len(m))
	for e, expires := range m {
		k := nftables.SetElement{Key: []byte(e.key)}
		if e.end != "" {
			k.KeyEnd = []byte(e.end)
		}
		if !expires.IsZero() {
			left := expires.Sub(now)
			if left <= 0 {
				continue
			}
			k.Timeout = left + Late + time.Millisecond - 1 // the library cuts off what is no whole millisecond
		}
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b nftables.SetElement) int { return slices.Compare(a.Key, b.Key) })
	return out
}
