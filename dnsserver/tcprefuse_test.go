package dnsserver

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/dnsserver/wire"
	"panteras/internal/lab"
)

// remoteConn is a connection that seems to come from another host.
type remoteConn struct {
	net.Conn
	from net.Addr
}

func (c remoteConn) RemoteAddr() net.Addr { return c.from }

// stranger is outside DNS_ALLOW.
var stranger = &net.TCPAddr{IP: net.IPv4(203, 0, 113, 5), Port: 40000}

// door lets connections in, as clients of whatever address.
type door struct {
	t   *testing.T
	srv *Server
	l   net.Listener
}

func newDoor(t *testing.T) *door {
	t.Helper()
	return newDoorTo(t)
}

// newDoorTo is newDoor with an upstream that does something before it answers.
func newDoorTo(t *testing.T, before ...lab.Action) *door {
	t.Helper()
	up := lab.NewUpstream(t, lab.Script(append(before, lab.Reply(lab.Answers("@ 0 IN A 192.0.2.1")))...))
	d := &door{t: t, srv: newTestServer(t, testSettings(loopbackPort(t), up.Addr, up.Addr))}
	var err error
	if d.l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.l.Close(); d.srv.tcp.drain(); d.srv.tcp.wait() })
	return d
}

// connect returns the client's end of a connection that the server has taken in.
func (d *door) connect(from net.Addr) net.Conn {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.l.Addr().String())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	inside, err := d.l.Accept()
	if err != nil {
		d.t.Fatal(err)
	}
	if from != nil {
		inside = remoteConn{inside, from}
	}
	d.srv.tcp.admit(inside)
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// inside is the server's end of a connection.
func (d *door) inside(conn net.Conn) *tcpConn {
	d.t.Helper()
	d.srv.tcp.mu.Lock()
	defer d.srv.tcp.mu.Unlock()
	for c := range d.srv.tcp.conns {
		if c.conn.RemoteAddr().String() == conn.LocalAddr().String() {
			return c
		}
	}
	d.t.Fatal("the server does not know the connection")
	return nil
}

func (d *door) refused() int {
	d.srv.tcp.mu.Lock()
	defer d.srv.tcp.mu.Unlock()
	return d.srv.tcp.refused
}

// talk sends bytes and returns all that comes back until the server closes.
func (d *door) talk(conn net.Conn, b []byte) []byte {
	d.t.Helper()
	if _, err := conn.Write(b); err != nil {
		d.t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		d.t.Errorf("the connection was not ended well: %v", err)
	}
	return got
}

func TestStrangersAreRefusedOverTCP(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	q := new(dns.Msg).SetQuestion("www.example.", dns.TypeA)
	plain := packed(t, q)
	edns := packed(t, q.Copy().SetEdns0(1232, false))
	noQuestion := append(bytes.Clone(plain[:4]), 0, 0, 0, 0, 0, 0, 0, 0)
	update := bytes.Clone(plain)
	update[2] |= dns.OpcodeUpdate << 3
	for _, test := range []struct {
		name     string
		query    []byte
		question bool // comes back
		edns     bool
	}{
		{"a query", plain, true, false},
		{"a query with EDNS", edns, true, true},
		{"half a query", plain[:20], false, false},
		{"no question", noQuestion, false, false},
		{"an update", update, false, false},
	} {
		got := d.talk(d.connect(stranger), framed(test.query))
		if len(got) < 2+wire.HeaderLen || int(binary.BigEndian.Uint16(got)) != len(got)-2 {
			t.Errorf("%s: got %x", test.name, got)
			continue
		}
		m := new(dns.Msg)
		if err := m.Unpack(got[2:]); err != nil || m.Id != q.Id || !m.Response || m.Rcode != dns.RcodeRefused || len(m.Answer) != 0 {
			t.Errorf("%s: %v, %v", test.name, err, m)
		}
		if len(m.Question) == 1 != test.question || (m.IsEdns0() != nil) != test.edns {
			t.Errorf("%s: %v", test.name, m)
		}
	}
	if got := d.talk(d.connect(stranger), framed([]byte("short"))); len(got) != 0 {
		t.Errorf("an answer to nonsense: %x", got)
	}
	reply := append([]byte{}, plain...)
	reply[2] |= 0x80
	if got := d.talk(d.connect(stranger), framed(reply)); len(got) != 0 {
		t.Errorf("an answer to an answer: %x", got)
	}
	if got := d.srv.tcp.stats.drops[dropNotAllowed].Load(); got != 7 {
		t.Errorf("%d refusals counted, want 7", got)
	}
	lab.Eventually(t, patience, "all places to be free", func() bool { return d.refused() == 0 })
}

// Strangers who say nothing take neither the places of those who may ask, nor more than a few of their own, nor those for long.
func TestStrangersHoldNoPlaces(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	var silent []net.Conn
	for range maxRefused {
		silent = append(silent, d.connect(stranger))
	}
	for range 20 {
		conn := d.connect(stranger)
		if got := d.refused(); got > maxRefused {
			t.Fatalf("%d strangers are served at once", got)
		}
		if got, err := io.ReadAll(conn); len(got) != 0 || err != nil {
			t.Errorf("one too many got %x, %v", got, err)
		}
	}
	q := new(dns.Msg).SetQuestion("www.example.", dns.TypeA)
	conn := &dns.Conn{Conn: d.connect(nil)}
	if err := conn.WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	if m, err := conn.ReadMsg(); err != nil || len(m.Answer) != 1 {
		t.Errorf("who may ask got %v, %v", m, err)
	}
	conn.Close()
	for _, conn := range silent {
		if got, err := io.ReadAll(conn); len(got) != 0 || err != nil {
			t.Fatalf("a silent stranger got %x, %v", got, err)
		}
	}
	lab.Eventually(t, patience, "all places to be free", func() bool { return d.refused() == 0 })
	if got := d.talk(d.connect(stranger), framed(packed(t, q))); len(got) == 0 {
		t.Error("nobody is refused any more")
	}
}

// Two bytes that announce 64 KiB are not worth that much memory; a message that does come is read whole, in whatever pieces.
func TestMemoryIsTakenAsMessagesCome(t *testing.T) {
	// Not parallel: it looks at what the process allocates.
	for have, most := range map[int]uint64{0: 16 << 10, 2: 16 << 10, 3000: 40 << 10} { // with room for what else the process does
		here, there := net.Pipe()
		c := newTCPConn(nil, here, loopback)
		r := bufio.NewReaderSize(here, 1024)
		go func() {
			_, _ = there.Write(make([]byte, have))
			there.Close()
		}()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, ok := c.message(r, wire.MaxMessage)
		runtime.ReadMemStats(&after)
		here.Close()
		if got := after.TotalAlloc - before.TotalAlloc; ok || got > most {
			t.Errorf("%d of %d bytes came: %v, %d bytes allocated, want at most %d", have, wire.MaxMessage, ok, got, most)
		}
	}
	for _, n := range []int{0, 1, 12, 1023, 1024, 1025, 2048, 5000, wire.MaxMessage} {
		here, there := net.Pipe()
		c := newTCPConn(nil, here, loopback)
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i % 251)
		}
		go func() {
			for rest := want; len(rest) > 0; rest = rest[min(700, len(rest)):] {
				_, _ = there.Write(rest[:min(700, len(rest))])
			}
		}()
		got, ok := c.message(bufio.NewReaderSize(here, 1024), n)
		if !ok || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %v, %d came", n, ok, len(got))
		}
		here.Close()
		there.Close()
	}
}
