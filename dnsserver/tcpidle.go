package dnsserver

import "container/heap"

// idleConns finds the connection whose last query is longest ago. A query does not touch it: what a connection is filed under may be over, and is looked at when it comes
// first.
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
	c.filed, c.place = c.order(), len(*h)
	heap.Push(h, c)
}

// remove takes a connection out, if it is still in.
func (h *idleConns) remove(c *tcpConn) {
	if c.place >= 0 {
		heap.Remove(h, c.place)
		c.place = -1
	}
}

// waitsOrder puts the connections that wait for an answer behind all others.
const waitsOrder = int64(1) << 62

// order is what tells which of two connections makes room first: the lesser one's.
func (c *tcpConn) order() int64 {
	if c.waits() {
		return c.active.Load() + waitsOrder
	}
	return c.active.Load()
}

// takeOldest takes the idlest connection out; nil if there is none. One that waits for an answer goes only if all do.
func (h *idleConns) takeOldest() *tcpConn {
	for len(*h) > 0 {
		c := (*h)[0]
		if order := c.order(); order != c.filed {
			c.filed = order
			heap.Fix(h, 0)
			continue
		}
		h.remove(c)
		return c
	}
	return nil
}
