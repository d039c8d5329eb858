package dnsserver

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tcpConn is one client's connection: a reader, a writer, and at most maxConnInFlight queries between them.
type tcpConn struct {
	t       *tcpServer
	conn    net.Conn
	client  netip.Addr
	active  atomic.Int64 // when the last query came or was dealt with; until one has come, tcpIdle before the connection did: who has asked comes before who has not
	filed   int64        // what idleConns has it under
	place   int          // in idleConns; -1: not in it
	ending  atomic.Bool
	asked   bool          // the reader's own
	slots   chan struct{} // one token for each query in flight
	out     chan []byte   // framed answers; as large as slots, so no sender waits
	pending sync.WaitGroup
}

func newTCPConn(t *tcpServer, conn net.Conn, client netip.Addr) *tcpConn {
	c := &tcpConn{t: t, conn: conn, client: client, slots: make(chan struct{}, maxConnInFlight), out: make(chan []byte, maxConnInFlight)}
	c.active.Store(monotonic() - int64(tcpIdle))
	return c
}

func (c *tcpConn) run() {
	defer c.t.gone(c)
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	c.read()
	c.pending.Wait() // a client that has closed its half still wants its answers
	close(c.out)
	<-written
	if c.ending.Load() {
		c.linger()
	}
	c.conn.Close()
}

// waits says whether the client has an answer to come.
func (c *tcpConn) waits() bool { return len(c.slots) > 0 }

// done frees the place of a query that was dealt with. Who sees that it is free sees since when.
func (c *tcpConn) done() {
	c.active.Store(monotonic())
	<-c.slots
}

// stopReading makes read return after the queries that have arrived.
func (c *tcpConn) stopReading() {
	c.ending.Store(true)
	_ = c.conn.SetReadDeadline(time.Unix(1, 0))
}

// linger gives the client the time to take the last answers: a connection that is closed with bytes unread is reset, and what is on its way is lost with it.
func (c *tcpConn) linger() {
	if half, ok := c.conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(tcpLinger))
	_, _ = io.Copy(io.Discard, c.conn)
}

func (c *tcpConn) read() {
	r := bufio.NewReaderSize(c.conn, 1024)
	for left := -1; c.awaitByte(r, &left); {
		_ = c.conn.SetReadDeadline(time.Now().Add(tcpFrameTime))
		var length [2]byte
		if !c.fill(r, length[:]) {
			return
		}
		pkt, ok := c.message(r, int(binary.BigEndian.Uint16(length[:])))
		if !ok {
			return
		}
		if left > 0 {
			left = max(left-len(length)-len(pkt), 0)
		}
		c.asked = true
		c.active.Store(monotonic())
		c.slots <- struct{}{}
		c.pending.Add(1)
		if !c.t.serveQuery(c, pkt) {
			return
		}
	}
}

// message reads n bytes. Memory is taken as they come: two bytes of a client that sends no more must not cost 64 KiB.
func (c *tcpConn) message(r *bufio.Reader, n int) (m []byte, ok bool) {
	const step = 1024
	for len(m) < n {
		have := len(m)
		m = append(m, make([]byte, min(n-have, max(step, have)))...)
		if !c.fill(r, m[have:]) {
			return nil, false
		}
	}
	return m, true
}

// fill reads len(b) bytes. That the server stops meanwhile does not spoil a message that has arrived.
func (c *tcpConn) fill(r *bufio.Reader, b []byte) bool {
	again := true
	for n := 0; n < len(b); {
		m, err := r.Read(b[n:])
		n += m
		switch {
		case err == nil:
		case again && c.ending.Load() && isTimeout(err):
			again = false
			_ = c.conn.SetReadDeadline(time.Now().Add(tcpLinger))
		default:
			return false
		}
	}
	return true
}

// awaitByte waits for the next message, at most tcpIdle after the last answer. A client may wait for answers as long as those take. Once the server stops,
// only what has arrived by then counts, or of a client that has not asked yet, what comes at once: *left is how many bytes of that are not read yet, -1 until then.
func (c *tcpConn) awaitByte(r *bufio.Reader, left *int) bool {
	for {
		if c.ending.Load() {
			if *left < 0 {
				if !c.asked {
					c.awaitFirst(r)
				}
				*left = r.Buffered() + c.arrived()
			}
			return *left > 0
		}
		if r.Buffered() > 0 {
			return true
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(tcpIdle))
		if c.ending.Load() {
			continue
		}
		_, err := r.Peek(1)
		if err == nil {
			return true
		}
		if !isTimeout(err) || (!c.waits() && !c.ending.Load()) {
			return false
		}
	}
}

// awaitFirst gives a client that has connected and not asked yet the time to do so: it cannot know that the server stops.
func (c *tcpConn) awaitFirst(r *bufio.Reader) {
	for end := time.Now().Add(tcpLinger); time.Now().Before(end); {
		_ = c.conn.SetReadDeadline(end)
		if _, err := r.Peek(1); err == nil || !isTimeout(err) {
			return
		}
	}
}

// arrived is how many bytes the kernel holds for us.
func (c *tcpConn) arrived() (n int) {
	sc, ok := c.conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// answer queues the answer to one query; nil gives none.
func (c *tcpConn) answer(m []byte) {
	if m == nil {
		c.done()
	} else {
		frame := make([]byte, 2, 2+len(m))
		binary.BigEndian.PutUint16(frame, uint16(len(m)))
		c.out <- append(frame, m...)
	}
	c.pending.Done()
}

func (c *tcpConn) write() {
	w := bufio.NewWriter(c.conn)
	failed := false
	for f := range c.out {
		if !failed {
			_ = c.conn.SetWriteDeadline(time.Now().Add(tcpWriteTime))
			_, err := w.Write(f)
			if err == nil && len(c.out) == 0 {
				err = w.Flush()
			}
			if err != nil { // a client that never reads, or that has gone
				failed = true
				c.conn.Close()
			}
		}
		c.done()
	}
}
