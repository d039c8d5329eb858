package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// socketBuffer is the room for what arrives while nobody reads, and for what is to be sent:
// as much as wireguard-go has.
const socketBuffer = 7 << 20

// Listen opens the tunnel's socket of one address family for another process, which gets
// it as [Options.Sockets]. It returns none where that process must see for itself: where
// the kernel is to encrypt, which opens its own socket, where another program has the port
// and where the host lacks the family.
func Listen(address netip.AddrPort) ([]*os.File, error) {
	if err := Probe(); !errors.Is(err, errNoModule) {
		return nil, nil
	}
	s, err := openSocket(address.Addr().Is6(), address.Port())
	if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s/udp: %w; set TUNNEL_PORT", address, err)
	}
	defer s.conn.Close()
	f, err := s.hold()
	if err != nil {
		return nil, err
	}
	return []*os.File{f}, nil
}

// hold returns a descriptor for who only keeps the socket. Asking a file of net.UDPConn.File
// for its descriptor would make the socket block, in the process that reads it too, which
// then could not end; and one that does not block yet would be polled here as well.
func (s *socket) hold() (f *os.File, err error) {
	err = s.with(func(fd int) error {
		fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err == nil {
			err = unix.SetNonblock(fd, false)
			f = os.NewFile(uintptr(fd), "udp:"+strconv.Itoa(int(s.port)))
		}
		return err
	})
	return f, err
}

// openSockets takes the sockets that were handed over, if they are of the port, and opens
// what lacks. One of the two may be nil.
func openSockets(handed []*os.File, port uint16) (v4, v6 *socket, err error) {
	defer func() {
		if err != nil {
			_ = errors.Join(v4.close(), v6.close())
		}
	}()
	for _, f := range handed {
		s, err := takeSocket(f)
		if err != nil {
			return v4, v6, err
		}
		switch {
		case s.port != port:
			_ = s.close()
		case s.v6 && v6 == nil:
			v6 = s
		case !s.v6 && v4 == nil:
			v4 = s
		default:
			_ = s.close()
			return v4, v6, fmt.Errorf("two sockets of one address family for UDP port %d were handed over; hand over one", port)
		}
	}
	// Any port is that of the first socket for the second one as well.
	for tries := 0; ; tries++ {
		err = nil
		wanted := port
		if v4 == nil && (v6 == nil || !v6.both) {
			if v4, err = openSocket(false, wanted); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
				return v4, v6, err
			}
		}
		if v4 != nil {
			wanted = v4.port
		}
		if v6 == nil {
			v6, err = openSocket(true, wanted)
		}
		switch {
		case err == nil, errors.Is(err, unix.EAFNOSUPPORT) && (v4 != nil || v6 != nil):
			return v4, v6, nil
		case port == 0 && errors.Is(err, unix.EADDRINUSE) && tries < 100:
			_ = v4.close()
			v4 = nil
			continue
		}
		return v4, v6, err
	}
}

// openSocket opens a socket on all addresses of one family. A port that another program
// has is an error that is EADDRINUSE.
func openSocket(v6 bool, port uint16) (*socket, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) {
			if err = prepare(int(fd), v6); err == nil && v6 {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
			}
		})
		return errors.Join(cerr, err)
	}}
	network := "udp4"
	if v6 {
		network = "udp6"
	}
	c, err := lc.ListenPacket(context.Background(), network, ":"+strconv.Itoa(int(port)))
	if err != nil {
		return nil, err
	}
	return newSocket(c.(*net.UDPConn))
}

// takeSocket makes one of a descriptor, which stays open.
func takeSocket(f *os.File) (*socket, error) {
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, fmt.Errorf("socket activation: %s is no UDP socket that is bound to a port: %w", f.Name(), err)
	}
	udp, ok := c.(*net.UDPConn)
	if !ok {
		err := fmt.Errorf("socket activation: %s is a socket of %s, wanted a UDP one", f.Name(), c.LocalAddr().Network())
		return nil, errors.Join(err, c.Close())
	}
	s, err := newSocket(udp)
	if err == nil {
		err = s.with(func(fd int) error { return prepare(fd, s.v6) })
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.offloads() // what prepare has turned on
	return s, nil
}

// prepare sets what a socket needs whoever has opened it.
func prepare(fd int, v6 bool) error {
	for _, o := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF, unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o, socketBuffer) // beyond the system's limit only with CAP_NET_ADMIN
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) // newSocket sees whether it worked
	if v6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}

// newSocket takes the connection over, also with an error.
func newSocket(c *net.UDPConn) (*socket, error) {
	s := &socket{conn: c}
	var domain, only int
	err := s.with(func(fd int) (err error) {
		if domain, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil && domain == unix.AF_INET6 {
			only, err = unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	s.port = c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	s.v6 = domain == unix.AF_INET6
	s.both = s.v6 && only == 0
	if s.v6 {
		s.pc = ipv6.NewPacketConn(c)
	} else {
		s.pc = ipv4.NewPacketConn(c)
	}
	s.offloads()
	return s, nil
}

// offloads finds out what the kernel does for the socket.
func (s *socket) offloads() {
	_ = s.with(func(fd int) error {
		on, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO) // from Linux 5.12 on
		s.gro = err == nil && on == 1
		_, err = unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		s.gso.Store(err == nil)
		return nil
	})
}
