package listen

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Inherited returns the sockets that were handed over (sd_listen_fds(3)), grouped by address; none if there were none. The variables are
// removed from the environment.
func Inherited() ([]*Sockets, error) {
	byAddr := map[netip.AddrPort]*Sockets{}
	var order []*Sockets
	at := func(a netip.AddrPort) *Sockets {
		if byAddr[a] == nil {
			byAddr[a] = &Sockets{Addr: a, Shared: true}
			order = append(order, byAddr[a])
		}
		return byAddr[a]
	}
	for _, f := range activation.Files(true) {
		fd := f.Fd()
		if err := adopt(f, at); err != nil {
			for _, s := range order {
				s.Close()
			}
			return nil, fmt.Errorf("socket activation: descriptor %d (%s): %w", fd, f.Name(), err)
		}
	}
	return order, nil
}

func adopt(f *os.File, at func(netip.AddrPort) *Sockets) error {
	defer f.Close()
	fd := int(f.Fd())
	typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return fmt.Errorf("not a socket: %w", err)
	}
	switch typ {
	case unix.SOCK_STREAM:
		l, err := net.FileListener(f)
		if err != nil {
			return err
		}
		tcp, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			l.Close()
			return fmt.Errorf("a listener on %s, wanted a TCP one", l.Addr().Network())
		}
		s := at(unmapped(tcp.AddrPort()))
		s.Name = f.Name()
		if s.TCP != nil {
			l.Close()
			return fmt.Errorf("a second TCP listener for %s", s.Addr)
		}
		s.TCP = l
	case unix.SOCK_DGRAM:
		own, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		a, err := localAddr(own)
		if err == nil {
			err = unix.SetNonblock(own, true)
		}
		if err == nil {
			err = tune(own, a.Addr())
		}
		if err != nil {
			unix.Close(own)
			return err
		}
		s := at(unmapped(a))
		s.Name = f.Name()
		s.UDP = append(s.UDP, own)
	default:
		return fmt.Errorf("a socket of type %d, wanted a datagram or a stream one", typ)
	}
	return nil
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

func localAddr(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, fmt.Errorf("not an Internet socket")
}
