package device

import (
	"net"
	"net/netip"
	"reflect"
	"sync/atomic"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// sourceBind makes packets leave from the address that clients dial, as long as this host
// has it. wireguard-go means to answer from where it was asked, but forgets that where the
// kernel hands it several datagrams at once (UDP_GRO), which is always. A client takes an
// answer from another address of the host for a move of the gateway's, and would stay
// there when a floating address goes to another host.
type sourceBind struct {
	conn.Bind
	address  netip.Addr             // that clients dial; invalid if they dial a name
	floating bool                   // while it is another host's, nothing is sent
	source   atomic.Pointer[[]byte] // what a packet from there carries, nil while it is another host's
}

// look finds out whether this host has the address now.
func (b *sourceBind) look() {
	if !b.address.IsValid() {
		return
	}
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return // and it stays as it was
	}
	for _, a := range list {
		if a.IP.Equal(net.IP(b.address.AsSlice())) {
			if b.source.Load() == nil {
				c := packetInfo(b.address)
				b.source.Store(&c)
			}
			return
		}
	}
	b.source.Store(nil)
}

// Send sends from the address, unless it is known from where else.
func (b *sourceBind) Send(bufs [][]byte, to conn.Endpoint) error {
	source := b.source.Load()
	if b.floating && source == nil {
		return nil // as if it had been lost on the way
	}
	if e, ok := to.(*conn.StdNetEndpoint); ok && source != nil && !e.SrcIP().IsValid() && e.Addr().Unmap().Is4() == b.address.Is4() {
		from := &conn.StdNetEndpoint{AddrPort: e.AddrPort} // the other one is shared
		*(*[]byte)(unsafe.Add(unsafe.Pointer(from), sourceField)) = *source
		to = from
	}
	return b.Bind.Send(bufs, to)
}

// sourceField is where an endpoint keeps its source, which its package does not let others
// set.
var sourceField = func() uintptr {
	f, ok := reflect.TypeFor[conn.StdNetEndpoint]().FieldByName("src")
	if !ok || f.Type != reflect.TypeFor[[]byte]() {
		panic("wireguard-go keeps the source of its packets elsewhere: see tunnel/device/source.go")
	}
	return f.Offset
}()

// packetInfo is the control message that sets a packet's source: IP_PKTINFO of ip(7), or
// IPV6_PKTINFO of ipv6(7).
func packetInfo(from netip.Addr) []byte {
	if from.Is4() {
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: from.As16()})
}
