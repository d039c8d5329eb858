package dnsserver

import (
	"slices"

	"golang.org/x/sys/unix"

	"panteras/dnsserver/sock"
)

// upQueueBytes is room for as many queries as one system call takes from clients, of the usual length.
const upQueueBytes = clientBatch * 256

// upQueue collects queries to one upstream that leave from one socket.
type upQueue struct {
	box  *sock.Burst
	sock int32
	sent int                 // how many of the list have left, while they are being sent
	list [clientBatch]queued // for each datagram in box
}

// queued is a flight's query on its way.
type queued struct {
	flight int32
	gen    uint32
	id     uint16
}

func newUpQueue() *upQueue { return &upQueue{box: sock.NewBurst(clientBatch, upQueueBytes)} }

// forget drops what is to leave from a socket that nobody waits for any more.
func (q *upQueue) forget(si int32) {
	if q != nil && q.sock == si {
		q.box.Clear()
	}
}

// enqueue takes a query that will be sent with others. It returns false if it must be sent alone.
func (w *worker) enqueue(st *upState, si, fi int32, id uint16, m []byte) bool {
	q := st.queue
	if q == nil || w.flushing {
		return false
	}
	at := q.box.Len()
	if !q.box.Add(w.socks[si].fd, m) {
		return false
	}
	if at == 0 {
		q.sock, q.sent = si, 0
		w.queues = append(w.queues, st)
	}
	q.list[at] = queued{fi, w.flights.at(fi).gen, id}
	return true
}

// flushQueues sends what was collected for upstreams.
func (w *worker) flushQueues() {
	if len(w.queues) == 0 {
		return
	}
	w.flushing = true // what fails over is sent at once
	for i, st := range w.queues {
		w.flushQueue(st)
		w.queues[i] = nil
	}
	w.queues = w.queues[:0]
	w.flushing = false
}

func (w *worker) flushQueue(st *upState) {
	q := st.queue
	added := q.list
	for i, from := range q.box.Arrange() {
		q.list[i] = added[from]
	}
	told, short := false, false // the socket had an error; it may have had one, which the kernel has forgotten
	for i := 0; i < q.box.Len(); {
		q.sent = i
		n, errno := q.box.Send(i)
		switch {
		case errno == 0:
			left := q.list[i : i+n]
			if short {
				w.unreachable(q.sock, none) // all that left before
			}
			if (told || short) && st.server.Down() { // the error said so
				for _, one := range left {
					w.unsent(q.sock, one)
				}
			}
			short = n < q.box.Len()-i
			i, told = i+n, false
		case errno == unix.EAGAIN || errno == unix.ENOBUFS:
			i++ // a full queue loses the datagram like any network; the timer sends it again
		case errno == unix.ECONNREFUSED && !told:
			told = true // what Send returned was meant for an earlier query of this socket
			w.unreachable(q.sock, none)
		default:
			st.server.Refused()
			w.unsent(q.sock, q.list[i])
			i, told = i+1, false
		}
	}
	q.box.Clear()
}

// unsent lets a flight go on as if its query had not been sent.
func (w *worker) unsent(si int32, one queued) {
	f := w.flights.at(one.flight)
	if f.gen != one.gen || f.tgt == nil {
		return
	}
	for k := range f.nAtt {
		if a := &f.attempts[k]; a.sock == si && a.id == one.id {
			w.releaseAttempt(a)
			if k == f.nAtt-1 {
				f.nAtt--
				f.stageAtt--
			}
			w.next(one.flight, false)
			return
		}
	}
}

// holds says whether a flight's query has not left a socket yet.
func (q *upQueue) holds(si, fi int32, gen uint32) bool {
	if q == nil || q.sock != si || q.sent > q.box.Len() {
		return false
	}
	return slices.ContainsFunc(q.list[q.sent:q.box.Len()], func(one queued) bool { return one.flight == fi && one.gen == gen })
}
