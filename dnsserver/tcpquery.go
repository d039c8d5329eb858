package dnsserver

import (
	"net/netip"
	"sync"
	"time"

	"panteras/dnsserver/route"
	"panteras/dnsserver/upstream"
	"panteras/dnsserver/wire"
)

// Times of a query over TCP: for one server, for one of a stage that another stage follows, which is left as much, and in all.
const (
	tcpAttempt = 2 * time.Second
	tcpFall    = 1500 * time.Millisecond
	tcpTotal   = 4500 * time.Millisecond
)

// tcpQuery is one query on its way. Its steps run one after the other, in different goroutines.
type tcpQuery struct {
	t        *tcpServer
	c        *tcpConn
	cfg      *snapshot
	pkt      []byte
	q        wire.Query
	tgt      *target
	stage    int
	try      upstream.Try
	attempts int
	arrived  int64
	deadline time.Time
	sent     time.Time
}

// rewriters are shared by the TCP queries.
var rewriters = sync.Pool{New: func() any { return wire.NewRewriter() }}

// serveQuery takes over one message and answers it, now or later. It returns false if the connection should end.
func (t *tcpServer) serveQuery(c *tcpConn, pkt []byte) bool {
	cfg := t.srv.cfg.Load()
	x := &tcpQuery{t: t, c: c, cfg: cfg, pkt: pkt, arrived: monotonic()}
	q := &x.q
	switch wire.Parse(pkt, q) {
	case wire.Drop: // nothing of a DNS client
		t.stats.drop(dropMalformed)
		c.answer(nil)
		return false
	case wire.FormErr:
		x.finish(wire.AppendHeader(nil, pkt, wire.RcodeFormErr), route.Recurse, wire.RcodeFormErr)
		return true
	case wire.NotImp:
		x.finish(wire.AppendHeader(nil, pkt, wire.RcodeNotImp), route.Recurse, wire.RcodeNotImp)
		return true
	case wire.BadVers:
		x.finish(x.error(wire.RcodeBadVers, wire.NoEDE, ""), route.Recurse, wire.RcodeBadVers)
		return true
	}
	x.pkt = pkt[:q.End]
	if !cfg.allowed(c.client) { // not any more, since a reload
		t.stats.drop(dropNotAllowed)
		x.finish(x.error(wire.RcodeRefused, wire.NoEDE, ""), route.Recurse, wire.RcodeRefused)
		return false
	}
	var fold [wire.MaxName]byte
	name := q.Fold(fold[:], x.pkt)
	d := cfg.decide(q, name)
	switch d.act {
	case actForward:
		x.tgt = d.tgt
		x.deadline = time.Now().Add(tcpTotal)
		t.stats.inFlight.Add(1)
		x.next()
	case actError:
		x.finish(x.error(d.rcode, d.ede, d.text), d.kind, d.rcode)
	case actDrop:
		t.stats.drop(dropLoop)
		c.answer(nil)
	case actBalancer:
		x.finish(cfg.appendBalancers(nil, x.pkt, q, &d, wire.MaxMessage), d.kind, wire.RcodeSuccess)
	case actLocal:
		m := cfg.answerLocal(x.pkt, q, name, &d, wire.MaxMessage)
		if m == nil {
			m = wire.AppendHeader(nil, pkt, wire.RcodeFormErr)
		}
		x.finish(m, d.kind, wire.Rcode(m))
	}
	return true
}

func (x *tcpQuery) error(rcode, ede int, text string) []byte {
	return wire.AppendError(nil, x.pkt, &x.q, wire.ID(x.pkt), rcode, ede, text, x.cfg.udpSize)
}

// finish answers the client.
func (x *tcpQuery) finish(m []byte, kind route.Kind, rcode int) {
	took := monotonic() - x.arrived
	x.t.stats.answer(kind, tcp, rcode, took)
	if x.q.NameLen > 0 && x.t.srv.queries.every.Load() != 0 {
		x.t.srv.queries.add(x.c.client, x.pkt, &x.q, kind, rcode, took)
	}
	x.c.answer(m)
}

func (x *tcpQuery) forwarded(m []byte) {
	x.t.stats.inFlight.Add(-1)
	x.finish(m, x.tgt.kind, wire.Rcode(m))
}

// next asks the next server, over TCP (RFC 5625 section 4.4: what came over TCP goes out over TCP).
func (x *tcpQuery) next() {
	for {
		st := &x.tgt.stages[x.stage]
		wait := tcpAttempt
		left := x.left(st)
		switch {
		case st.fall:
			wait = tcpFall
		case len(st.group.Servers) == 1:
			wait = left // nobody else to ask
		}
		if x.attempts < maxAttempts && left > 0 {
			if u := st.group.Next(&x.try, x.client(), false); u != nil {
				if x.send(st, u, min(wait, left)) {
					return
				}
				continue
			}
		}
		if !x.fallThrough() {
			ede, text := x.tgt.failure(st, x.client())
			x.forwarded(x.error(wire.RcodeServFail, ede, text))
			return
		}
	}
}

// left is the time that the stage's servers have. However many are silent, the next stage gets its turn.
func (x *tcpQuery) left(st *stage) time.Duration {
	left := time.Until(x.deadline)
	if st.fall {
		left -= tcpFall
	}
	return left
}

func (x *tcpQuery) client() netip.Addr { return x.c.client }

func (x *tcpQuery) fallThrough() bool {
	if !x.tgt.stages[x.stage].fall {
		return false
	}
	x.stage++
	x.attempts = 0
	x.try = upstream.Try{}
	return true
}

func (x *tcpQuery) send(st *stage, u *upstream.Upstream, wait time.Duration) bool {
	m := wire.AppendUpstream(nil, x.pkt, &x.q, wire.ID(x.pkt), st.mp.FromLen, st.mp.To, min(x.q.UDPSize, x.cfg.udpSize), false)
	if m == nil {
		return false
	}
	x.attempts++
	x.sent = time.Now()
	u.Exchange(m, x.sent.Add(wait), func(reply []byte, err error) { x.reply(u, reply, err) })
	return true
}

func (x *tcpQuery) reply(u *upstream.Upstream, m []byte, err error) {
	st := &x.tgt.stages[x.stage]
	switch {
	case err == upstream.ErrRefused: // says nothing about UDP, by which most ask
		u.Unreachable.Add(1)
	case err == upstream.ErrTimeout:
		u.TimedOut()
	case err == nil && !wire.AnswersQuestion(m, x.pkt, &x.q, st.mp.FromLen, st.mp.To):
		u.Mismatches.Add(1)
	case err == nil:
		x.answered(st, u, m)
		return
	}
	x.next()
}

func (x *tcpQuery) answered(st *stage, u *upstream.Upstream, m []byte) {
	u.Answered(time.Since(x.sent))
	rcode := wire.Rcode(m)
	if !st.group.Soft(rcode) {
		st.group.Answered(u)
	} else if other := st.group.Next(&x.try, x.client(), false); other != nil && x.attempts < maxAttempts {
		if left := x.left(st); left > 0 && x.send(st, other, min(tcpAttempt, left)) {
			return
		}
	}
	if x.tgt.fallsOn(x.stage, rcode, x.client()) && x.fallThrough() {
		x.next()
		return
	}
	full := st.full(&x.q, m)
	limit := wire.MaxMessage
	if full && x.q.HasOPT() {
		limit -= fullRoom // in exchange for some additional records
	}
	w := rewriters.Get().(*wire.Rewriter)
	defer rewriters.Put(w)
	out, res := w.Rewrite(m, x.pkt, &x.q, &st.mp, limit, x.cfg.udpSize)
	if res == wire.Broken {
		x.t.stats.drop(dropBrokenAnswer)
		x.next()
		return
	}
	if full {
		x.t.stats.full.Add(1)
		out = wire.AppendEDE(out, &x.q, wire.EDEOther, fullText)
	}
	x.t.stats.result(res)
	if x.cfg.filters(x.client(), x.tgt) {
		out = x.cfg.filterPrivate(out, &x.q, x.t.stats)
	}
	x.tgt.existing(out)
	wire.SetID(out, wire.ID(x.pkt))
	x.forwarded(out)
}
