package dnsserver

import (
	"time"

	"golang.org/x/sys/unix"

	"panteras/dnsserver/sock"
	"panteras/dnsserver/upstream"
)

// Source ports (RFC 5452 section 9.2). Whoever wants to forge an answer has to guess the id and which of these sockets, each on a port that the kernel drew,
// is waiting for it; and the ports change. Towards this host nobody can forge, so a few do.
const (
	remoteSockets = 64
	localSockets  = 4
	socketUses    = 4096
	socketAge     = 30 * time.Second
	sweepInterval = 5 * time.Second
	// upstreamBuffer takes some tens of 28 KiB SRV answers.
	upstreamBuffer = 1 << 20
)

// upSocket is one connected socket.
type upSocket struct {
	fd      int    // -1: free
	gen     uint32 // of those that have had this place
	st      *upState
	slot    int // its place in st.socks; none when it takes no more queries
	pending int
	uses    int
	opened  int64
	used    *[1 << 16 / 64]uint64 // ids that were used: an answer to one of them is late, to another one forged
}

// upState is what a worker has open towards one upstream.
type upState struct {
	server *upstream.Upstream
	socks  []int32  // none: not open yet
	queue  *upQueue // nil: queries are sent one by one
	// waiting is how many answers the sockets wait for.
	waiting int
	turn    uint64 // when drawn was
	drawn   int    // the socket that all queries of a turn leave from
}

func newUpState(u *upstream.Upstream) *upState {
	st := &upState{server: u}
	n := remoteSockets
	if u.Local {
		n = localSockets
		st.queue = newUpQueue()
	}
	st.socks = make([]int32, n)
	for i := range st.socks {
		st.socks[i] = none
	}
	return st
}

func idKey(sock int32, id uint16) uint64 { return uint64(sock)<<16 | uint64(id) }

// draw returns which of its sockets a query to the upstream leaves from. Where nobody can forge, all of a turn leave from the same one, with one system call.
func (w *worker) draw(st *upState) int {
	if st.queue == nil || st.turn != w.turn {
		st.turn, st.drawn = w.turn, int(w.rng.Uint64()%uint64(len(st.socks)))
	}
	return st.drawn
}

// pick returns a random socket of those to the upstream, opening it if need be; none if that fails.
func (w *worker) pick(st *upState) int32 {
	k := w.draw(st)
	si := st.socks[k]
	if si != none {
		s := &w.socks[si]
		if s.uses < socketUses && w.now-s.opened < int64(socketAge) {
			s.uses++
			return si
		}
		w.retireSocket(si)
	}
	fd, err := sock.Connect(st.server.Addr, upstreamBuffer)
	if err != nil {
		w.srv.warnOften("cannot open a socket to an upstream", err)
		return none
	}
	if n := len(w.freeS); n > 0 {
		si = w.freeS[n-1]
		w.freeS = w.freeS[:n-1]
	} else {
		si = int32(len(w.socks))
		w.socks = append(w.socks, upSocket{})
	}
	if err := w.poller.Add(fd, sock.Tag{Kind: tagUpstream, Index: si}, false); err != nil {
		w.srv.warnOften("cannot watch a socket to an upstream", err)
		unix.Close(fd)
		w.freeS = append(w.freeS, si)
		return none
	}
	used := w.socks[si].used // the map of the socket that had this place before
	if used == nil {
		used = new([1 << 16 / 64]uint64)
	} else {
		clear(used[:])
	}
	w.socks[si] = upSocket{fd: fd, gen: w.socks[si].gen + 1, st: st, slot: k, uses: 1, opened: w.now, used: used}
	st.socks[k] = si
	return si
}

// retireSocket takes a socket out of use; it is closed when it waits for nothing more.
func (w *worker) retireSocket(si int32) {
	s := &w.socks[si]
	if s.slot >= 0 {
		s.st.socks[s.slot] = none
		s.slot = int(none)
	}
	w.closeIfDone(si)
}

func (w *worker) closeIfDone(si int32) {
	s := &w.socks[si]
	if s.fd >= 0 && s.slot < 0 && s.pending == 0 {
		s.st.queue.forget(si)
		unix.Close(s.fd) // also leaves the poller
		s.fd, s.st = -1, nil
		w.freeS = append(w.freeS, si)
	}
}

func (w *worker) retireState(st *upState) {
	for _, si := range st.socks {
		if si != none {
			w.retireSocket(si)
		}
	}
}

// sweepSockets closes the sockets that have been open long enough.
func (w *worker) sweepSockets() {
	for si := range w.socks {
		s := &w.socks[si]
		if s.fd >= 0 && s.slot >= 0 && w.now-s.opened >= int64(socketAge) {
			w.retireSocket(int32(si))
		}
	}
}

// freshID draws an id that the socket has not in use.
func (w *worker) freshID(si int32) uint16 {
	for {
		id := uint16(w.rng.Uint64())
		if w.ids.get(idKey(si, id)) == none {
			return id
		}
	}
}

// use notes that an id is waited for.
func (s *upSocket) use(id uint16) {
	s.pending++
	s.st.waiting++
	s.used[id/64] |= 1 << (id % 64)
}

// forget notes that an id is not waited for any more.
func (s *upSocket) forget() {
	s.pending--
	s.st.waiting--
}

// late says whether an answer with this id was waited for since the socket was opened. A socket uses few of the ids, so most guesses of a forger
// are none of them.
func (s *upSocket) late(id uint16) bool { return s.used[id/64]&(1<<(id%64)) != 0 }
