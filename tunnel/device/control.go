package device

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlRoom holds the control messages of a message: an IPV6_PKTINFO and the size of
// segments.
const controlRoom = 64

// parseControl reads what the kernel says of a message: the size of the datagrams that it
// is made of, 0 if it is one, and which address of ours it came to.
func parseControl(b []byte) (size int, to netip.Addr) {
	for len(b) > unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			return size, to
		}
		b = rest
		switch {
		case header.Level == unix.SOL_UDP && header.Type == unix.UDP_GRO && len(data) >= 4:
			size = int(binary.NativeEndian.Uint32(data))
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			to = netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst, see ip(7)
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			to = netip.AddrFrom16([16]byte(data[:16])).Unmap()
		}
	}
	return size, to
}

// control is the control message that makes a packet leave from an address: IP_PKTINFO of
// ip(7), or IPV6_PKTINFO of ipv6(7). It is empty without one.
func (s *socket) control(from netip.Addr) []byte {
	switch {
	case !from.IsValid():
		return nil
	case !s.v6:
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: from.As16()}) // of IPv4 in IPv6's clothes
}

// appendSegmentSize appends the control message UDP_SEGMENT of udp(7).
func appendSegmentSize(b []byte, size int) []byte {
	n := len(b)
	b = append(b, make([]byte, unix.CmsgSpace(2))...)
	header := (*unix.Cmsghdr)(unsafe.Pointer(&b[n])) // the kernel's struct, in its byte order
	header.Level, header.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	header.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[n+unix.CmsgLen(0):], uint16(size))
	return b
}
