package dnsserver

import (
	"net"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"panteras/dnsserver/wire"
)

// private says whether an address has no business in an answer from the Internet: whoever sends it aims a browser at a host inside (DNS rebinding).
func private(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || sharedSpace.Contains(a)
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// filterPrivate returns the answer without private addresses; the answer itself if there are none.
func (s *snapshot) filterPrivate(m []byte, q *wire.Query, st *stats) []byte {
	if !wire.HasAddress(m, q.QEnd(), private) {
		return m
	}
	msg := new(dns.Msg)
	if err := msg.Unpack(m); err != nil {
		return wire.AppendError(nil, m, q, wire.ID(m), wire.RcodeServFail, wire.EDEFiltered, "", s.udpSize)
	}
	removed := false
	for _, section := range []*[]dns.RR{&msg.Answer, &msg.Ns, &msg.Extra} {
		*section = slices.DeleteFunc(*section, func(r dns.RR) bool {
			a, ok := recordAddr(r)
			drop, hints := ok && private(a), dropPrivateHints(r)
			removed = removed || drop || hints
			return drop
		})
	}
	if !removed {
		return m
	}
	st.drop(dropPrivate)
	if opt := msg.IsEdns0(); opt != nil {
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: wire.EDEFiltered, ExtraText: "private addresses"})
	}
	msg.Compress = true
	out, err := msg.Pack()
	if err != nil {
		return wire.AppendError(nil, m, q, wire.ID(m), wire.RcodeServFail, wire.EDEFiltered, "", s.udpSize)
	}
	return out
}

// dropPrivateHints takes the address hints out of an SVCB or HTTPS record (RFC 9460 section 7.3) if one of them is private, and says whether it did.
// Clients ask for addresses themselves then.
func dropPrivateHints(r dns.RR) bool {
	var values *[]dns.SVCBKeyValue
	switch r := r.(type) {
	case *dns.SVCB:
		values = &r.Value
	case *dns.HTTPS:
		values = &r.Value
	default:
		return false
	}
	var gone []dns.SVCBKey
	*values = slices.DeleteFunc(*values, func(v dns.SVCBKeyValue) bool {
		var ips []net.IP
		switch v := v.(type) {
		case *dns.SVCBIPv4Hint:
			ips = v.Hint
		case *dns.SVCBIPv6Hint:
			ips = v.Hint
		}
		drop := slices.ContainsFunc(ips, func(ip net.IP) bool {
			a, ok := netip.AddrFromSlice(ip)
			return ok && private(a.Unmap())
		})
		if drop {
			gone = append(gone, v.Key())
		}
		return drop
	})
	*values = slices.DeleteFunc(*values, func(v dns.SVCBKeyValue) bool {
		m, ok := v.(*dns.SVCBMandatory) // what is gone must not be called for: clients would ignore the record
		if ok {
			m.Code = slices.DeleteFunc(m.Code, func(k dns.SVCBKey) bool { return slices.Contains(gone, k) })
		}
		return ok && len(m.Code) == 0
	})
	return len(gone) > 0
}

func recordAddr(r dns.RR) (netip.Addr, bool) {
	var ip []byte
	switch r := r.(type) {
	case *dns.A:
		ip = r.A
	case *dns.AAAA:
		ip = r.AAAA
	}
	a, ok := netip.AddrFromSlice(ip)
	return a.Unmap(), ok
}
