package dnsserver

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"panteras/dnsserver/sock"
	"panteras/dnsserver/upstream"
	"panteras/dnsserver/wire"
)

// srvUDPSize is told to a Consul on this host for SRV: loopback carries 64 KiB datagrams, and Consul trims to what it is told without a word.
const srvUDPSize = wire.MaxMessage

// sendTo sends the flight's query to one server. It returns false if that failed at once and another one should be asked.
func (w *worker) sendTo(fi int32, u *upstream.Upstream) bool {
	f := w.flights.at(fi)
	lead := w.queries.at(f.head)
	st := &f.tgt.stages[f.stage]
	if st.group.Consul && lead.q.Type == wire.TypeSRV && !u.Local {
		return w.sendStream(fi, u)
	}
	size, add := min(lead.q.UDPSize, w.cfg.udpSize), f.dealt
	if f.dealt {
		size = w.cfg.udpSize
	}
	if st.group.Consul && lead.q.Type == wire.TypeSRV {
		size, add = srvUDPSize, true
	}
	state := w.states[u]
	if state == nil { // removed from the settings a moment ago
		state = newUpState(u)
		w.states[u] = state
	}
	si := w.pick(state)
	if si == none {
		return false
	}
	id := w.freshID(si)
	m := wire.AppendUpstream(w.outBuf[:0], lead.pkt(), &lead.q, id, st.mp.FromLen, st.mp.To, size, add)
	if m == nil {
		return false // the name does not fit under the other suffix, so it exists nowhere there
	}
	// What a pilot asks must come first, and queries that leave together change places.
	if f.pilotFor != none || !w.enqueue(state, si, fi, id, m) {
		sent := false
		if id, sent = w.sendAlone(u, si, fi, id, m); !sent {
			return false
		}
	}
	w.ids.put(idKey(si, id), fi)
	w.socks[si].use(id)
	w.record(fi, attempt{server: u, sock: si, id: id, sent: w.now})
	return true
}

// sendAlone sends a query to one server, and returns its id. It returns false if that failed.
func (w *worker) sendAlone(u *upstream.Upstream, si, fi int32, id uint16, m []byte) (uint16, bool) {
	errno := sock.Send(w.socks[si].fd, m)
	if errno == unix.ECONNREFUSED { // that was meant for an earlier query of this socket
		m = slices.Clone(m) // what fails over is written where it lies
		gen := w.socks[si].gen
		w.unreachable(si, fi)
		if s := &w.socks[si]; s.fd < 0 || s.gen != gen {
			return id, false // its place is another's by now
		}
		id = w.freshID(si) // the one drawn before may be in use by now
		wire.SetID(m, id)
		errno = sock.Send(w.socks[si].fd, m)
	}
	switch errno {
	case 0, unix.EAGAIN, unix.ENOBUFS: // a full queue loses the datagram like any network; the timer sends it again
	default:
		u.Refused()
		return id, false
	}
	return id, !u.Down() // the error that Send returned said so
}

// record notes an attempt and waits for its answer, as long as the number of attempts before it says. If the stage has not that much time left, the
// end is looked out for in small steps.
func (w *worker) record(fi int32, a attempt) {
	f := w.flights.at(fi)
	f.attempts[f.nAtt] = a
	class := firstAttempt + int8(min(f.stageAtt, stageAttempts-1))
	if a.stream {
		class = max(class, firstStream)
	}
	if w.now+int64(waits[class]) > f.stageEnd+int64(waits[pollTimer]) {
		class = pollTimer
	}
	w.setTimer(fi, class)
	f.nAtt++
	f.stageAtt++
}

// readUpstream takes datagrams from an upstream's socket; epoll reports again if there are more.
func (w *worker) readUpstream(si int32) {
	s := &w.socks[si]
	if s.fd < 0 {
		return
	}
	n, errno := w.fromUp.Receive(s.fd)
	if errno != 0 {
		if errno != unix.EAGAIN && errno != unix.EINTR {
			w.unreachable(si, none)
		}
		return
	}
	w.taken += n
	gen := s.gen
	for i := range n {
		// An answer may have been the last that the socket waited for, and its place may be another's by now.
		if s := &w.socks[si]; s.fd < 0 || s.gen != gen {
			return
		}
		w.heard(si, w.fromUp.Datagram(i))
	}
}

// heard handles one datagram of an upstream.
func (w *worker) heard(si int32, m []byte) {
	s := &w.socks[si]
	if len(m) < wire.HeaderLen {
		s.st.server.Mismatches.Add(1)
		return
	}
	fi := w.ids.get(idKey(si, wire.ID(m)))
	if fi == none {
		if !s.late(wire.ID(m)) {
			s.st.server.Mismatches.Add(1)
			w.suspectForgery(si)
		}
		return
	}
	f := w.flights.at(fi)
	lead := w.queries.at(f.head)
	st := &f.tgt.stages[f.stage]
	if !wire.AnswersQuestion(m, lead.pkt(), &lead.q, st.mp.FromLen, st.mp.To) {
		s.st.server.Mismatches.Add(1)
		return // the true answer may still come (RFC 5452 section 9.1)
	}
	for k := range f.nAtt {
		a := &f.attempts[k]
		if a.sock == si && a.id == wire.ID(m) {
			u, sent := a.server, a.sent
			if s.st.server.Local && s.st.server.Consul {
				w.here, w.hereTook = s.st, time.Duration(w.now-sent)
			}
			w.releaseAttempt(a)
			w.answered(fi, u, m, sent)
			return
		}
	}
}

// unreachable handles an error of a connected socket: the network says that nothing reaches the upstream. All that waits on the socket fails over
// at once, except the flight that is being sent, and those whose queries have not left yet.
func (w *worker) unreachable(si, except int32) {
	s := &w.socks[si]
	st := s.st
	st.server.Refused()
	if s.pending == 0 {
		return
	}
	for _, fi := range w.flightsOn(si) {
		f := w.flights.at(fi)
		if fi == except || f.tgt == nil || st.queue.holds(si, fi, f.gen) {
			continue
		}
		if w.releaseOn(f, si) {
			w.next(fi, false)
		}
	}
}

// releaseOn gives up what a flight waits for on a socket, and says whether there was anything.
func (w *worker) releaseOn(f *flight, si int32) bool {
	found := false
	for k := range f.nAtt {
		if f.attempts[k].sock == si {
			w.releaseAttempt(&f.attempts[k])
			found = true
		}
	}
	return found
}

// suspectForgery is called when an answer came whose id nobody waits for: someone may be guessing ids and has found the port. The port is given up, and
// what waits on it asks over TCP, which cannot be forged blindly (RFC 5452 section 10; BIND GL #5449 does the same).
func (w *worker) suspectForgery(si int32) {
	w.retireSocket(si)
	if w.socks[si].fd < 0 {
		return
	}
	u := w.socks[si].st.server
	for _, fi := range w.flightsOn(si) {
		f := w.flights.at(fi)
		if f.tgt == nil || !w.releaseOn(f, si) {
			continue
		}
		w.stats.moved.Add(1)
		if w.releaseDatagrams(f, u) {
			continue // it is asked over TCP already, and the timer runs
		}
		if f.nAtt >= maxAttempts || w.now >= f.stageEnd || !w.sendStream(fi, u) {
			w.next(fi, false)
		}
	}
}

// releaseDatagrams gives up all that a flight waits for over UDP, and says whether it waits for u over TCP.
func (w *worker) releaseDatagrams(f *flight, u *upstream.Upstream) (asked bool) {
	for k := range f.nAtt {
		switch a := &f.attempts[k]; {
		case !a.stream:
			w.releaseAttempt(a)
		case a.server == u:
			asked = true
		}
	}
	return asked
}

// flightsOn lists the flights that wait on a socket.
func (w *worker) flightsOn(si int32) (list []int32) {
	for i, v := range w.ids.vals {
		if v != none && int32(w.ids.keys[i]>>16) == si {
			list = append(list, v)
		}
	}
	return list
}

// sendStream asks over TCP; the answer comes back as mail. Until the stage ends it is waited for, whatever else is asked meanwhile.
func (w *worker) sendStream(fi int32, u *upstream.Upstream) bool {
	f := w.flights.at(fi)
	lead := w.queries.at(f.head)
	st := &f.tgt.stages[f.stage]
	m := wire.AppendUpstream(nil, lead.pkt(), &lead.q, lead.id, st.mp.FromLen, st.mp.To, w.cfg.udpSize, false)
	if m == nil {
		return false
	}
	gen, stage, k := f.gen, f.stage, f.nAtt
	w.record(fi, attempt{server: u, sock: none, stream: true, sent: w.now})
	deadline := time.Now().Add(time.Duration(f.stageEnd - w.now))
	u.Exchange(m, deadline, func(reply []byte, err error) {
		w.post(func() { w.streamReply(fi, gen, stage, k, u, reply, err) })
	})
	return true
}

// streamReply continues a flight whose k-th attempt went over TCP.
func (w *worker) streamReply(fi int32, gen uint32, stage, k int, u *upstream.Upstream, reply []byte, err error) {
	f := w.flights.at(fi)
	if f.gen != gen || f.tgt == nil || f.stage != stage || f.attempts[k].server != u || !f.attempts[k].stream {
		return // answered meanwhile, or in another stage
	}
	sent := f.attempts[k].sent
	w.releaseAttempt(&f.attempts[k])
	if err == nil {
		lead := w.queries.at(f.head)
		st := &f.tgt.stages[f.stage]
		if wire.AnswersQuestion(reply, lead.pkt(), &lead.q, st.mp.FromLen, st.mp.To) {
			w.answered(fi, u, reply, sent)
			return
		}
		u.Mismatches.Add(1)
	} else if err == upstream.ErrRefused {
		u.Unreachable.Add(1)
	}
	w.next(fi, false)
}
