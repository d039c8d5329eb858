package upstream

import (
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Limits of the TCP side. Consul serves one query at a time on a connection and closes after 128 or 8 s idle: several short-lived
// connections side by side lose nothing by that (RFC 7766 section 6.2.2 allows them).
const (
	maxConns        = 16
	maxConnQueries  = 128
	maxConnPending  = 128
	maxStreamQueue  = 4096
	connIdle        = 4 * time.Second
	dialTimeout     = 2 * time.Second
	streamWriteTime = 2 * time.Second
	// maxResends is how often a query is sent again after connections that brought no answer at all, and maxTries how often it is sent in all.
	maxResends = 3
	maxTries   = 20
)

// Errors of an exchange over TCP.
var (
	ErrTimeout  = errors.New("no answer in time")
	ErrClosed   = errors.New("upstream was removed")
	ErrOverload = errors.New("too many queries wait for this upstream")
	ErrRefused  = errors.New("cannot connect")
)

// Done gets the reply, which is the callee's to keep, or an error. It must not block.
type Done func(reply []byte, err error)

// Stream asks one server over TCP: pipelined, on few connections, which are opened when needed.
type Stream struct {
	addr   netip.AddrPort
	mu     sync.Mutex
	conns  []*streamConn
	queued int
	closed bool
	wg     sync.WaitGroup
}

// exchange is one query on its way.
type exchange struct {
	query    []byte
	deadline time.Time
	done     Done
	timer    *time.Timer
	resends  int
	tries    int
	finished bool // guarded by Stream.mu
}

func newStream(addr netip.AddrPort) *Stream { return &Stream{addr: addr} }

// Exchange sends the query, whose id is replaced on the way and restored in the reply, and calls done exactly once: by the deadline at the latest,
// from another goroutine.
func (u *Upstream) Exchange(query []byte, deadline time.Time, done Done) {
	s := u.stream
	x := &exchange{query: query, deadline: deadline, done: done}
	s.mu.Lock()
	if s.closed || s.queued >= maxStreamQueue {
		err := ErrOverload
		if s.closed {
			err = ErrClosed
		}
		s.mu.Unlock()
		go done(nil, err)
		return
	}
	s.queued++
	x.timer = time.AfterFunc(time.Until(deadline), func() { s.finish(x, nil, ErrTimeout) })
	s.place(x)
	s.mu.Unlock()
}

// place gives x to the connection with the least to do, opening another one while all are busy. Called with the lock held.
func (s *Stream) place(x *exchange) {
	var best *streamConn
	live := 0
	for _, c := range s.conns {
		if c.retired {
			continue
		}
		live++
		if best == nil || len(c.pending) < len(best.pending) {
			best = c
		}
	}
	if best == nil || (len(best.pending) > 0 && live < maxConns) || len(best.pending) >= maxConnPending {
		if len(s.conns) < 4*maxConns { // retired ones still drain
			best = s.open()
		}
	}
	if best == nil {
		s.finishLocked(x, nil, ErrOverload)
		return
	}
	best.add(x)
}

// finish ends an exchange once; later calls do nothing.
func (s *Stream) finish(x *exchange, reply []byte, err error) {
	s.mu.Lock()
	s.finishLocked(x, reply, err)
	s.mu.Unlock()
}

func (s *Stream) finishLocked(x *exchange, reply []byte, err error) {
	if x.finished {
		return
	}
	x.finished = true
	x.timer.Stop()
	s.queued--
	go x.done(reply, err)
}

// again sends x, whose connection went away, once more (a DNS query may be repeated), or fails it. A server that closes after a few answers
// is worth more patience than one that gives none.
func (s *Stream) again(x *exchange, fruitful bool, err error) {
	if x.finished {
		return
	}
	x.tries++
	if !fruitful {
		x.resends++
	}
	if s.closed || x.resends > maxResends || x.tries >= maxTries || time.Now().After(x.deadline) {
		s.finishLocked(x, nil, err)
		return
	}
	s.place(x)
}

func (s *Stream) drop(c *streamConn) {
	for i, o := range s.conns {
		if o == c {
			s.conns = append(s.conns[:i], s.conns[i+1:]...)
			return
		}
	}
}

func (s *Stream) close() {
	s.mu.Lock()
	s.closed = true
	for _, c := range s.conns {
		c.abort()
	}
	s.mu.Unlock()
	s.wg.Wait()
}
