package wire

import "net/netip"

// AddressSet is the view of an answer section that holds nothing but address records of the question's name, all of one length: the records can
// be turned round without touching anything else in the message.
type AddressSet struct {
	off, stride int
	// N is the number of records, 0 when the answer is of another form.
	N int
	// Last says that nothing follows the answer section, so that the set can be cut.
	Last bool
}

// Addresses views the answer section of m, whose question ends at qend.
func Addresses(m []byte, qend int) (a AddressSet) {
	off := qend
	var first rr
	n := ancount(m)
	for i := range n {
		r, ok := readRR(m, off)
		if !ok || (r.typ != TypeA && r.typ != TypeAAAA) {
			return AddressSet{}
		}
		if i == 0 {
			// A name that is compressed otherwise may lead into what is turned round, or cut off.
			owner := m[r.off:r.fixed]
			if string(owner) != string([]byte{0xc0, HeaderLen}) && !EqualFold(owner, m[HeaderLen:qend-4]) {
				return AddressSet{}
			}
			first = r
		} else if r.typ != first.typ || r.end-r.off != first.end-first.off ||
			string(m[r.off:r.fixed]) != string(m[first.off:first.fixed]) {
			return AddressSet{}
		}
		off = r.end
	}
	if n == 0 {
		return AddressSet{}
	}
	return AddressSet{off: qend, stride: first.end - first.off, N: n, Last: nscount(m) == 0 && arcount(m) == 0}
}

// Rotate moves the first k records behind the others.
func (a *AddressSet) Rotate(m []byte, k int) {
	if a.N < 2 {
		return
	}
	b := m[a.off : a.off+a.N*a.stride]
	k = k % a.N * a.stride
	reverse(b[:k])
	reverse(b[k:])
	reverse(b)
}

func reverse(b []byte) {
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
}

// Cut returns the message with only the first n records of the set; the set must be Last.
func (a *AddressSet) Cut(m []byte, n int) []byte {
	setCounts(m, 1, n, 0, 0)
	return m[:a.off+n*a.stride]
}

// HasAddress says whether any A or AAAA record of the message, in any section, has an address for which match is true, or may have one in the hints of
// an SVCB or HTTPS record (RFC 9460).
func HasAddress(m []byte, qend int, match func(netip.Addr) bool) bool {
	off := qend
	for range ancount(m) + nscount(m) + arcount(m) {
		r, ok := readRR(m, off)
		if !ok {
			return false
		}
		if r.typ == typeSVCB || r.typ == typeHTTPS {
			return true
		}
		if r.typ == TypeA || r.typ == TypeAAAA {
			if a, ok := netip.AddrFromSlice(m[r.rdata:r.end]); ok && match(a.Unmap()) {
				return true
			}
		}
		off = r.end
	}
	return false
}
