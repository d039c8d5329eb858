package store

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// The first addresses of a network are its own and the gateway's; in IPv4 the
// last one is for broadcasts.
const (
	firstOffset = 2
	atTheEnd    = 1
)

// pick chooses an address in each network, all at the same distance from the
// networks' beginnings, that nobody has and that does not rest. It begins at a
// random one, so that those who choose at the same time seldom choose the same.
func pick(networks []netip.Prefix, claims map[netip.Addr]claim, now time.Time) ([]netip.Addr, bool) {
	size := poolSize(networks)
	if size == 0 {
		return nil, false
	}
	start := rand.Uint64N(size)
	for i := range size {
		offset := firstOffset + (start+i)%size
		addresses := make([]netip.Addr, len(networks))
		usable := true
		for j, n := range networks {
			addresses[j] = at(n, offset)
			c, claimed := claims[addresses[j]]
			usable = usable && (!claimed || c.free(now))
		}
		if usable {
			return addresses, true
		}
	}
	return nil, false
}

// poolSize is how many peers the smallest network has addresses for.
func poolSize(networks []netip.Prefix) uint64 {
	const most = 1 << 24 // more than WireGuard has room for
	size := uint64(most)
	for _, n := range networks {
		bits := min(n.Addr().BitLen()-n.Bits(), 32)
		if bits < 2 {
			return 0
		}
		size = min(size, 1<<bits-firstOffset-atTheEnd)
	}
	if len(networks) == 0 {
		return 0
	}
	return size
}

// at is the address at a distance from the beginning of a network.
func at(network netip.Prefix, offset uint64) netip.Addr {
	raw := network.Addr().AsSlice()
	for i := len(raw) - 1; i >= 0 && offset > 0; i-- {
		offset += uint64(raw[i])
		raw[i] = byte(offset)
		offset >>= 8
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}
