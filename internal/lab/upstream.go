package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Upstream is a DNS server in the test's own process that does what a script
// says, well-behaved or not, over UDP and TCP on one loopback port.
//
// A [Handler] sees each query and returns the [Action] values to take, in order:
//
//	lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
//		if q.Number == 1 {
//			return nil // silence
//		}
//		return []lab.Action{
//			lab.Reply(lab.WrongID()),
//			lab.Delay(50 * time.Millisecond),
//			lab.Reply(lab.Answers("@ 0 IN A 192.0.2.1")),
//		}
//	})
//
// What a whole server does, such as closing a TCP connection after some
// queries, is an [UpstreamOption]; what befalls it in the middle of a test is a
// method: Pause, CloseUDP and so on.
type Upstream struct {
	Addr netip.AddrPort // where it answers

	t       testing.TB
	host    netip.Addr
	handler Handler
	limit   int           // queries per TCP connection; 0: any number
	idle    time.Duration // before a TCP connection is closed; 0: never
	serial  bool          // one query at a time per TCP connection
	shapes  []Edit        // applied to every reply, last

	ctx  context.Context // ends with the test
	work sync.WaitGroup  // every goroutine of ours

	mu    sync.Mutex
	udp   *net.UDPConn     // nil while closed
	tcp   *net.TCPListener // nil while closed
	conns map[*tcpConn]struct{}
	gate  chan struct{} // closed while queries may pass
	seen  seen
}

// Handler decides what to do about a query. It is called from several
// goroutines at once. No actions mean silence.
type Handler func(*Query) []Action

// UpstreamOption changes how an Upstream behaves as a whole.
type UpstreamOption func(*Upstream)

// TCPLimit closes a TCP connection after n queries, once they are answered.
func TCPLimit(n int) UpstreamOption { return func(u *Upstream) { u.limit = n } }

// TCPIdle closes a TCP connection on which no query arrives for d.
func TCPIdle(d time.Duration) UpstreamOption { return func(u *Upstream) { u.idle = d } }

// SerialTCP reads the next query of a TCP connection when the one before is
// dealt with, as servers do that do not pipeline.
func SerialTCP() UpstreamOption { return func(u *Upstream) { u.serial = true } }

// Host makes it answer at another address of the loopback interface than
// 127.0.0.1.
func Host(a netip.Addr) UpstreamOption { return func(u *Upstream) { u.host = a } }

// Script is a Handler that treats every query alike.
func Script(actions ...Action) Handler { return func(*Query) []Action { return actions } }

// NewUpstream starts an upstream. It is closed when the test is over.
func NewUpstream(t testing.TB, handler Handler, options ...UpstreamOption) *Upstream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	u := &Upstream{t: t, host: netip.AddrFrom4([4]byte{127, 0, 0, 1}), handler: handler, ctx: ctx, conns: map[*tcpConn]struct{}{}, gate: make(chan struct{}), seen: newSeen()}
	close(u.gate)
	for _, option := range options {
		option(u)
	}
	var err error
	for range startAttempts {
		u.Addr = netip.AddrPortFrom(u.host, Port(t))
		if err = u.open(); err == nil {
			break
		}
		u.close()
	}
	if err != nil {
		cancel()
		t.Fatalf("cannot listen for an upstream: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		u.close()
		u.work.Wait()
	})
	return u
}

// open opens both sockets.
func (u *Upstream) open() error {
	if err := u.openUDP(); err != nil {
		return err
	}
	return u.openTCP()
}

// close closes both sockets and every connection.
func (u *Upstream) close() {
	u.CloseUDP()
	u.CloseTCP()
}

// OpenUDP opens the UDP port again after CloseUDP.
func (u *Upstream) OpenUDP() { u.reopen("UDP", u.openUDP) }

// OpenTCP opens the TCP port again after CloseTCP.
func (u *Upstream) OpenTCP() { u.reopen("TCP", u.openTCP) }

// reopenTimeout is how long a port may still be held that was closed: a program
// that another test starts has copies of our sockets for a moment.
const reopenTimeout = 10 * time.Second

func (u *Upstream) reopen(network string, open func() error) {
	var err error
	poll(reopenTimeout, func() bool {
		err = open()
		return !errors.Is(err, syscall.EADDRINUSE)
	})
	if err != nil {
		u.t.Errorf("cannot reopen the %s port of an upstream: %v", network, err)
	}
}

func (u *Upstream) openUDP() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.udp != nil {
		return fmt.Errorf("%s/udp is open", u.Addr)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(u.Addr))
	if err != nil {
		return err
	}
	_ = conn.SetReadBuffer(4 << 20) // as much as the kernel allows: a burst is not the test's subject
	u.udp = conn
	u.work.Go(func() { u.serveUDP(conn) })
	return nil
}

func (u *Upstream) openTCP() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tcp != nil {
		return fmt.Errorf("%s/tcp is open", u.Addr)
	}
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(u.Addr))
	if err != nil {
		return err
	}
	u.tcp = listener
	u.work.Go(func() { u.acceptTCP(listener) })
	return nil
}

// CloseUDP closes the UDP port: the kernel answers queries with an ICMP port
// unreachable from now on, and answers that are still due are lost.
func (u *Upstream) CloseUDP() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.udp != nil {
		_ = u.udp.Close()
		u.udp = nil
	}
}

// CloseTCP closes the TCP port and every connection: who connects from now on
// is refused.
func (u *Upstream) CloseTCP() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tcp != nil {
		_ = u.tcp.Close()
		u.tcp = nil
	}
	for conn := range u.conns {
		_ = conn.Close()
	}
}

// Pause makes the upstream silent on open ports, as a process that is stopped
// or busy: queries still arrive and are dealt with after Resume.
func (u *Upstream) Pause() {
	u.mu.Lock()
	defer u.mu.Unlock()
	select {
	case <-u.gate:
		u.gate = make(chan struct{})
	default: // paused already
	}
}

// Resume ends a Pause.
func (u *Upstream) Resume() {
	u.mu.Lock()
	defer u.mu.Unlock()
	select {
	case <-u.gate: // not paused
	default:
		close(u.gate)
	}
}

// pass waits while the upstream is paused, and reports whether it goes on.
func (u *Upstream) pass() bool {
	u.mu.Lock()
	gate := u.gate
	u.mu.Unlock()
	select {
	case <-gate:
		return u.ctx.Err() == nil
	case <-u.ctx.Done():
		return false
	}
}
