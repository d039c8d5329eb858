package device

import (
	"net/netip"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/conn"
)

// endpoint is where a peer is, and which of our addresses it talks to.
type endpoint struct {
	to   netip.AddrPort // never an IPv4 address in IPv6's clothes
	from netip.Addr     // invalid if nobody knows
	// forgotten says that from does not count any more. Endpoints are shared.
	forgotten atomic.Bool
}

var _ conn.Endpoint = (*endpoint)(nil)

// ClearSrc implements [conn.Endpoint], as the other methods do.
func (e *endpoint) ClearSrc() { e.forgotten.Store(true) }

// SrcIP is the address of this host that the peer talks to.
func (e *endpoint) SrcIP() netip.Addr {
	if e.forgotten.Load() {
		return netip.Addr{}
	}
	return e.from
}

// SrcToString is SrcIP as text.
func (e *endpoint) SrcToString() string { return e.SrcIP().String() }

// DstIP is the peer's address.
func (e *endpoint) DstIP() netip.Addr { return e.to.Addr() }

// DstToString is the peer's address and port.
func (e *endpoint) DstToString() string { return e.to.String() }

// DstToBytes is what a cookie is bound to.
func (e *endpoint) DstToBytes() []byte {
	b, _ := e.to.MarshalBinary() // it cannot fail
	return b
}

// is says whether packets from there, to there, may share this endpoint.
func (e *endpoint) is(to netip.AddrPort, from netip.Addr) bool {
	return e != nil && e.to == to && e.from == from && !e.forgotten.Load()
}
