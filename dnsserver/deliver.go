package dnsserver

import (
	"time"

	"panteras/dnsserver/upstream"
	"panteras/dnsserver/wire"
)

// Consul fills a message up to a limit below 64 KiB and leaves the rest out without a word: 1,024 SRV records, 65,523 bytes over TCP.
// An answer from here on may be such a one.
const (
	consulFullBytes   = 65000
	consulFullRecords = 1024
	fullText          = "Consul fills 64 KiB at most: instances may be missing"
	fullRoom          = 6 + len(fullText) // what the extended error takes
)

// given is how Consul answers a client without EDNS.
type given struct {
	limit int // how many addresses at once; 0: the answer had none
	// all says that there were no more: no pilot is sent then, so while a name is asked for without a pause a limit that Consul has lowered is not seen.
	all bool
}

// Limits: not asked yet, and unless Consul was told otherwise (udp_answer_limit).
const (
	unknownLimit = -1
	usualLimit   = 3
)

// full says whether an answer is as large as Consul makes any.
func (s *stage) full(q *wire.Query, m []byte) bool {
	return s.group.Consul && q.Type == wire.TypeSRV && (len(m) >= consulFullBytes || wire.AnswerCount(m) >= consulFullRecords)
}

// answered handles a genuine answer to a flight.
func (w *worker) answered(fi int32, u *upstream.Upstream, m []byte, sent int64) {
	f := w.flights.at(fi)
	st := &f.tgt.stages[f.stage]
	u.Answered(time.Duration(w.now - sent))
	rcode := wire.Rcode(m)
	if !st.group.Soft(rcode) {
		st.group.Answered(u)
	} else if w.ask(fi, false) || w.await(fi) {
		f.soft = rcode
		return
	}
	if f.tgt.fallsOn(f.stage, rcode, w.queries.at(f.head).client) {
		w.fallThrough(f)
		w.next(fi, false)
		return
	}
	w.deliver(fi, m)
}

// deliver answers all members of a flight with the upstream's reply.
func (w *worker) deliver(fi int32, m []byte) {
	f := w.flights.at(fi)
	st := &f.tgt.stages[f.stage]
	lead := w.queries.at(f.head)
	q := &lead.q
	full := st.full(q, m)
	limit := w.cfg.udpLimit(q)
	if f.dealt {
		limit = wire.MaxMessage
	}
	if st.group.Consul && q.Type != wire.TypeSRV {
		m = wire.Trim(m, q, &st.mp, limit)
	}
	out, res := w.rewriter.Rewrite(m, lead.pkt(), q, &st.mp, limit, w.cfg.udpSize)
	if res == wire.Broken {
		w.stats.drop(dropBrokenAnswer)
		w.next(fi, false)
		return
	}
	if full {
		w.stats.full.Add(1)
		if len(out)+fullRoom <= limit {
			out = wire.AppendEDE(out, q, wire.EDEOther, fullText)
		}
	}
	w.stats.result(res)
	f.tgt.existing(out)
	rcode := wire.Rcode(out)
	var set wire.AddressSet
	if st.group.Consul {
		set = wire.Addresses(out, q.QEnd())
	}
	if f.pilotFor != none {
		if g := w.flights.at(f.pilotFor); g.gen == f.pilotGen && g.dealt && set.N > 0 {
			g.last.limit = set.N
		}
	}
	if f.dealt {
		grown := f.last.all && set.N > f.last.limit
		f.last.all = set.N > 0 && set.Last && set.N <= f.last.limit
		if set.N > 0 && set.Last {
			set.Rotate(out, int(w.rng.Uint64()%uint64(set.N)))
			if f.last.limit == unknownLimit || grown { // the pilot's answer is late, or there was none
				f.last.limit = max(f.last.limit, usualLimit)
			}
			out = set.Cut(out, min(f.last.limit, set.N))
		} else if out, res = wire.Shorten(out, q, w.cfg.udpLimit(q)); res != wire.Whole {
			w.stats.result(res)
		}
	} else if f.n > 1 && set.N > 1 {
		set.Rotate(out, int(w.rng.Uint64()%uint64(set.N)))
	}
	for qi := f.head; qi != none; {
		qr := w.queries.at(qi)
		msg := out
		if w.cfg.filters(qr.client, f.tgt) {
			msg = w.cfg.filterPrivate(out, &qr.q, w.stats)
		}
		wire.SetID(msg, qr.id)
		copy(msg[wire.HeaderLen:], qr.q.Name(qr.pkt()))
		w.send(qr, msg, rcode)
		qi = qr.next
		if qi != none && set.N > 1 {
			set.Rotate(out, 1)
		}
	}
	last := given{limit: set.N}
	if f.dealt && set.N > 0 {
		last = f.last
	}
	w.endFlight(fi, last)
}
