package test

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// asker is a client that asks without pause: one question after the other, over
// one socket of its own.
type asker struct {
	network string
	names   []string                                    // in turn
	address string                                      // that each answer must hold
	check   func(name string, reply *dns.Msg) error     // instead of address
	timed   func(asked time.Time, reply *dns.Msg) error // instead of both
}

// load is some askers at work.
type load struct {
	asked  atomic.Int64
	ending chan struct{}
	work   sync.WaitGroup

	mu    sync.Mutex
	wrong []string // what befell the queries that were not answered right
}

// startLoad puts askers to work. Their sockets are opened here, in the network
// namespace of the caller; a TCP client that finds its connection closed, which a
// server may do between two queries (RFC 7766 section 6.2.3), is not made for this.
func startLoad(t testing.TB, server netip.AddrPort, askers ...asker) *load {
	t.Helper()
	l := &load{ending: make(chan struct{})}
	for _, a := range askers {
		conn, err := net.Dial(a.network, server.String())
		if err != nil {
			t.Fatal(err)
		}
		l.work.Go(func() {
			defer conn.Close()
			l.run(&dns.Conn{Conn: conn, UDPSize: dns.MaxMsgSize}, a)
		})
	}
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *load) run(conn *dns.Conn, a asker) {
	for i := 0; ; i++ {
		select {
		case <-l.ending:
			return
		default:
		}
		name := a.names[i%len(a.names)]
		l.asked.Add(1)
		if err := askOnce(conn, a, name); err != nil {
			l.mu.Lock()
			l.wrong = append(l.wrong, fmt.Sprintf("%s over %s: %v", name, a.network, err))
			l.mu.Unlock()
			if a.network == "tcp" {
				return
			}
		}
	}
}

// askOnce asks one question and looks at the answer.
func askOnce(conn *dns.Conn, a asker, name string) error {
	query := ednsQuery(name, dns.TypeA)
	asked := time.Now()
	_ = conn.SetDeadline(asked.Add(patience))
	if err := conn.WriteMsg(query); err != nil {
		return err
	}
	for {
		reply, err := conn.ReadMsg()
		switch {
		case err != nil:
			return err
		case reply.Id != query.Id:
			continue // of a query that we gave up
		case a.timed != nil:
			return a.timed(asked, reply)
		case a.check != nil:
			return a.check(name, reply)
		}
		return hasAddress(reply, a.address)
	}
}

// stop lets each asker end the question that it is at.
func (l *load) stop() {
	select {
	case <-l.ending:
	default:
		close(l.ending)
	}
	l.work.Wait()
}

// stopAndCheck stops the askers and fails the test unless every single query got
// its right answer.
func (l *load) stopAndCheck(t testing.TB) {
	t.Helper()
	l.stop()
	if n := len(l.wrong); n > 0 {
		t.Errorf("%d of %d queries went wrong, such as:\n%s", n, l.asked.Load(), l.wrong[0])
	}
	if l.asked.Load() == 0 {
		t.Error("the load asked nothing")
	}
}

// more waits until the askers have asked n more questions.
func (l *load) more(n int64) func() bool {
	want := l.asked.Load() + n
	return func() bool { return l.asked.Load() >= want }
}
