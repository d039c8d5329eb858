package configs

import "net/netip"

// DNSAddress is the address of the DNS server for this host itself; IP, where the server
// listens there, so that containers may use the same resolv.conf. false: it listens on
// another port than 53, the only one that resolv.conf knows.
func (s *Settings) DNSAddress() (netip.Addr, bool) {
	var candidates []netip.Addr
	for _, a := range s.DNSListen {
		switch {
		case a.Port() != 53:
		case a.Addr().IsUnspecified() && s.IP.IsValid() && s.IP.Is4() == a.Addr().Is4():
			return s.IP, true
		case a.Addr() == netip.IPv6Unspecified():
			candidates = append(candidates, netip.IPv6Loopback())
		case a.Addr().IsUnspecified():
			candidates = append(candidates, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		case a.Addr() == s.IP:
			return s.IP, true
		default:
			candidates = append(candidates, a.Addr())
		}
	}
	if len(candidates) == 0 {
		return netip.Addr{}, false
	}
	return candidates[0], true
}
