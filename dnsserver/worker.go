package dnsserver

import (
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"panteras/dnsserver/sock"
	"panteras/dnsserver/upstream"
	"panteras/dnsserver/wire"
)

// Kinds of descriptors a worker waits for.
const (
	tagWaker int32 = iota
	tagListener
	tagUpstream
)

// readBurst is how many datagrams a listening socket may deliver before the others are looked at.
const readBurst = 64

// How many datagrams one system call takes from clients, and from an upstream.
const (
	clientBatch   = 32
	upstreamBatch = 16
	// answerBatch is how many answers one takes to clients.
	answerBatch = 128
)

// clientQueue is more datagrams than the receive buffer of a listening socket holds.
const clientQueue = 1 << 14

// listenSocket is one UDP socket that clients write to. With SO_REUSEPORT each worker has its own for each address.
type listenSocket struct {
	fd     int
	key    string // what the Server calls the address
	shared bool   // a duplicate of a descriptor that others read too
}

// worker is one event loop. It owns a share of the listening sockets, its own sockets to the upstreams, and all
// queries that came in through them: no lock is taken and nothing is allocated on a forwarded query's way.
type worker struct {
	srv   *Server
	cfg   *snapshot
	stats *stats

	poller *sock.Poller
	waker  *sock.Waker
	mailMu sync.Mutex
	mail   []func()
	spare  []func()
	closed bool

	listeners []*listenSocket // index is the tag; nil after removal
	fromPeers *sock.Inbox
	toPeers   *sock.Outbox
	fromUp    *sock.Inbox
	peer      sock.Peer // of the datagram that is being served
	outBuf    []byte    // to upstreams, and errors to clients
	keyBuf    []byte
	foldBuf   [wire.MaxName]byte
	q         wire.Query
	rewriter  *wire.Rewriter

	queries pool[query]
	flights pool[flight]
	lanes   []*lane // by target index of cfg
	keys    *table  // equal queries: hash -> flight that was sent last
	ids     *table  // socket and id -> flight
	seed    maphash.Seed
	rng     *rand.ChaCha8
	timers  [len(waits)]timerQueue
	socks   []upSocket
	freeS   []int32
	states  map[*upstream.Upstream]*upState
	queues  []*upState // that have something in their queue
	turn    uint64     // counts the loop's rounds
	taken   int        // datagrams that this turn took
	// here is the Consul of this host whose answer came last in this turn, if one did, and hereTook how long that was on its way.
	here     *upState
	hereTook time.Duration
	// flushing tells that queues are being sent, and take nothing.
	flushing bool
	sweep    int64
	now      int64

	retired  []*listenSocket // take no more queries, but answers in flight still leave from them
	draining bool
}

// clock is monotonic, in nanoseconds.
var clockBase = time.Now()

func monotonic() int64 { return int64(time.Since(clockBase)) }

func newWorker(srv *Server) (*worker, error) {
	p, err := sock.NewPoller()
	if err != nil {
		return nil, err
	}
	waker, err := sock.NewWaker(p, sock.Tag{Kind: tagWaker})
	if err != nil {
		p.Close()
		return nil, err
	}
	w := &worker{
		srv: srv, stats: newStats(), poller: p, waker: waker,
		fromPeers: sock.NewInbox(clientBatch, wire.MaxMessage, true), fromUp: sock.NewInbox(upstreamBatch, wire.MaxMessage, false),
		outBuf: make([]byte, 0, wire.MaxMessage+64),
		keyBuf: make([]byte, 0, 2*inlineQuery), rewriter: wire.NewRewriter(),
		keys: newTable(1024), ids: newTable(2048), seed: maphash.MakeSeed(), rng: newRand(),
		states: map[*upstream.Upstream]*upState{}, now: monotonic(),
	}
	w.toPeers = sock.NewOutbox(answerBatch, 2*wire.MaxMessage, func(a netip.Addr) bool { return w.cfg.onHost(a) })
	for i := range w.timers {
		w.timers[i] = timerQueue{none, none}
	}
	w.adopt(srv.cfg.Load())
	return w, nil
}

// post runs f in the worker's loop. It returns false when the loop has ended.
func (w *worker) post(f func()) bool {
	w.mailMu.Lock()
	defer w.mailMu.Unlock()
	if w.closed {
		return false
	}
	w.mail = append(w.mail, f)
	w.waker.Wake()
	return true
}

// call is post that waits until f has run.
func (w *worker) call(f func()) {
	done := make(chan struct{})
	if w.post(func() { f(); close(done) }) {
		<-done
	}
}

// run is the event loop. It ends when the server drains and nothing is in flight any more, or at the latest drainTime after that.
func (w *worker) run() {
	var drainEnd int64
	for {
		n := w.wait()
		w.now = monotonic()
		if cfg := w.srv.cfg.Load(); cfg != w.cfg {
			w.adopt(cfg)
		}
		w.handle(n)
		w.runTimers()
		w.flush()
		if len(w.retired) > 0 {
			w.closeRetired()
		}
		w.stats.inFlight.Store(int64(w.queries.used()))
		if w.now > w.sweep {
			w.sweep = w.now + int64(sweepInterval)
			w.sweepSockets()
		}
		if w.draining {
			if drainEnd == 0 {
				drainEnd = w.now + int64(drainTime)
			}
			if w.flights.used() == 0 || w.now > drainEnd {
				break
			}
		}
	}
	w.close()
}

// wait returns how many descriptors are ready, after the rest that is due.
func (w *worker) wait() int {
	if d := w.restTime(); d > 0 {
		w.poller.Rest(d)
	}
	return w.poller.Wait(w.untilDue())
}

// handle does what the last Wait reported.
func (w *worker) handle(events int) {
	w.turn++
	w.taken, w.here = 0, nil
	for i := range events {
		ev := w.poller.Event(i)
		switch ev.Kind {
		case tagListener:
			if ls := w.listeners[ev.Index]; ls != nil {
				w.readClients(ls)
			}
		case tagUpstream:
			w.readUpstream(ev.Index)
		case tagWaker:
			w.waker.Clear()
			w.runMail()
		}
	}
}

func (w *worker) runMail() {
	w.mailMu.Lock()
	mail := w.mail
	w.mail = w.spare[:0]
	w.mailMu.Unlock()
	for i, f := range mail {
		f()
		mail[i] = nil
	}
	w.spare = mail
}

func (w *worker) close() {
	w.mailMu.Lock()
	w.closed = true
	rest := w.mail
	w.mailMu.Unlock()
	for _, f := range rest {
		f()
	}
	w.flush()
	for i := range w.socks {
		if w.socks[i].fd >= 0 {
			unix.Close(w.socks[i].fd)
		}
	}
	for _, ls := range w.listeners {
		if ls != nil {
			unix.Close(ls.fd)
		}
	}
	for _, ls := range w.retired {
		unix.Close(ls.fd)
	}
	w.waker.Close()
	w.poller.Close()
}

// listen takes over a listening socket.
func (w *worker) listen(ls *listenSocket) error {
	i := int32(len(w.listeners))
	if err := w.poller.Add(ls.fd, sock.Tag{Kind: tagListener, Index: i}, ls.shared); err != nil {
		return err
	}
	w.listeners = append(w.listeners, ls)
	return nil
}

// unlisten answers what has arrived for an address and stops listening there. Answers in flight still leave from it.
func (w *worker) unlisten(key string) {
	for i, ls := range w.listeners {
		if ls == nil || ls.key != key {
			continue
		}
		w.readLast(ls)
		w.poller.Remove(ls.fd)
		w.listeners[i] = nil
		w.retired = append(w.retired, ls)
	}
	w.closeRetired()
}

// closeRetired closes the sockets that no query needs any more: until then nobody can listen on their addresses again, not even we.
func (w *worker) closeRetired() {
	w.flush()
	w.retired = slices.DeleteFunc(w.retired, func(ls *listenSocket) bool {
		if w.answersFrom(ls) {
			return false
		}
		unix.Close(ls.fd)
		return true
	})
}

// answersFrom says whether a query in flight came in through the socket.
func (w *worker) answersFrom(ls *listenSocket) bool {
	for _, chunk := range w.queries.chunks {
		for i := range chunk {
			if chunk[i].on == ls {
				return true
			}
		}
	}
	return false
}

// drain makes the loop end once all that was asked is answered.
func (w *worker) drain() {
	for _, ls := range w.listeners {
		if ls != nil {
			w.readLast(ls)
			w.poller.Remove(ls.fd)
		}
	}
	w.draining = true
}

// adopt takes over new settings. What is in flight keeps the upstreams and lanes that it has.
func (w *worker) adopt(cfg *snapshot) {
	old, oldLanes := w.cfg, w.lanes
	w.cfg = cfg
	w.lanes = make([]*lane, len(cfg.targets))
	for i, t := range cfg.targets {
		if old != nil && i < len(old.targets) && old.targets[i] == t {
			w.lanes[i] = oldLanes[i]
		} else {
			w.lanes[i] = &lane{kind: t.kind, head: none, tail: none}
		}
	}
	for u, st := range w.states {
		if !cfg.servers[u] {
			w.retireState(st)
			delete(w.states, u)
		}
	}
	for u := range cfg.servers {
		if w.states[u] == nil {
			w.states[u] = newUpState(u)
		}
	}
}

// readClients serves a burst of datagrams from one listening socket. It returns false when there are no more.
func (w *worker) readClients(ls *listenSocket) bool {
	for range readBurst / clientBatch {
		n, errno := w.fromPeers.Receive(ls.fd)
		if errno != 0 {
			return false // EAGAIN, or an error that the next call reports again if it lasts
		}
		w.taken += n
		for i := range n {
			w.fromPeers.Peer(i, &w.peer)
			w.serve(ls, w.fromPeers.Datagram(i))
		}
		w.flushQueues()
		if n < w.fromPeers.Len() {
			return false
		}
	}
	return true
}

// reply sends an answer to a client: when the loop comes round, with others.
func (w *worker) reply(fd int, m []byte, to *sock.Peer) {
	if !w.toPeers.Add(fd, m, to) {
		w.lost(w.toPeers.Flush())
		if !w.toPeers.Add(fd, m, to) {
			w.lost(1)
		}
	}
}

// flush sends what was collected: first to upstreams, which have work to do then.
func (w *worker) flush() {
	w.flushQueues()
	w.lost(w.toPeers.Flush())
}

// lost counts answers that could not be sent.
func (w *worker) lost(n int) {
	for range n {
		w.stats.drop(dropSend)
	}
}

// readLast serves all that has arrived on a socket that will not be read again; a flood that does not end has an end here.
func (w *worker) readLast(ls *listenSocket) {
	const bursts = clientQueue / readBurst
	for range bursts {
		if !w.readClients(ls) {
			return
		}
	}
}
