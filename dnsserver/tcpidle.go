package dnsserver

import "container/heap"

// idleConns finds the connection whose last query or answer is longest ago. Those do not touch it: a connection is never filed under a later time than its own, and
// is looked at when it comes first.
type idleConns []*tcpConn

func (h idleConns) Len() int           { return len(h) }
func (h idleConns) Less(i, j int) bool { return h[i].filed < h[j].filed }
func (h idleConns) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push and Pop are for container/heap.
func (h *idleConns) Push(c any) { *h = append(*h, c.(*tcpConn)) }

// Pop takes the last one.
func (h *idleConns) Pop() any {
	n := len(*h) - 1
	c := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	return c
}

// add files a connection.
func (h *idleConns) add(c *tcpConn) {
	c.filed, c.place = c.active.Load(), len(*h)
	heap.Push(h, c)
}

// remove takes a connection out, if it is still in.
func (h *idleConns) remove(c *tcpConn) {
	if c.place >= 0 {
		heap.Remove(h, c.place)
		c.place = -1
	}
}

// takeOldest takes the idlest connection out; nil if there is none. One that waits for an answer is idle from that on, which is not before now: it goes only if
// all do, and then the first that came to wait.
func (h *idleConns) takeOldest() *tcpConn {
	for start := monotonic(); len(*h) > 0; {
		c := (*h)[0]
		waits, since := c.waits(), c.active.Load()
		if waits && c.filed >= since {
			since = monotonic()
		}
		if c.filed < min(since, start) {
			c.filed = since
			heap.Fix(h, 0)
			continue
		}
		h.remove(c)
		return c
	}
	return nil
}
