package wire

import "net/netip"

// AppendAddresses appends the answer to pkt, a query for A or AAAA: all of addrs, which
// are of that family, with TTL 0, beginning at the one with index first and going round.
// If limit bytes do not hold all, TC=1 says so, and there are none (RFC 2181 section 9).
func AppendAddresses(dst, pkt []byte, q *Query, addrs []netip.Addr, first, limit, ednsSize int) []byte {
	const fixed = 12 // of a record whose name is a pointer
	start := len(dst)
	dst = append(dst, pkt[:q.QEnd()]...)
	flags := errorFlags(pkt, 0) | FlagAA
	size := q.QEnd() + len(addrs)*(fixed+addrs[0].BitLen()/8)
	opt := 0
	if q.HasOPT() {
		size += optFixed
		opt = 1
	}
	if size > limit {
		flags, addrs = flags|FlagTC, nil
	}
	SetFlags(dst[start:], flags)
	setCounts(dst[start:], 1, len(addrs), 0, opt)
	for i := range addrs {
		a := addrs[(first+i)%len(addrs)]
		dst = append(dst, 0xc0, HeaderLen, byte(q.Type>>8), byte(q.Type), byte(ClassIN>>8), byte(ClassIN), 0, 0, 0, 0)
		if a.Is4() {
			b := a.As4()
			dst = append(append(dst, 0, 4), b[:]...)
		} else {
			b := a.As16()
			dst = append(append(dst, 0, 16), b[:]...)
		}
	}
	if opt == 1 {
		dst = appendOPT(dst, 0, q.DO, ednsSize)
	}
	return dst
}
