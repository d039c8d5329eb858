// Package listen opens the sockets that clients write to: several UDP sockets and one TCP listener per address, never silently beside
// somebody else's, with errors that name who holds the port.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"panteras/dnsserver/sock"
	"panteras/internal/holder"
)

// clientBuffer takes a burst of some thousand queries while the worker is busy.
const clientBuffer = 4 << 20

// Sockets are what is open for one address.
type Sockets struct {
	Addr netip.AddrPort
	// UDP are the descriptors, one for each reader; readers beyond their number share them.
	UDP []int
	// Shared says that a descriptor is read by several readers.
	Shared bool
	// Name is what the sockets were called by who handed them over, "" if nobody did.
	Name string
	TCP  net.Listener
}

// Close closes what was not taken over.
func (s *Sockets) Close() {
	for _, fd := range s.UDP {
		unix.Close(fd)
	}
	if s.TCP != nil {
		s.TCP.Close()
	}
}

// Files are the sockets as files, for another process. s is used up.
func (s *Sockets) Files() ([]*os.File, error) {
	defer s.Close()
	var files []*os.File
	if s.TCP != nil {
		f, err := s.TCP.(*net.TCPListener).File()
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	for _, fd := range s.UDP {
		files = append(files, os.NewFile(uintptr(fd), s.Addr.String()))
	}
	s.UDP = nil
	return files, nil
}

// InUseError says that an address is taken, and by whom.
type InUseError struct {
	Addr    netip.AddrPort
	Network string // udp or tcp
	Holders []holder.Holder
}

func (e *InUseError) Error() string {
	by := "another process"
	for i, h := range e.Holders {
		if i == 0 {
			by = h.String()
		} else {
			by += ", " + h.String()
		}
	}
	return fmt.Sprintf("cannot listen on %s/%s: address in use by %s; stop it, or set DNS_LISTEN or DNS_PORT", e.Addr, e.Network, by)
}

// NotHereError says that an address belongs to no interface of this host, or not yet.
type NotHereError struct{ Addr netip.AddrPort }

func (e *NotHereError) Error() string {
	return fmt.Sprintf("cannot listen on %s: not an address of this host", e.Addr)
}

// Bind opens `readers` UDP sockets and a TCP listener on one address, unless somebody has it. Our sockets have SO_REUSEPORT, with which the kernel would
// share the port with a second copy of this program, or another server, and each would get a part of the queries: so the address is claimed without it first.
func Bind(addr netip.AddrPort, readers int) (*Sockets, error) {
	release, network, err := claim(addr)
	if err != nil {
		return nil, explain(addr, network, err)
	}
	tcp, err := listenTCP(addr)
	release() // from here on, the TCP listener is what another claim meets
	if err != nil {
		return nil, explain(addr, "tcp", err)
	}
	return bindReaders(addr, readers, tcp)
}

// BindBeside is Bind for an address that a wildcard socket of our own covers. It gets the queries for that address from then on.
func BindBeside(addr netip.AddrPort, readers int) (*Sockets, error) {
	tcp, err := listenTCP(addr)
	if err != nil {
		return nil, explain(addr, "tcp", err)
	}
	return bindReaders(addr, readers, tcp)
}

// Vacant says whether Bind would find the address on this host and free. Unlike Bind it does not look for who has it.
func Vacant(addr netip.AddrPort) bool {
	release, _, err := claim(addr)
	if err != nil {
		return false
	}
	release()
	return true
}

// claim binds the address so that nobody else can, and says over which network it could not.
func claim(addr netip.AddrPort) (release func(), network string, err error) {
	udp, err := bindAlone(addr, unix.SOCK_DGRAM)
	if err != nil {
		return nil, "udp", err
	}
	tcp, err := bindAlone(addr, unix.SOCK_STREAM)
	if err != nil {
		unix.Close(udp)
		return nil, "tcp", err
	}
	unix.Close(tcp) // would keep us from listening; the other one keeps others away
	return func() { unix.Close(udp) }, "", nil
}

func bindReaders(addr netip.AddrPort, readers int, tcp net.Listener) (*Sockets, error) {
	s := &Sockets{Addr: addr, TCP: tcp}
	for range readers {
		fd, err := bindUDP(addr)
		if err != nil {
			s.Close()
			return nil, explain(addr, "udp", err)
		}
		s.UDP = append(s.UDP, fd)
	}
	return s, nil
}

func listenTCP(addr netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) { err = setOptions(int(fd), addr, unix.SO_REUSEPORT) })
		return errors.Join(cerr, err)
	}}
	return lc.Listen(context.Background(), tcpNetwork(addr), addr.String())
}

func tcpNetwork(a netip.AddrPort) string {
	if a.Addr().Is4() {
		return "tcp4"
	}
	return "tcp6"
}

// bindAlone binds a socket that shares its address with nobody. Connections of an earlier run that linger (TIME_WAIT) are nobody.
func bindAlone(addr netip.AddrPort, typ int) (int, error) {
	return open(addr, typ, func(fd int) error {
		if typ == unix.SOCK_STREAM {
			return setOptions(fd, addr, unix.SO_REUSEADDR)
		}
		return setOptions(fd, addr, 0)
	})
}

func bindUDP(addr netip.AddrPort) (int, error) {
	return open(addr, unix.SOCK_DGRAM, func(fd int) error {
		if err := setOptions(fd, addr, unix.SO_REUSEPORT); err != nil {
			return err
		}
		return tune(fd, addr.Addr())
	})
}

// open makes a socket, prepares it and binds it.
func open(addr netip.AddrPort, typ int, prepare func(fd int) error) (int, error) {
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = prepare(fd)
	if err == nil {
		err = unix.Bind(fd, sock.Sockaddr(addr))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// setOptions keeps a socket on [::] from taking IPv4 as well, and sets the option `share` unless it is 0.
func setOptions(fd int, addr netip.AddrPort, share int) error {
	if addr.Addr().Is6() {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
	}
	if share == 0 {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, share, 1)
}

// tune prepares a client-facing UDP socket. One bound to all addresses must learn which one a query came to, to answer from there. Path MTU discovery
// is off: an answer must not be lost for an ICMP message that somebody forged (RFC 9715 section 3.1), and the sizes are bounded anyway.
func tune(fd int, addr netip.Addr) error {
	sock.SetReceiveBuffer(fd, clientBuffer)
	v4 := addr.Is4()
	if v4 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	}
	if !addr.IsUnspecified() {
		return nil
	}
	if v4 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
}

// explain turns an error of bind into one that an operator can act on.
func explain(addr netip.AddrPort, network string, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return &InUseError{addr, network, holder.Find(addr, network)}
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return &NotHereError{addr}
	case errors.Is(err, unix.EACCES), errors.Is(err, os.ErrPermission):
		return fmt.Errorf("cannot listen on %s/%s: ports below 1024 need the capability CAP_NET_BIND_SERVICE; run as root, give the binary the capability "+
			"(setcap cap_net_bind_service=+ep), use socket activation, or set DNS_PORT: %w", addr, network, err)
	}
	return fmt.Errorf("cannot listen on %s/%s: %w", addr, network, err)
}
