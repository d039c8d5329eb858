package sock

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"panteras/internal/lab"

	"golang.org/x/sys/unix"
)

// ready waits until something is; a signal of the runtime may end a Wait before.
func ready(p *Poller) (n int) {
	for end := time.Now().Add(20 * time.Second); n == 0 && time.Now().Before(end); {
		n = p.Wait(1000)
	}
	return n
}

func TestPollerTellsWhoIsReady(t *testing.T) {
	t.Parallel()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var fds []int
	var addrs []netip.AddrPort
	for i := range 5 {
		fd, port := bound(t, "127.0.0.1:0")
		fds = append(fds, fd)
		addrs = append(addrs, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
		if err := p.Add(fd, Tag{Kind: int32(i % 2), Index: int32(i)}, i == 4); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.Wait(0); n != 0 {
		t.Fatalf("%d ready before anything came", n)
	}
	if n := p.Wait(1); n != 0 {
		t.Fatalf("%d ready after a millisecond", n)
	}
	p.Remove(fds[2])
	for _, i := range []int{1, 2, 4} {
		c := dial(t, addrs[i])
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	got := map[Tag]bool{}
	for i := range ready(p) {
		got[p.Event(i).Tag] = true
	}
	if len(got) != 2 || !got[Tag{1, 1}] || !got[Tag{0, 4}] {
		t.Errorf("ready: %v", got)
	}
	shut(t, fds[1])
	_, _, _ = unix.Recvfrom(fds[4], make([]byte, 10), 0)
	if n := p.Wait(0); n != 0 {
		t.Errorf("%d ready after all was read or closed", n)
	}
}

// newPollerAndWaker makes both; the waker has kind 7.
func newPollerAndWaker(t *testing.T) (*Poller, *Waker) {
	t.Helper()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	w, err := NewWaker(p, Tag{Kind: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return p, w
}

func TestWakerWakesFromAnywhere(t *testing.T) {
	t.Parallel()
	p, w := newPollerAndWaker(t)
	for range 20 {
		var all sync.WaitGroup
		for range 5 {
			all.Go(w.Wake)
		}
		if n := ready(p); n != 1 || p.Event(0).Kind != 7 {
			t.Fatalf("%d ready, %+v", n, p.Event(0))
		}
		all.Wait()
		w.Clear()
		if n := p.Wait(0); n != 0 {
			t.Fatal("awake after Clear")
		}
	}
}

// What is ready does not end a rest; a signal may.
func TestPollerRests(t *testing.T) {
	t.Parallel()
	p, w := newPollerAndWaker(t)
	w.Wake()
	const rest = 2 * time.Millisecond
	lab.Eventually(t, 10*time.Second, "a rest to last as long as it should", func() bool {
		began := time.Now()
		p.Rest(rest)
		return time.Since(began) >= rest
	})
	if n := ready(p); n != 1 {
		t.Errorf("%d ready after a rest, want what was ready before", n)
	}
}
