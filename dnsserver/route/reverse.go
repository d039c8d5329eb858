package route

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	inAddrArpa = "\x07in-addr\x04arpa\x00"
	ip6Arpa    = "\x03ip6\x04arpa\x00"
)

// ReverseAddr reads the address of a complete reverse name (RFC 1035 section 3.5, RFC 3596 section 2.5), folded and in wire form.
func ReverseAddr(name []byte) (netip.Addr, bool) {
	if n := len(name) - len(inAddrArpa); n >= 8 && string(name[n:]) == inAddrArpa {
		return reverse4(name[:n])
	}
	if n := len(name) - len(ip6Arpa); n == 64 && string(name[n:]) == ip6Arpa {
		return reverse6(name[:n])
	}
	return netip.Addr{}, false
}

func reverse4(b []byte) (netip.Addr, bool) {
	var a [4]byte
	for i := 3; i >= 0; i-- {
		if len(b) == 0 {
			return netip.Addr{}, false
		}
		n := int(b[0])
		if n < 1 || n > 3 || len(b) < 1+n {
			return netip.Addr{}, false
		}
		v := 0
		for _, c := range b[1 : 1+n] {
			if c < '0' || c > '9' {
				return netip.Addr{}, false
			}
			v = v*10 + int(c-'0')
		}
		if v > 255 || (n > 1 && b[1] == '0') {
			return netip.Addr{}, false
		}
		a[i] = byte(v)
		b = b[1+n:]
	}
	return netip.AddrFrom4(a), len(b) == 0
}

func reverse6(b []byte) (netip.Addr, bool) {
	var a [16]byte
	for i := range 32 {
		c := b[2*i+1]
		switch {
		case b[2*i] != 1:
			return netip.Addr{}, false
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return netip.Addr{}, false
		}
		a[15-i/2] |= c << (4 * (i & 1))
	}
	return netip.AddrFrom16(a), true
}

// ReverseName is the reverse name of an address in presentation form, without the final dot.
func ReverseName(a netip.Addr) string {
	a = a.Unmap()
	b := a.AsSlice()
	s := make([]byte, 0, 80)
	for i := len(b) - 1; i >= 0; i-- {
		if a.Is4() {
			s = append(strconv.AppendUint(s, uint64(b[i]), 10), '.')
			continue
		}
		s = append(s, hexDigit(b[i]&15), '.', hexDigit(b[i]>>4), '.')
	}
	if a.Is4() {
		return string(s) + "in-addr.arpa"
	}
	return string(s) + "ip6.arpa"
}

// ReverseZones are the zones that hold the reverse names of a prefix's addresses and no others, in presentation form without the final dot: one where the prefix
// ends with a label (8 bits of IPv4, 4 of IPv6), else up to 128.
func ReverseZones(p netip.Prefix) (zones []string) {
	p = p.Masked()
	label := 4
	if p.Addr().Is4() {
		label = 8
	}
	bits := (p.Bits() + label - 1) / label * label
	b := p.Addr().AsSlice()
	for i := range 1 << (bits - p.Bits()) {
		zone := slices.Clone(b)
		if bits > 0 {
			zone[(bits-1)/8] |= byte(i << ((8 - bits%8) % 8))
		}
		a, _ := netip.AddrFromSlice(zone)
		name := ReverseName(a)
		for range (a.BitLen() - bits) / label {
			_, name, _ = strings.Cut(name, ".")
		}
		zones = append(zones, name)
	}
	return zones
}

func hexDigit(b byte) byte { return "0123456789abcdef"[b] }
