package dnsserver

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of the TCP side (RFC 7766 section 6.1 and 6.2, RFC 9210 section 4).
const (
	maxTCPConns     = 4096
	maxClientConns  = 1024
	maxConnInFlight = 64
	tcpIdle         = 10 * time.Second
	// tcpFrameTime is how long the rest of a message may take after its first byte, and tcpWriteTime how long a client may leave an answer unread.
	tcpFrameTime = 5 * time.Second
	tcpWriteTime = 5 * time.Second
	// tcpSendBuffer is how many bytes of answers the kernel may keep for a client that does not read (it takes twice as much, socket(7)): more than a connection
	// sends at first (RFC 6928), so that the longest answer comes no later. Left to itself it keeps 4 MB, and who asks without reading costs all the work of filling them.
	tcpSendBuffer = 16 << 10
	// tcpLinger is how long a stopping server waits for the first query of a connection, for the rest of a message, and for a client to take its answers and close.
	tcpLinger = 500 * time.Millisecond
	// acceptRest is how long a stopping server goes on accepting what the kernel has accepted for it.
	acceptRest = 20 * time.Millisecond
)

// tcpServer serves clients over TCP: pipelined, answered out of order.
type tcpServer struct {
	srv   *Server
	stats *stats

	mu        sync.Mutex
	listeners map[string]net.Listener
	conns     map[*tcpConn]bool
	idle      idleConns // those of conns that hold a place
	clients   map[netip.Addr]int
	places    int // connections in all
	refused   int // connections of clients that may not ask
	draining  bool
	accepting sync.WaitGroup // listeners
	wg        sync.WaitGroup // connections
}

func newTCPServer(srv *Server) *tcpServer {
	return &tcpServer{srv: srv, stats: newStats(), places: places(openFiles()), listeners: map[string]net.Listener{}, conns: map[*tcpConn]bool{}, clients: map[netip.Addr]int{}}
}

// otherFiles is how many descriptors are kept for all else: the sockets to upstreams above all.
const otherFiles = 512

// places is how many connections may be open, out of as many descriptors as the process may have: UDP must not starve for them.
func places(files uint64) int {
	return int(min(maxTCPConns, max(files/4, files-min(files, otherFiles))))
}

// openFiles is the limit of open descriptors, which Go raises to the hard one at the start.
func openFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	return limit.Cur
}

// serve accepts connections of a listener until it is stopped.
func (t *tcpServer) serve(key string, l net.Listener) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining {
		l.Close()
		return
	}
	t.listeners[key] = l
	t.accepting.Go(func() { t.accept(l) })
}

func (t *tcpServer) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() || !t.has(l) {
				return
			}
			// Out of descriptors, most likely: let some connections end.
			t.srv.warnOften("cannot accept a TCP connection", err)
			t.mu.Lock()
			t.closeOldest()
			t.mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			continue
		}
		t.admit(conn)
	}
}

func (t *tcpServer) has(l net.Listener) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.listeners {
		if o == l {
			return true
		}
	}
	return false
}

// admit starts serving a connection, within the limits. Where all places are taken, the connection that has been idle longest makes room.
func (t *tcpServer) admit(conn net.Conn) {
	ap, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		conn.Close()
		return
	}
	client := ap.Addr().Unmap().WithZone("")
	if !t.srv.cfg.Load().allowed(client) {
		t.refuse(conn)
		return
	}
	if buffered, ok := conn.(interface{ SetWriteBuffer(int) error }); ok {
		_ = buffered.SetWriteBuffer(tcpSendBuffer) // else the kernel's own bound holds
	}
	t.mu.Lock()
	if t.draining || t.clients[client] >= maxClientConns {
		t.mu.Unlock()
		t.stats.drop(dropConnections)
		conn.Close()
		return
	}
	if len(t.idle) >= t.places { // those that made room and still wait for an upstream hold none
		t.stats.drop(dropConnections)
		t.closeOldest()
	}
	c := newTCPConn(t, conn, client)
	t.conns[c] = true
	t.idle.add(c)
	t.clients[client]++
	t.wg.Add(1)
	t.mu.Unlock()
	go c.run()
}

// closeOldest ends the connection that has been idle longest. Called with the lock held.
func (t *tcpServer) closeOldest() {
	if oldest := t.idle.takeOldest(); oldest != nil {
		oldest.conn.Close()
	}
}

func (t *tcpServer) gone(c *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
	t.idle.remove(c)
	if t.clients[c.client]--; t.clients[c.client] == 0 {
		delete(t.clients, c.client)
	}
	t.wg.Done()
}

// stop ends a listener; its connections go on.
func (t *tcpServer) stop(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.listeners[key]; l != nil {
		delete(t.listeners, key)
		l.Close()
	}
}

// drain ends the listeners and makes connections end once what was asked is answered.
func (t *tcpServer) drain() {
	t.mu.Lock()
	listeners := slices.Collect(maps.Values(t.listeners))
	clear(t.listeners)
	t.mu.Unlock()
	// What the kernel has accepted would be reset with the listener: take it in first.
	for _, l := range listeners {
		if d, ok := l.(interface{ SetDeadline(time.Time) error }); !ok || d.SetDeadline(time.Now().Add(acceptRest)) != nil {
			l.Close()
		}
	}
	t.accepting.Wait()
	for _, l := range listeners {
		l.Close()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
	for c := range t.conns {
		c.stopReading()
	}
}

// wait returns when all connections have ended.
func (t *tcpServer) wait() { t.wg.Wait() }
