package logs

import (
	"sync"
	"time"
)

// queue stands between daemons and a writer that may be slow or hang: one goroutine
// writes what has gathered. It is full from limit bytes on; what comes then is dropped
// and counted.
type queue struct {
	limit int
	// write takes some lines, and how many were dropped before them.
	write func(text []byte, lines, dropped int)

	mu      sync.Mutex
	text    []byte
	lines   int
	dropped int           // since the last write
	total   uint64        // dropped ever
	stalled bool          // nothing was taken for as long as await waits
	writing bool          // the goroutine is in write
	closed  bool          // ends the goroutine when all is written
	work    chan struct{} // something came, or the end; holds one
	moved   chan struct{} // closed and made anew whenever something was taken or written
	done    chan struct{}
}

func newQueue(limit int, write func(text []byte, lines, dropped int)) *queue {
	q := &queue{limit: limit, write: write, work: make(chan struct{}, 1), moved: make(chan struct{}), done: make(chan struct{})}
	go q.run()
	return q
}

// await waits until there is room, for patience at most; once that was in vain it does
// not wait again before something was taken.
func (q *queue) await(patience time.Duration) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		q.mu.Lock()
		free, moved := len(q.text) < q.limit || q.stalled || q.closed, q.moved
		q.mu.Unlock()
		if free {
			return
		}
		select {
		case <-moved:
		case <-timer.C:
			q.mu.Lock()
			q.stalled = true
			q.mu.Unlock()
		}
	}
}

// put queues lines, or drops them when the queue is full. It never waits.
func (q *queue) put(text []byte, lines int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.text) >= q.limit {
		q.dropped += lines
		q.total += uint64(lines)
		return
	}
	q.text, q.lines = append(q.text, text...), q.lines+lines
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.work <- struct{}{}:
	default:
	}
}

// move tells all who wait that there is news.
func (q *queue) move() {
	close(q.moved)
	q.moved = make(chan struct{})
}

func (q *queue) run() {
	defer close(q.done)
	var spare []byte
	for range q.work {
		q.mu.Lock()
		for q.lines > 0 || q.dropped > 0 {
			text, lines, dropped := q.text, q.lines, q.dropped
			q.text, q.lines, q.dropped = spare[:0], 0, 0
			q.stalled, q.writing = false, true
			q.move()
			q.mu.Unlock()
			q.write(text, lines, dropped)
			spare = text
			if cap(spare) > q.limit {
				spare = nil
			}
			q.mu.Lock()
			q.writing = false
			q.move()
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return
		}
	}
}

// lost is how many lines were dropped ever.
func (q *queue) lost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}

// flush waits until everything is written, and tells whether it was in time.
func (q *queue) flush(timeout time.Duration) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		q.mu.Lock()
		idle, moved := q.lines == 0 && !q.writing, q.moved
		q.mu.Unlock()
		if idle {
			return true
		}
		select {
		case <-moved:
		case <-timer.C:
			return false
		}
	}
}

// close takes nothing more and waits until the goroutine has written what there is. One
// that hangs in a write is left behind.
func (q *queue) close(timeout time.Duration) bool {
	q.mu.Lock()
	q.closed = true
	q.wake()
	q.move()
	q.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-q.done:
		return true
	case <-timer.C:
		return false
	}
}
