package dnsserver

func (w *worker) newFlight(tgt *target) int32 {
	i := w.flights.get()
	f := w.flights.at(i)
	*f = flight{gen: f.gen + 1, head: none, tail: none, behind: none, tgt: tgt, pilotFor: none, timer: noTimer}
	return i
}

// join makes a query a member of a flight.
func (w *worker) join(fi, qi int32) {
	f, qr := w.flights.at(fi), w.queries.at(qi)
	qr.flight = fi
	qr.prev, qr.next = f.tail, none
	if f.tail == none {
		f.head = qi
	} else {
		w.queries.at(f.tail).next = qi
	}
	f.tail = qi
	f.n++
}

// detach takes a query out of its flight, to join another one.
func (w *worker) detach(fi, qi int32) {
	f, qr := w.flights.at(fi), w.queries.at(qi)
	if qr.prev == none {
		f.head = qr.next
	} else {
		w.queries.at(qr.prev).next = qr.next
	}
	if qr.next == none {
		f.tail = qr.prev
	} else {
		w.queries.at(qr.next).prev = qr.prev
	}
	f.n--
}

// leave ends a query.
func (w *worker) leave(fi, qi int32) {
	w.detach(fi, qi)
	qr := w.queries.at(qi)
	qr.lane.remove(w, qr)
	qr.on, qr.lane, qr.big = nil, nil, nil
	w.queries.put(qi)
}

// gather lets a query wait behind the equal one in flight. It may not share that one's answer, which could be older than the query is;
// it shares the next one's, with all that come until that is sent: when the one in flight is answered, or a few milliseconds from now.
func (w *worker) gather(fi, qi int32) {
	f := w.flights.at(fi)
	if f.state == gathering {
		w.join(fi, qi)
		w.stats.shared.Add(1)
		return
	}
	bi := f.behind
	if bi == none {
		bi = w.newFlight(f.tgt)
		f.behind = bi
		b := w.flights.at(bi)
		b.hash = f.hash
		w.join(bi, qi)
		w.setTimer(bi, gatherTimer)
		return
	}
	w.join(bi, qi)
	w.stats.shared.Add(1)
}

// launch sends a flight for the first time. last is what the upstream gave last to who asked the same.
func (w *worker) launch(fi int32, last given) {
	f := w.flights.at(fi)
	w.stopTimer(fi)
	f.state = inFlight
	if f.hash != 0 || f.keyed {
		// The one before, if still in flight, is on its own from here on.
		if old := w.keys.get(f.hash); old != none && old != fi {
			o := w.flights.at(old)
			o.keyed, o.behind = false, none
		}
		f.keyed = true
		w.keys.put(f.hash, fi)
	}
	if f.n > 1 && last.limit != 0 && f.tgt.deals(&w.queries.at(f.head).q) {
		// Consul gives a client without EDNS a few of its addresses, drawn anew for each (udp_answer_limit). One such answer for all members
		// would send them all to the same few. So the first member asks as it came, which tells how many to give, and
		// for the others the whole set is fetched, of which each gets as many from another place. Nobody needs to ask as it came where one client got the whole set.
		f.dealt, f.last = true, last
		if !last.all {
			pi := w.newFlight(f.tgt)
			first := f.head
			w.detach(fi, first)
			w.join(pi, first)
			p := w.flights.at(pi)
			p.state = inFlight
			p.pilotFor, p.pilotGen = fi, f.gen
			w.begin(pi)
		}
	}
	w.begin(fi)
}

// endFlight releases a flight and what it holds, and sends the one behind it.
func (w *worker) endFlight(fi int32, last given) {
	f := w.flights.at(fi)
	members := f.n
	for f.head != none {
		w.leave(fi, f.head)
	}
	w.stopTimer(fi)
	w.releaseAttempts(f)
	behind := f.behind
	if f.state == gathering {
		// Given up before it was sent: the flight it waits behind must not know it any more.
		if o := w.keys.get(f.hash); o == fi {
			w.keys.del(f.hash)
		} else if o != none && w.flights.at(o).behind == fi {
			w.flights.at(o).behind = none
		}
	} else if f.keyed && w.keys.get(f.hash) == fi {
		w.keys.del(f.hash)
	}
	f.tgt = nil
	f.gen++
	w.flights.put(fi)
	switch {
	case behind == none:
	case members >= crowded:
		w.hold(behind, last)
	default:
		w.launch(behind, last)
	}
}

// crowded is how many members make a name one that very many ask for.
const crowded = 16

// hold lets a flight gather for a millisecond more although nothing is before it. Where so many ask at once, one question to Consul costs more than the answers to
// all of them, and the next ones are on their way.
func (w *worker) hold(fi int32, last given) {
	f := w.flights.at(fi)
	f.last, f.keyed = last, true
	w.keys.put(f.hash, fi)
	w.setTimer(fi, crowdTimer)
}

func (w *worker) releaseAttempts(f *flight) {
	for k := range f.nAtt {
		w.releaseAttempt(&f.attempts[k])
	}
}

func (w *worker) releaseAttempt(a *attempt) {
	if a.sock != none {
		w.ids.del(idKey(a.sock, a.id))
		w.socks[a.sock].forget()
		w.closeIfDone(a.sock)
		a.sock = none
	}
	a.server, a.stream = nil, false
}

// send answers one member.
func (w *worker) send(qr *query, m []byte, rcode int) {
	w.stats.answer(qr.lane.kind, udp, rcode, w.now-qr.arrived)
	w.logQuery(qr.client, qr.pkt(), &qr.q, qr.lane.kind, rcode, w.now-qr.arrived)
	w.reply(qr.on.fd, m, &qr.peer)
}
