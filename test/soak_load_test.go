package test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
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
	soakRecursor = "192.0.2.1" // of every name that recursors have
	soakService  = "10.1.0.1"  // of every service
	soakHost     = "10.0.0.5"  // of this host
)

var soakServices = []string{"web", "api"}

// soakLost is when a query counts as lost: later than any server answers, and than a busy
// machine delays it.
const soakLost = 12 * time.Second

// soakLoad asks at a steady rate, and looks at each answer. Of twenty queries two are for Consul,
// one for this host, the others for recursors, each of a name of its own.
type soakLoad struct {
	sent, answered, garbage, excused atomic.Int64

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
	close(l.silent)
	for _, s := range l.sockets {
		_ = s.conn.SetReadDeadline(time.Now().Add(soakLost))
	}
	for _, s := range l.sockets {
		<-s.ended
		_ = s.conn.Close()
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
	q := soakQuery{at: time.Now(), want: soakRecursor}
	kind := n % 20
	if s.load.recursed {
		kind = 1
	}
	switch kind {
	case 0, 10:
		q.consul, q.want, q.name = true, soakService, soakServices[n/20%len(soakServices)]+".service.consul"
	case 5:
		q.want, q.name = soakHost, "node-7"
	default:
		q.name = fmt.Sprintf("n%d.s%d.example.org", n, number)
	}
	m := plainQuery(q.name, dns.TypeA)
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
	want := netip.MustParseAddr(q.want).As4()
	if message[3]&15 == dns.RcodeSuccess && message[7] == 1 && bytes.Contains(message, want[:]) {
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

// quickRecursor serves on port 53 of an address, over UDP, with one address for every name.
func quickRecursor(t testing.TB, address string) {
	t.Helper()
	udp, _ := hold(t, port53(address))
	serveQuickly(t, udp, func([]byte) bool { return true })
}

// serveQuickly answers those queries that it is told to with the address of recursors: little work, so
// that there is more for the server under test. The name is in wire form.
func serveQuickly(t testing.TB, udp *net.UDPConn, answers func(name []byte) bool) {
	t.Helper()
	roomy(udp)
	ended := make(chan struct{})
	want := netip.MustParseAddr(soakRecursor).As4()
	record := append([]byte{0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4}, want[:]...)
	go func() {
		defer close(ended)
		for buf := make([]byte, 4096); ; {
			n, from, err := udp.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			end := 12
			for end < n && buf[end] != 0 {
				end += 1 + int(buf[end])
			}
			if end += 5; end > n || !answers(buf[12:end-4]) {
				continue
			}
			copy(buf[2:], []byte{0x80 | buf[2], 0x80, 0, 1, 0, 1, 0, 0, 0, 0})
			_, _ = udp.WriteToUDPAddrPort(append(buf[:end:end], record...), from)
		}
	}()
	t.Cleanup(func() { _ = udp.Close(); <-ended })
}
