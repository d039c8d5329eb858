package test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// What the queries of a soak ask for, and what must come.
const (
	soakRecursor  = "192.0.2.1" // of every name that recursors have
	soakRecursor6 = "2001:db8::1"
	soakService   = "10.1.0.1" // of every service
	soakHost      = "10.0.0.5" // of this host
)

var soakServices = []string{"web", "api"}

// soakLost is when a query counts as lost: later than any server answers, and than a busy
// machine delays it.
const soakLost = 12 * time.Second

// soakLoad asks at a steady rate, and looks at each answer. Of twenty queries two are for Consul, one of
// them for SRV, one for this host, the others for recursors, each of a name of its own; one of these is
// for AAAA and two have EDNS.
type soakLoad struct {
	t                                testing.TB
	sent, answered, garbage, excused atomic.Int64
	began                            time.Time
	took                             time.Duration // that it asked for
	dropped                          int           // datagrams that found the buffers of its sockets full: it alone is to blame for those

	recursed bool // only names that recursors have are asked for
	over     chan struct{}
	silent   chan struct{} // nobody asks any more
	senders  sync.WaitGroup
	sockets  []*soakSocket

	mu      sync.Mutex
	wrong   []string
	windows []window
}

// window is a time in which names of Consul may fail; to is zero while it lasts.
type window struct{ from, to time.Time }

// soakSocket is one client.
type soakSocket struct {
	load   *soakLoad
	conn   *net.UDPConn
	mu     sync.Mutex
	flying map[uint16]soakQuery
	lost   []string
	ended  chan struct{} // the receiver
}

// soakQuery is one that has no answer yet.
type soakQuery struct {
	at     time.Time
	consul bool
	want   string
	name   string
}

// soakSockets is how many clients there are.
const soakSockets = 8

func startSoakLoad(t testing.TB, server netip.AddrPort, rate int) *soakLoad {
	t.Helper()
	return (&soakLoad{}).start(t, server, rate)
}

func (l *soakLoad) start(t testing.TB, server netip.AddrPort, rate int) *soakLoad {
	t.Helper()
	l.t, l.began = t, time.Now()
	l.over, l.silent = make(chan struct{}), make(chan struct{})
	for i := range soakSockets {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
		if err != nil {
			t.Fatal(err)
		}
		roomy(conn)
		s := &soakSocket{load: l, conn: conn, flying: map[uint16]soakQuery{}, ended: make(chan struct{})}
		l.sockets = append(l.sockets, s)
		go s.receive()
		vandal, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server)) // a damaged query may be a good one with another's id
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, vandal) }() // until it is closed: what a full buffer drops is counted
		l.senders.Go(func() {
			defer vandal.Close()
			s.send(vandal, i, rate/soakSockets)
		})
	}
	t.Cleanup(func() { l.stop() })
	return l
}

// roomy makes a socket's buffer larger than the machine's limit, which root may.
func roomy(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) })
}

// stop ends the asking and waits for the answers that are due.
func (l *soakLoad) stop() {
	select {
	case <-l.over:
		return
	default:
		close(l.over)
	}
	l.senders.Wait()
	l.took = time.Since(l.began)
	close(l.silent)
	for _, s := range l.sockets {
		_ = s.conn.SetReadDeadline(time.Now().Add(soakLost))
	}
	for _, s := range l.sockets {
		<-s.ended
	}
	l.dropped = droppedAt(l.t, l.sockets)
	for _, s := range l.sockets {
		_ = s.conn.Close()
	}
}

// rate is how many queries a second were asked.
func (l *soakLoad) rate() float64 {
	return float64(l.sent.Load()+l.garbage.Load()) / l.took.Seconds()
}

// judge fails the test for what went wrong, once the load has stopped. A query may be lost for each datagram that the load's own sockets dropped. Where SOAKRATE
// says how much is asked, it must be asked.
func (l *soakLoad) judge(t testing.TB, rate int) {
	t.Helper()
	lost := l.lost()
	t.Logf("%d queries (%d of them garbage), %.0f a second of %d wanted; %d without an answer (full sockets dropped %d datagrams of the test's own, and %d others), %d with a wrong one, %d failed while Consul restarted",
		l.sent.Load()+l.garbage.Load(), l.garbage.Load(), l.rate(), rate, len(lost), l.dropped, droppedByKernel(t)-l.dropped, len(l.wrong), l.excused.Load())
	if len(l.wrong) > 0 {
		t.Errorf("%d wrong answers, such as: %s", len(l.wrong), l.wrong[0])
	}
	if len(lost) > l.dropped {
		t.Errorf("%d queries without an answer, such as: %s", len(lost), lost[0])
	}
	if l.answered.Load() == 0 {
		t.Error("nothing was asked")
	}
	if os.Getenv("SOAKRATE") != "" && l.rate() < .9*float64(rate) {
		t.Errorf("only %.0f queries a second were asked; set SOAKRATE to what this machine can do", l.rate())
	}
}

// lost are the queries without an answer, once the load has stopped.
func (l *soakLoad) lost() []string {
	var all []string
	for _, s := range l.sockets {
		s.expire(time.Now().Add(soakLost))
		all = append(all, s.lost...)
	}
	return all
}

func (l *soakLoad) windowOpens() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.windows = append(l.windows, window{from: time.Now()})
}

func (l *soakLoad) windowCloses() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.windows[len(l.windows)-1].to = time.Now()
}

// excuses says whether a query for Consul was on its way in a window: the server gives one 4.5 s.
func (l *soakLoad) excuses(q soakQuery) bool {
	if !q.consul {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.windows {
		if q.at.Add(5*time.Second).After(w.from) && (w.to.IsZero() || q.at.Before(w.to)) {
			return true
		}
	}
	return false
}

// send asks at a steady rate: so many every few milliseconds, and after a pause all that were due.
func (s *soakSocket) send(vandal net.Conn, number, rate int) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	random := rand.New(rand.NewPCG(uint64(number), 1))
	start := time.Now()
	for n, most := 0, rate/10+1; ; {
		select {
		case <-s.load.over:
			return
		case <-tick.C:
		}
		due := int(time.Since(start).Seconds()*float64(rate)) - n
		for range min(due, most) {
			n++
			if n%100 == 0 {
				if query, err := plainQuery(fmt.Sprintf("n%d.g%d.example.org", n, number), dns.TypeA).Pack(); err == nil {
					_, _ = vandal.Write(garbage(random, query))
					s.load.garbage.Add(1)
				}
				continue
			}
			s.ask(number, n)
		}
		if due > most { // this machine cannot: be slower, not bursty
			start = start.Add(time.Duration(float64(due-most) / float64(rate) * float64(time.Second)))
		}
		if n%1000 < most {
			s.expire(time.Now())
		}
	}
}

func (s *soakSocket) ask(number, n int) {
	q := soakQuery{at: time.Now(), name: fmt.Sprintf("n%d.s%d.example.org", n, number), want: soakRecursor}
	qtype, edns := dns.TypeA, false
	switch kind := n % 20; {
	case kind == 3:
		edns = true
	case kind == 7:
		q.want, qtype, edns = soakRecursor6, dns.TypeAAAA, true
	case s.load.recursed:
	case kind == 0:
		q.consul, q.want, q.name = true, soakService, soakServices[n/20%len(soakServices)]+".service.consul"
	case kind == 10:
		q.consul, q.want, q.name = true, soakService, soakServices[n/20%len(soakServices)]+".service.consul"
		qtype, edns = dns.TypeSRV, n/20%4 < 2
	case kind == 5:
		q.want, q.name = soakHost, "node-7"
	}
	m := plainQuery(q.name, qtype)
	if edns {
		m = ednsQuery(q.name, qtype)
	}
	m.Id = uint16(n)
	message, err := m.Pack()
	if err != nil {
		return
	}
	s.mu.Lock()
	s.flying[m.Id] = q
	s.mu.Unlock()
	s.load.sent.Add(1)
	_, _ = s.conn.Write(message)
}

// garbage is bytes without sense, or a query that was damaged on its way: any of its bits may be another, and its end may be missing.
func garbage(random *rand.Rand, query []byte) []byte {
	message := make([]byte, random.IntN(200))
	if random.IntN(2) == 0 {
		message = slices.Clone(query)
		for range 1 + random.IntN(8) {
			message[random.IntN(len(message))] ^= 1 << random.IntN(8)
		}
		return message[:1+random.IntN(len(message))]
	}
	for i := range message {
		message[i] = byte(random.Uint32())
	}
	return message
}

func (s *soakSocket) receive() {
	defer close(s.ended)
	for buf := make([]byte, dns.MaxMsgSize); ; {
		n, err := s.conn.Read(buf)
		if err != nil {
			return
		}
		if n >= 12 {
			s.answer(buf[:n])
		}
		select {
		case <-s.load.silent:
			if s.idle() {
				return
			}
		default:
		}
	}
}

func (s *soakSocket) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.flying) == 0
}

// answer looks at one answer: it ends with the address that it is for.
func (s *soakSocket) answer(message []byte) {
	id := binary.BigEndian.Uint16(message)
	s.mu.Lock()
	q, ok := s.flying[id]
	delete(s.flying, id)
	s.mu.Unlock()
	if !ok {
		return // twice, or after it was given up
	}
	s.load.answered.Add(1)
	want := netip.MustParseAddr(q.want).AsSlice()
	if message[3]&15 == dns.RcodeSuccess && message[7] == 1 && bytes.Contains(message, want) {
		return
	}
	if s.load.excuses(q) {
		s.load.excused.Add(1)
		return
	}
	s.load.mu.Lock()
	defer s.load.mu.Unlock()
	s.load.wrong = append(s.load.wrong, fmt.Sprintf("%s, asked at %s: %x", q.name, q.at.Format(time.TimeOnly), message))
}

// expire gives up what is too old.
func (s *soakSocket) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, q := range s.flying {
		if now.Sub(q.at) < soakLost {
			continue
		}
		delete(s.flying, id)
		if !s.load.excuses(q) {
			s.lost = append(s.lost, fmt.Sprintf("%s, asked at %s", q.name, q.at.Format(time.TimeOnly)))
		} else {
			s.load.excused.Add(1)
		}
	}
}
