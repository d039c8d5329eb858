package upstream

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"panteras/dnsserver/wire"
)

// streamConn is one TCP connection. Its fields are guarded by Stream.mu.
type streamConn struct {
	s       *Stream
	pending map[uint16]*exchange
	sent    int
	got     int  // answers
	retired bool // takes no more queries: it had its share, or it is closing
	out     chan []byte
	cancel  context.CancelFunc
	conn    net.Conn
}

// open starts a connection; queries may be added before it is established. Called with the lock held.
func (s *Stream) open() *streamConn {
	ctx, cancel := context.WithCancel(context.Background())
	c := &streamConn{s: s, pending: map[uint16]*exchange{}, out: make(chan []byte, maxConnQueries), cancel: cancel}
	s.conns = append(s.conns, c)
	s.wg.Add(1)
	go c.run(ctx)
	return c
}

// add frames the query under a fresh random id and queues it. Called with the lock held.
func (c *streamConn) add(x *exchange) {
	id := uint16(rand.Uint32())
	for c.pending[id] != nil {
		id++
	}
	c.pending[id] = x
	frame := make([]byte, 2+len(x.query))
	binary.BigEndian.PutUint16(frame, uint16(len(x.query)))
	copy(frame[2:], x.query)
	wire.SetID(frame[2:], id)
	c.out <- frame // has room: it takes maxConnQueries at most
	if c.sent++; c.sent >= maxConnQueries {
		c.retired = true
	}
}

// abort makes run end.
func (c *streamConn) abort() {
	c.retired = true
	c.cancel()
	if c.conn != nil {
		c.conn.Close()
	}
}

func (c *streamConn) run(ctx context.Context) {
	defer c.s.wg.Done()
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", c.s.addr.String())
	if err == nil {
		c.s.mu.Lock()
		c.conn = conn
		if ctx.Err() != nil { // aborted while it was opened
			conn.Close()
		}
		c.s.mu.Unlock()
		written := make(chan struct{})
		go func() {
			defer close(written)
			c.write(ctx, conn)
		}()
		err = c.read(conn)
		c.cancel()
		conn.Close()
		<-written
	} else {
		err = ErrRefused
	}
	c.cancel()

	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	c.retired = true
	s.drop(c)
	for _, x := range c.pending {
		if err == ErrRefused || s.closed {
			s.finishLocked(x, nil, err)
		} else {
			s.again(x, c.got > 0, err)
		}
	}
	c.pending = nil
}

func (c *streamConn) write(ctx context.Context, conn net.Conn) {
	w := bufio.NewWriter(conn)
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-c.out:
			_ = conn.SetWriteDeadline(time.Now().Add(streamWriteTime))
			_, err := w.Write(f)
			if err == nil && len(c.out) == 0 {
				err = w.Flush()
			}
			if err != nil {
				conn.Close() // read notices
				return
			}
		}
	}
}

// read hands replies on until the connection is closed, is idle, or has nothing more to come.
func (c *streamConn) read(conn net.Conn) error {
	r := bufio.NewReaderSize(conn, 16<<10)
	acknowledge := acknowledger(conn)
	var length [2]byte
	for {
		_ = conn.SetReadDeadline(time.Now().Add(connIdle))
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint16(length[:]))
		if n < wire.HeaderLen {
			return io.ErrUnexpectedEOF
		}
		m := make([]byte, n, n+64) // room for an OPT
		if _, err := io.ReadFull(r, m); err != nil {
			return err
		}
		c.s.mu.Lock()
		id := wire.ID(m)
		x := c.pending[id]
		delete(c.pending, id)
		if x != nil {
			c.got++
			wire.SetID(m, wire.ID(x.query))
			c.s.finishLocked(x, m, nil)
		}
		more := len(c.pending) > 0
		over := c.retired && !more
		c.s.mu.Unlock()
		if over {
			return nil
		}
		if more && r.Buffered() == 0 {
			acknowledge()
		}
	}
}

// acknowledger returns what tells the server at once that its answers so far have arrived. The kernel would wait 40 ms for a query to go along with that (tcp(7), TCP_QUICKACK),
// and a server that keeps small segments back until the ones before are acknowledged (RFC 896; nsd does) would keep the last answers as long.
func acknowledger(conn net.Conn) func() {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return func() {}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return func() {}
	}
	now := func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) }
	return func() { _ = raw.Control(now) }
}
