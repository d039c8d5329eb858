package dnsserver

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"panteras/dnsserver/wire"
	"panteras/internal/lab"
)

// client is one asker with a socket of its own.
type client struct {
	t    testing.TB
	fd   int
	last uint16 // id
	to   *unix.SockaddrInet4
}

func (r *rig) client() *client {
	c := &client{t: r.t, fd: socket(r.t, netip.AddrPortFrom(loopback, 0)), to: &unix.SockaddrInet4{Addr: r.addr.Addr().As4(), Port: int(r.addr.Port())}}
	r.t.Cleanup(func() { unix.Close(c.fd) })
	// Connected, it hears nothing that was meant for a socket that had its port before.
	if err := unix.Connect(c.fd, c.to); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if err := unix.Sendto(c.fd, b, 0, c.to); err != nil {
		c.t.Fatal(err)
	}
}

// ask sends a query under the client's next id.
func (c *client) ask(name string, typ, edns uint16) *dns.Msg {
	c.t.Helper()
	m := new(dns.Msg).SetQuestion(name, typ)
	if edns > 0 {
		m.SetEdns0(edns, false)
	}
	c.msg(m)
	return m
}

// msg sends a query under the client's next id.
func (c *client) msg(m *dns.Msg) {
	c.t.Helper()
	c.last++
	m.Id = c.last
	b, err := m.Pack()
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(b)
}

// receive returns the next datagram, nil if there is none.
func receive(fd int) ([]byte, unix.Sockaddr) {
	buf := make([]byte, wire.MaxMessage)
	n, from, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return nil, nil
	}
	return buf[:n], from
}

// answer returns the next answer, nil if there is none yet.
func (c *client) answer() *dns.Msg {
	c.t.Helper()
	b, _ := receive(c.fd)
	if b == nil {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		c.t.Fatalf("cannot unpack an answer: %v\n%x", err, b)
	}
	return m
}

// answers fails the test unless the next answer is the one to this query, and returns it.
func (c *client) answers(q *dns.Msg) *dns.Msg {
	c.t.Helper()
	m := c.answer()
	if m == nil {
		c.t.Fatalf("no answer to %s", q.Question[0].String())
	}
	if m.Id != q.Id || !m.Response || !slices.Equal(m.Question, q.Question) {
		c.t.Fatalf("not the answer to %v:\n%v", q, m)
	}
	return m
}

// silent fails the test if an answer has come.
func (c *client) silent() {
	c.t.Helper()
	if m := c.answer(); m != nil {
		c.t.Fatalf("unexpected answer %v", m)
	}
}

// fakeServer is an upstream that does nothing by itself: the test takes queries out of its socket and answers them.
type fakeServer struct {
	t    testing.TB
	fd   int
	addr netip.AddrPort
}

func newFakeServer(t testing.TB) *fakeServer {
	t.Helper()
	f := &fakeServer{t: t, addr: netip.AddrPortFrom(loopback, lab.Port(t))}
	f.fd = socket(t, f.addr)
	t.Cleanup(func() { unix.Close(f.fd) })
	return f
}

// upQuery is a query as it arrived at an upstream.
type upQuery struct {
	*dns.Msg
	f    *fakeServer
	from unix.Sockaddr
}

// next returns the next query, nil if there is none.
func (f *fakeServer) next() *upQuery {
	f.t.Helper()
	b, from := receive(f.fd)
	if b == nil {
		return nil
	}
	q := &upQuery{new(dns.Msg), f, from}
	if err := q.Unpack(b); err != nil {
		f.t.Fatalf("cannot unpack a query: %v", err)
	}
	return q
}

// want fails the test unless a query has arrived.
func (f *fakeServer) want() *upQuery {
	f.t.Helper()
	q := f.next()
	if q == nil {
		f.t.Fatal("no query has arrived at the upstream")
	}
	return q
}

// quiet fails the test if a query has arrived.
func (f *fakeServer) quiet() {
	f.t.Helper()
	if q := f.next(); q != nil {
		f.t.Fatalf("unexpected query %v", q.Msg)
	}
}

// reply answers with records in the format of a zone file; "@" is the name asked for.
func (q *upQuery) reply(rcode int, records ...string) {
	q.f.t.Helper()
	m := new(dns.Msg).SetRcode(q.Msg, rcode)
	m.Compress = true
	for _, record := range records {
		rr, err := dns.NewRR(strings.Replace(record, "@", q.Question[0].Name, 1))
		if err != nil {
			q.f.t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	if o := q.IsEdns0(); o != nil {
		m.SetEdns0(o.UDPSize(), o.Do())
	}
	q.send(m)
}

func (q *upQuery) send(m *dns.Msg) {
	q.f.t.Helper()
	b, err := m.Pack()
	if err == nil {
		err = unix.Sendto(q.f.fd, b, 0, q.from)
	}
	if err != nil {
		q.f.t.Fatal(err)
	}
}

// addresses are those of the answer section.
func addresses(m *dns.Msg) (list []string) {
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			list = append(list, rr.A.String())
		case *dns.AAAA:
			list = append(list, rr.AAAA.String())
		}
	}
	return list
}

// raw answers with bytes that need not be a message.
func (q *upQuery) raw(b []byte) {
	q.f.t.Helper()
	if err := unix.Sendto(q.f.fd, b, 0, q.from); err != nil {
		q.f.t.Fatal(err)
	}
}
