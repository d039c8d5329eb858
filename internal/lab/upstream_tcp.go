package lab

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// acceptTCP accepts connections until the listener is closed.
func (u *Upstream) acceptTCP(listener *net.TCPListener) {
	for {
		conn, err := listener.AcceptTCP()
		if err != nil {
			return
		}
		c := &tcpConn{TCPConn: conn}
		u.mu.Lock()
		open := u.tcp == listener
		if open {
			u.conns[c] = struct{}{}
			u.seen.connections++
			u.work.Go(func() { u.serveTCP(c) })
		}
		u.mu.Unlock()
		if !open { // closed while this one was in the queue
			_ = conn.Close()
		}
	}
}

// serveTCP reads the queries of one connection until either side ends it.
func (u *Upstream) serveTCP(c *tcpConn) {
	defer func() {
		_ = c.Close()
		u.mu.Lock()
		delete(u.conns, c)
		u.mu.Unlock()
	}()
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	var pending sync.WaitGroup
	for n := 1; ; n++ {
		if u.idle > 0 {
			_ = c.SetReadDeadline(time.Now().Add(u.idle))
		}
		raw, err := readFrame(c)
		if err != nil {
			break
		}
		q := u.arrived(raw, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), true)
		if !u.pass() {
			return
		}
		u.handle(q, c, &pending)
		if n == u.limit {
			break
		}
	}
	pending.Wait() // a client may have closed its half only, and wait for the rest
}

// readFrame reads one message with its length before it.
func readFrame(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, raw)
	return raw, err
}

// tcpConn answers queries over one TCP connection.
type tcpConn struct {
	*net.TCPConn
	mu sync.Mutex // one answer at a time
}

// frame puts the length before the message.
func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

func (c *tcpConn) send(message []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Write(frame(message))
	return err
}

// bytes writes one byte per segment: Go sets TCP_NODELAY on every connection.
func (c *tcpConn) bytes(message []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	framed := frame(message)
	for i := range framed {
		if _, err := c.Write(framed[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (c *tcpConn) half(message []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	framed := frame(message)
	_, err := c.Write(framed[:len(framed)/2])
	_ = c.Close()
	return err
}

func (c *tcpConn) end(reset bool) {
	if reset {
		_ = c.SetLinger(0)
	}
	_ = c.Close()
}
