package test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"panteras/internal/lab"
)

// source serves TCP on the host: whoever connects is sent bytes without end.
func (h *host) source(t testing.TB, address string) {
	t.Helper()
	h.serve(t, address, func(c net.Conn) {
		block := make([]byte, 64<<10)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
}

// sink serves TCP on the host: what it is sent is counted.
func (h *host) sink(t testing.TB, address string) *atomic.Int64 {
	t.Helper()
	var got atomic.Int64
	h.serve(t, address, func(c net.Conn) { count(c, &got) })
	return &got
}

func count(c net.Conn, into *atomic.Int64) {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		into.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// download receives from a source until the test is over, and counts.
func (h *host) download(t testing.TB, address string) *atomic.Int64 {
	t.Helper()
	c, err := h.dial(t, "tcp", address, net.Dialer{})
	if err != nil {
		t.Fatalf("cannot connect to %s: %v", address, err)
	}
	var got atomic.Int64
	go count(c, &got)
	flows(t, &got)
	return &got
}

// flows waits until a counter grows.
func flows(t testing.TB, counter *atomic.Int64) {
	t.Helper()
	before := counter.Load()
	lab.Eventually(t, patience, "traffic to flow", func() bool { return counter.Load() > before })
}

// ceases waits until a counter has not grown for a while, and returns since when it has not.
func ceases(t testing.TB, counter *atomic.Int64, still time.Duration) (since time.Time) {
	t.Helper()
	last, since := counter.Load(), time.Now()
	lab.Eventually(t, patience, "traffic to cease", func() bool {
		if now := counter.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) >= still
	})
	return since
}
