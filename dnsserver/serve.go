package dnsserver

import (
	"hash/maphash"
	"net/netip"

	"panteras/dnsserver/route"
	"panteras/dnsserver/wire"
)

// laneLimit bounds what one worker has in flight for one target. Beyond it the oldest query is given up: its client has
// most likely asked again or gone (newest first).
const laneLimit = 4096

// serve handles one datagram of a client.
func (w *worker) serve(ls *listenSocket, pkt []byte) {
	client := w.peer.Addr()
	if !w.cfg.allowed(client) {
		w.stats.drop(dropNotAllowed)
		return
	}
	if w.peer.Port() == 0 {
		w.stats.drop(dropMalformed)
		return
	}
	q := &w.q
	switch wire.Parse(pkt, q) {
	case wire.OK:
	case wire.Drop:
		w.stats.drop(dropMalformed)
		return
	case wire.FormErr:
		w.answer(ls, wire.AppendHeader(w.outBuf[:0], pkt, wire.RcodeFormErr), route.Recurse, wire.RcodeFormErr)
		return
	case wire.NotImp:
		w.answer(ls, wire.AppendHeader(w.outBuf[:0], pkt, wire.RcodeNotImp), route.Recurse, wire.RcodeNotImp)
		return
	case wire.BadVers:
		w.answer(ls, wire.AppendError(w.outBuf[:0], pkt, q, wire.ID(pkt), wire.RcodeBadVers, wire.NoEDE, "", w.cfg.udpSize), route.Recurse, wire.RcodeBadVers)
		return
	}
	name := q.Fold(w.foldBuf[:], pkt)
	d := w.cfg.decide(q, name)
	switch d.act {
	case actForward:
		w.forward(ls, pkt, name, client, d.tgt)
	case actDrop:
		w.stats.drop(dropLoop)
	case actError:
		w.logQuery(client, pkt, q, d.kind, d.rcode, 0)
		w.answer(ls, wire.AppendError(w.outBuf[:0], pkt, q, wire.ID(pkt), d.rcode, d.ede, d.text, w.cfg.udpSize), d.kind, d.rcode)
	case actBalancer:
		w.logQuery(client, pkt, q, d.kind, wire.RcodeSuccess, 0)
		w.answer(ls, w.cfg.appendBalancers(w.outBuf[:0], pkt, q, &d, w.cfg.udpLimit(q)), d.kind, wire.RcodeSuccess)
	case actLocal:
		m := w.cfg.answerLocal(pkt[:q.End], q, name, &d, w.cfg.udpLimit(q))
		if m == nil {
			w.stats.drop(dropMalformed)
			return
		}
		w.logQuery(client, pkt, q, d.kind, wire.Rcode(m), 0)
		w.answer(ls, m, d.kind, wire.Rcode(m))
	}
}

// answer sends what we made ourselves to the peer that was just read.
func (w *worker) answer(ls *listenSocket, m []byte, kind route.Kind, rcode int) {
	w.stats.answer(kind, udp, rcode, 0)
	w.reply(ls.fd, m, &w.peer)
}

// forward takes the query in: it joins the equal ones that are about to be sent, or is sent itself.
func (w *worker) forward(ls *listenSocket, pkt, name []byte, client netip.Addr, tgt *target) {
	l := w.lanes[tgt.index]
	if l.n >= laneLimit {
		w.evict(l)
	}
	qi := w.queries.get()
	qr := w.queries.at(qi)
	qr.on, qr.peer, qr.client = ls, w.peer, client
	qr.id, qr.q, qr.arrived = wire.ID(pkt), w.q, w.now
	qr.big = nil
	if w.q.End <= inlineQuery {
		copy(qr.raw[:], pkt[:w.q.End])
	} else {
		qr.big = append([]byte(nil), pkt[:w.q.End]...)
	}
	l.push(w, qi, qr)

	share := qr.big == nil && tgt.shared(&w.q, name) && !tgt.cameFrom(client)
	var hash uint64
	if share {
		hash = w.hash(qr, name, tgt)
		if fi := w.keys.get(hash); fi != none {
			f := w.flights.at(fi)
			lead := w.queries.at(f.head)
			if f.tgt == tgt && wire.SameQuestion(lead.pkt(), &lead.q, qr.pkt(), &qr.q) {
				w.gather(fi, qi)
				return
			}
			share, hash = false, 0 // another question with the same hash: goes alone
		}
	}
	fi := w.newFlight(tgt)
	w.join(fi, qi)
	f := w.flights.at(fi)
	f.keyed, f.hash = share, hash
	w.launch(fi, given{})
}

// hash is the key under which equal queries gather: all that an upstream can tell apart.
func (w *worker) hash(qr *query, name []byte, tgt *target) uint64 {
	pkt := qr.pkt()
	b := append(w.keyBuf[:0], byte(tgt.index), byte(tgt.index>>8))
	b = append(b, pkt[2:wire.HeaderLen]...)
	b = append(b, name...)
	b = append(b, pkt[wire.HeaderLen+qr.q.NameLen:]...)
	return maphash.Bytes(w.seed, b)
}

// push puts a query at the end of the lane.
func (l *lane) push(w *worker, qi int32, qr *query) {
	qr.lane = l
	qr.lanePrev, qr.laneNext = l.tail, none
	if l.tail == none {
		l.head = qi
	} else {
		w.queries.at(l.tail).laneNext = qi
	}
	l.tail = qi
	l.n++
}

func (l *lane) remove(w *worker, qr *query) {
	if qr.lanePrev == none {
		l.head = qr.laneNext
	} else {
		w.queries.at(qr.lanePrev).laneNext = qr.laneNext
	}
	if qr.laneNext == none {
		l.tail = qr.lanePrev
	} else {
		w.queries.at(qr.laneNext).lanePrev = qr.lanePrev
	}
	l.n--
}

// evict gives up the oldest query of a lane, without an answer.
func (w *worker) evict(l *lane) {
	qi := l.head
	fi := w.queries.at(qi).flight
	w.stats.drop(dropOverload)
	w.leave(fi, qi)
	if w.flights.at(fi).n == 0 {
		w.endFlight(fi, given{limit: unknownLimit})
	}
}
