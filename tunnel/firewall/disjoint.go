package firewall

import (
	"cmp"
	"net/netip"
	"slices"
)

// The kernel refuses elements of an interval set that overlap, so what a peer is allowed
// is cut into parts that do not.

// span is an inclusive range of addresses, all of one family.
type span struct{ first, last netip.Addr }

// ports is an inclusive range of ports.
type ports struct{ first, last uint16 }

var allPorts = ports{0, 0xffff}

// part is one element of a policy: destinations of a protocol and its ports.
type part struct {
	to     span
	protos [2]uint8 // inclusive
	ports  ports
}

// The protocols that have ports, and the range of all protocols.
const (
	protoTCP = 6
	protoUDP = 17
)

var allProtos = [2]uint8{0, 255}

// spanOf returns the addresses of a network.
func spanOf(p netip.Prefix) span {
	p = p.Masked()
	last := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	return span{p.Addr(), end}
}

// disjoint returns parts that allow exactly what the list allows in one family, none of
// which overlaps another.
func disjoint(list []Allow, v4 bool) []part {
	type rule struct {
		span
		Allow
	}
	var rules []rule
	var cuts []netip.Addr // where a new piece begins
	for _, a := range list {
		if a.Network.Addr().Is4() != v4 {
			continue
		}
		s := spanOf(a.Network)
		rules = append(rules, rule{s, a})
		cuts = append(cuts, s.first)
		if next := s.last.Next(); next.IsValid() {
			cuts = append(cuts, next)
		}
	}
	slices.SortFunc(cuts, netip.Addr.Compare)
	cuts = slices.Compact(cuts)
	var out joined
	for i, first := range cuts {
		piece := span{first, lastBefore(cuts, i)}
		var here []Allow
		for _, r := range rules {
			if r.first.Compare(first) <= 0 && r.last.Compare(first) >= 0 {
				here = append(here, r.Allow)
			}
		}
		for _, p := range partsOf(here) {
			p.to = piece
			out.add(p)
		}
	}
	return out.list
}

// lastBefore returns the last address of the piece that begins at a cut.
func lastBefore(cuts []netip.Addr, i int) netip.Addr {
	if i+1 < len(cuts) {
		return cuts[i+1].Prev()
	}
	return spanOf(netip.PrefixFrom(cuts[i], 0)).last
}

// partsOf returns what entries for the same destination allow together.
func partsOf(list []Allow) []part {
	var out []part
	for _, proto := range []uint8{protoTCP, protoUDP} {
		var ranges []ports
		for _, a := range list {
			switch a.Protocol {
			case 0:
				return []part{{protos: allProtos, ports: allPorts}}
			case proto:
				ranges = append(ranges, ports{a.First, a.Last})
			}
		}
		for _, r := range merge(ranges) {
			out = append(out, part{protos: [2]uint8{proto, proto}, ports: r})
		}
	}
	return out
}

// merge joins ranges that overlap or touch.
func merge(list []ports) []ports {
	slices.SortFunc(list, func(a, b ports) int { return cmp.Compare(a.first, b.first) })
	var out []ports
	for _, r := range list {
		if n := len(out); n > 0 && int(r.first) <= int(out[n-1].last)+1 {
			out[n-1].last = max(out[n-1].last, r.last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// joined are parts in the order of their addresses.
type joined struct {
	list []part
	last map[what]int // the last part of each kind
}

// what is a part but for its addresses.
type what struct {
	protos [2]uint8
	ports  ports
}

// add appends a part, or makes the one just before it in the address space longer where only
// the addresses differ.
func (j *joined) add(p part) {
	kind := what{p.protos, p.ports}
	if i, ok := j.last[kind]; ok && j.list[i].to.last.Next() == p.to.first {
		j.list[i].to.last = p.to.last
		return
	}
	if j.last == nil {
		j.last = map[what]int{}
	}
	j.last[kind] = len(j.list)
	j.list = append(j.list, p)
}
