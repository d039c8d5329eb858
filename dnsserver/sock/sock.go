// Package sock is the thin edge of the UDP path: non-blocking sockets, epoll, and the system calls that move datagrams, several with each call, without
// allocation and without Go's network poller in between. Everything here belongs to one goroutine, except Waker.
package sock

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peer is who sent a datagram and which of our addresses it came to, in the form in which a reply to it is sent.
type Peer struct {
	name    [unix.SizeofSockaddrInet6]byte
	nameLen uint8
	ctrlLen uint8
	ctrl    [40]byte // one cmsg: in_pktinfo or in6_pktinfo
}

// Addr is the sender's address, an IPv4-mapped one as IPv4, without zone.
func (p *Peer) Addr() netip.Addr {
	switch p.family() {
	case unix.AF_INET:
		return netip.AddrFrom4([4]byte(p.name[4:8]))
	case unix.AF_INET6:
		return netip.AddrFrom16([16]byte(p.name[8:24])).Unmap()
	}
	return netip.Addr{}
}

// Port is the sender's port.
func (p *Peer) Port() uint16 { return uint16(p.name[2])<<8 | uint16(p.name[3]) }

func (p *Peer) family() uint16 { return *(*uint16)(unsafe.Pointer(&p.name[0])) }

// control is what tells the kernel which address to send from, of the length that cmsg(3) wants; empty if nothing does.
func (p *Peer) control() []byte { return p.ctrl[:int(p.ctrlLen+7)&^7] }

// keepLocal turns the received packet information into that of the reply: the same local address, and the interface only where
// the address means nothing without it.
func (p *Peer) keepLocal(b []byte) {
	if len(b) < unix.SizeofCmsghdr {
		return
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	const data = unix.SizeofCmsghdr
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(b) >= data+unix.SizeofInet4Pktinfo:
		n := copy(p.ctrl[:], b[:data+unix.SizeofInet4Pktinfo])
		info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&p.ctrl[data]))
		info.Ifindex = 0
		info.Addr = [4]byte{}
		p.ctrlLen = uint8(n)
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(b) >= data+unix.SizeofInet6Pktinfo:
		n := copy(p.ctrl[:], b[:data+unix.SizeofInet6Pktinfo])
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&p.ctrl[data]))
		if a := info.Addr; a[0] != 0xfe || a[1]&0xc0 != 0x80 {
			info.Ifindex = 0
		}
		p.ctrlLen = uint8(n)
	}
}

// Send writes one datagram to a connected socket.
func Send(fd int, buf []byte) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), unix.MSG_NOSIGNAL, 0, 0)
	return errno
}

// Connect opens a non-blocking UDP socket to addr on a port that the kernel draws at random. The kernel drops what comes from elsewhere and reports an
// unreachable port as ECONNREFUSED.
func Connect(addr netip.AddrPort, rcvbuf int) (int, error) {
	family := unix.AF_INET
	if addr.Addr().Is6() && !addr.Addr().Is4In6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket for upstream %s: %w", addr, err)
	}
	SetReceiveBuffer(fd, rcvbuf)
	if err := unix.Connect(fd, Sockaddr(addr)); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to upstream %s: %w", addr, err)
	}
	return fd, nil
}

// SetReceiveBuffer asks for a receive buffer of n bytes, beyond the system's limit where the process may. Less than asked is no error.
func SetReceiveBuffer(fd, n int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n)
	}
}

// Sockaddr is the address in the form of the unix package.
func Sockaddr(a netip.AddrPort) unix.Sockaddr {
	ip := a.Addr().Unmap()
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16(), ZoneId: zoneID(ip.Zone())}
}
