package device

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// bind is the UDP side of the tunnel: what wireguard-go's own Bind does, many packets with
// one system call there and back, and two things beside that which that one cannot do. It
// takes sockets that another process has opened and keeps, so that nothing is lost while
// this one is away. And packets leave from the address that a peer talks to: that Bind
// forgets it where the kernel hands over several datagrams at once (UDP_GRO), which is
// always. A client takes an answer from another address of the host for a move of the
// gateway's, and would stay there when a floating address goes to another host.
type bind struct {
	handed []*os.File // sockets that were handed over
	// dialled is the address that clients dial; invalid if they dial a name.
	dialled netip.Addr
	// floating says that while it is another host's, nothing is sent.
	floating bool
	// here says whether this host has it.
	here atomic.Bool

	mu     sync.RWMutex
	v4, v6 *socket // nil while closed, or where the host lacks the family
}

var _ conn.Bind = (*bind)(nil)

// look finds out whether this host has the address that clients dial.
func (b *bind) look() {
	if !b.dialled.IsValid() {
		return
	}
	if here, err := Holds(b.dialled); err == nil { // else it stays as it was
		b.here.Store(here)
	}
}

// Open implements [conn.Bind]. Sockets that were handed over are used if they are of the
// port; others are opened, of both families where the host has both.
func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.v4 != nil || b.v6 != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	v4, v6, err := openSockets(b.handed, port)
	if err != nil {
		return nil, 0, err
	}
	var receive []conn.ReceiveFunc
	for _, s := range []*socket{v4, v6} {
		if s != nil {
			receive = append(receive, s.receiver())
			port = s.port
		}
	}
	b.v4, b.v6 = v4, v6
	return receive, port, nil
}

// Close implements [conn.Bind]. Sockets that were handed over stay open in the process
// that did so.
func (b *bind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := errors.Join(b.v4.close(), b.v6.close())
	b.v4, b.v6 = nil, nil
	return err
}

// SetMark implements [conn.Bind].
func (b *bind) SetMark(mark uint32) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return errors.Join(b.v4.setMark(mark), b.v6.setMark(mark))
}

// BatchSize implements [conn.Bind].
func (b *bind) BatchSize() int { return conn.IdealBatchSize }

// ParseEndpoint implements [conn.Bind].
func (b *bind) ParseEndpoint(text string) (conn.Endpoint, error) {
	to, err := netip.ParseAddrPort(text)
	if err != nil {
		return nil, err
	}
	return &endpoint{to: unmapped(to)}, nil
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Send implements [conn.Bind].
func (b *bind) Send(packets [][]byte, to conn.Endpoint) error {
	e, ok := to.(*endpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	if b.floating && !b.here.Load() {
		return nil // as if it had been lost on the way
	}
	s := b.socketFor(e.to.Addr())
	if s == nil {
		return unix.EAFNOSUPPORT
	}
	from := b.sourceFor(e)
	err := s.send(packets, e.to, from)
	if from.IsValid() && from != b.dialled && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EADDRNOTAVAIL)) {
		// The host has lost that address. Where it is the one that clients dial another host
		// has it, and clients must not follow us; else they may.
		e.ClearSrc()
		err = s.send(packets, e.to, netip.Addr{})
	}
	return err
}

// socketFor returns the socket for an address. One of IPv6 may be for IPv4 as well.
func (b *bind) socketFor(to netip.Addr) *socket {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if to.Is4() && (b.v4 != nil || b.v6 == nil || !b.v6.both) {
		return b.v4
	}
	return b.v6
}

// sourceFor is the address that packets to an endpoint leave from; invalid is the kernel's
// choice.
func (b *bind) sourceFor(e *endpoint) netip.Addr {
	if from := e.SrcIP(); from.IsValid() {
		return from
	}
	if b.here.Load() && b.dialled.Is4() == e.to.Addr().Is4() {
		return b.dialled
	}
	return netip.Addr{}
}
