package dnsserver

import (
	"panteras/dnsserver/upstream"
	"panteras/dnsserver/wire"
)

// noRcode means that no server has given an answer yet, not even one of no use.
const noRcode = -1

// begin sends a flight for the first time.
func (w *worker) begin(fi int32) {
	f := w.flights.at(fi)
	f.deadline = w.queries.at(f.head).arrived + int64(queryLife)
	w.enterStage(f, 0)
	w.next(fi, false)
}

// enterStage starts a stage. One that another stage follows has to leave that one the time.
func (w *worker) enterStage(f *flight, stage int) {
	f.stage, f.stageAtt, f.stageEnd = stage, 0, f.deadline
	f.try, f.soft = upstream.Try{}, noRcode
	if f.tgt.stages[stage].fall {
		f.stageEnd = min(f.deadline, w.now+int64(fallTime))
	}
}

// next asks the next server of the flight's stage. Where there is none to ask, what was asked before may still answer; else the stage is over.
// again allows servers that have been asked before.
func (w *worker) next(fi int32, again bool) {
	if w.ask(fi, again) {
		return
	}
	w.polled(fi)
}

// ask sends the flight's query to the next server, if there is one and time and attempts are left.
func (w *worker) ask(fi int32, again bool) bool {
	f := w.flights.at(fi)
	st := &f.tgt.stages[f.stage]
	for w.now < f.stageEnd && f.stageAtt < stageAttempts && f.nAtt < maxAttempts {
		u := st.group.Next(&f.try, w.queries.at(f.head).client, again)
		if u == nil {
			return false
		}
		if w.sendTo(fi, u) {
			return true
		}
		again = false
	}
	return false
}

// outstanding says whether a server that is not known to be down may still answer.
func (f *flight) outstanding() bool {
	for k := range f.nAtt {
		if a := &f.attempts[k]; a.server != nil && !a.server.Down() {
			return true
		}
	}
	return false
}

// conclude ends a stage that has brought no answer, or none but a refusal: the next one follows, or the clients get to know.
func (w *worker) conclude(fi int32) {
	f := w.flights.at(fi)
	if f.tgt.stages[f.stage].fall {
		w.fallThrough(f)
		w.next(fi, false)
		return
	}
	w.fail(fi)
}

// fallThrough moves the flight to its next stage.
func (w *worker) fallThrough(f *flight) {
	w.releaseAttempts(f)
	f.nAtt = 0
	f.dealt = false
	w.enterStage(f, f.stage+1)
}

// timedOut is called when the last attempt of a flight has got no answer in its time. Earlier attempts stay answerable.
func (w *worker) timedOut(fi int32) {
	f := w.flights.at(fi)
	if !f.slow && f.nAtt > 0 { // many timeouts of one slow name are one failure
		if a := &f.attempts[f.nAtt-1]; a.server != nil {
			f.slow = true
			a.server.TimedOut()
		}
	}
	w.next(fi, true)
}

// polled is called while nothing is left to be asked and answers may still come.
func (w *worker) polled(fi int32) {
	if !w.await(fi) {
		w.conclude(fi)
	}
}

// await lets the flight wait on, if its stage has time left and something may still answer.
func (w *worker) await(fi int32) bool {
	f := w.flights.at(fi)
	if w.now >= f.stageEnd || !f.outstanding() {
		return false
	}
	if f.timer == noTimer {
		w.setTimer(fi, pollTimer)
	}
	return true
}

// fail answers all members with the refusal that came, or with SERVFAIL and says why (RFC 8914).
func (w *worker) fail(fi int32) {
	f := w.flights.at(fi)
	ede, text := f.tgt.failure(&f.tgt.stages[f.stage], w.queries.at(f.head).client)
	rcode := wire.RcodeServFail
	if f.soft != noRcode {
		rcode, ede = f.soft, wire.NoEDE
	}
	for qi := f.head; qi != none; qi = w.queries.at(qi).next {
		qr := w.queries.at(qi)
		m := wire.AppendError(w.outBuf[:0], qr.pkt(), &qr.q, qr.id, rcode, ede, text, w.cfg.udpSize)
		w.send(qr, m, rcode)
	}
	w.endFlight(fi, given{limit: unknownLimit})
}
