package lab

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// client is one socket or connection towards an upstream.
type client struct {
	*dns.Conn
	t testing.TB
}

// dial connects to an upstream; what the test forgets to read is no leak.
func dial(t testing.TB, u *Upstream, network string) client {
	t.Helper()
	conn, err := net.Dial(network, u.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return client{&dns.Conn{Conn: conn, UDPSize: dns.MaxMsgSize}, t}
}

// ask sends a query and returns it.
func (c client) ask(name string, qtype, size uint16) *dns.Msg {
	c.t.Helper()
	query := new(dns.Msg).SetQuestion(name, qtype)
	if size > 0 {
		query.SetEdns0(size, false)
	}
	if err := c.WriteMsg(query); err != nil {
		c.t.Fatal(err)
	}
	return query
}

// reply reads the next message.
func (c client) reply() *dns.Msg {
	c.t.Helper()
	reply, err := c.ReadMsg()
	if err != nil {
		c.t.Fatal(err)
	}
	return reply
}

// quiet fails the test if a message arrives within a moment.
func (c client) quiet() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if reply, err := c.ReadMsg(); !isTimeout(err) {
		c.t.Errorf("expected silence, got %v, %v", reply, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestEdits(t *testing.T) {
	t.Parallel()
	const asked = "Python.Service.consul."
	for name, test := range map[string]struct {
		edit  Edit
		check func(query, reply *dns.Msg) bool
	}{
		"Answers": {Answers("@ 5 IN A 192.0.2.1", "other.consul. 5 IN A 192.0.2.2"), func(_, r *dns.Msg) bool {
			return len(r.Answer) == 2 && r.Answer[0].Header().Name == asked && r.Answer[1].Header().Name == "other.consul."
		}},
		"Authority":     {Authority("consul. 0 IN SOA a. b. 1 2 3 4 5"), func(_, r *dns.Msg) bool { return len(r.Ns) == 1 }},
		"Extra":         {Extra("a. 0 IN A 192.0.2.1"), func(_, r *dns.Msg) bool { return len(r.Extra) == 2 && r.Extra[1].Header().Rrtype == dns.TypeOPT }},
		"SRV":           {SRV(3), func(_, r *dns.Msg) bool { return len(r.Answer) == 3 && len(r.Extra) == 4 }},
		"Rcode":         {Rcode(dns.RcodeNameError), func(_, r *dns.Msg) bool { return r.Rcode == dns.RcodeNameError }},
		"Truncated":     {edits(SRV(3), Truncated()), func(_, r *dns.Msg) bool { return r.Truncated && len(r.Answer) == 0 && len(r.Extra) == 1 }},
		"NoEDNS":        {NoEDNS(), func(_, r *dns.Msg) bool { return r.IsEdns0() == nil }},
		"WrongID":       {WrongID(), func(q, r *dns.Msg) bool { return q.Id != r.Id }},
		"WrongQuestion": {WrongQuestion("evil.example"), func(_, r *dns.Msg) bool { return r.Question[0].Name == "evil.example." }},
		"NoQuestion":    {NoQuestion(), func(_, r *dns.Msg) bool { return len(r.Question) == 0 }},
		"LowerCase": {edits(SRV(1), LowerCase()), func(_, r *dns.Msg) bool {
			return r.Question[0].Name == "python.service.consul." && r.Answer[0].Header().Name == "python.service.consul."
		}},
		"SwapCase": {SwapCase(), func(_, r *dns.Msg) bool { return r.Question[0].Name == "pYTHON.sERVICE.CONSUL." }},
		"the reply": {edits(), func(q, r *dns.Msg) bool {
			return r.Id == q.Id && r.Response && r.RecursionAvailable && r.IsEdns0() != nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, NewUpstream(t, Script(Reply(test.edit))), "udp")
			query := c.ask(asked, dns.TypeSRV, 1232)
			if reply := c.reply(); !test.check(query, reply) {
				t.Errorf("got:\n%v", reply)
			}
		})
	}
}

func TestSilenceDuplicatesAndLateness(t *testing.T) {
	t.Parallel()
	late := make(chan struct{})
	u := NewUpstream(t, func(q *Query) []Action {
		switch q.Number {
		case 1:
			return nil
		case 2:
			return []Action{Reply(), Reply()}
		case 3:
			return []Action{Until(late), Reply(Rcode(dns.RcodeRefused))}
		}
		return []Action{Delay(20 * time.Millisecond), Reply()}
	})
	c := dial(t, u, "udp")
	c.ask("dropped.", dns.TypeA, 0)
	c.quiet()
	twice := c.ask("twice.", dns.TypeA, 0)
	if a, b := c.reply(), c.reply(); a.Id != twice.Id || b.Id != twice.Id {
		t.Errorf("not the same reply twice: %v, %v", a, b)
	}
	held := c.ask("late.", dns.TypeA, 0)
	Eventually(t, 10*time.Second, "the late query to arrive", func() bool { return u.Asked("LATE", dns.TypeA) == 1 })
	asked := time.Now()
	delayed := c.ask("delayed.", dns.TypeA, 0)
	if got := c.reply(); got.Id != delayed.Id || time.Since(asked) < 20*time.Millisecond {
		t.Errorf("after %v got %v", time.Since(asked), got)
	}
	close(late)
	if got := c.reply(); got.Id != held.Id {
		t.Errorf("wanted the late reply, got %v", got)
	}
}

func TestGarbageAndRawBytes(t *testing.T) {
	t.Parallel()
	u := NewUpstream(t, Script(Garbage(30), Bytes([]byte("hello"))))
	c := dial(t, u, "udp")
	if _, err := c.Conn.Write([]byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]byte{append([]byte{1, 2}, bytes.Repeat([]byte{0xff}, 28)...), []byte("hello")} {
		buf := make([]byte, 100)
		n, err := c.Conn.Conn.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Errorf("got %x, %v, want %x", buf[:n], err, want)
		}
	}
	if got := u.Stats(); got.Malformed != 1 {
		t.Errorf("%+v", got)
	}
}

func TestAMalformedQueryGetsFormErr(t *testing.T) {
	t.Parallel()
	c := dial(t, NewUpstream(t, Script(Reply(LowerCase(), Answers("@ 0 IN A 192.0.2.1")))), "udp")
	if _, err := c.Conn.Write([]byte{0xab, 0xcd, 3}); err != nil {
		t.Fatal(err)
	}
	if got := c.reply(); got.Id != 0xabcd || got.Rcode != dns.RcodeFormatError {
		t.Errorf("got %v", got)
	}
}

func TestStatsTellPortsAndIdsApart(t *testing.T) {
	t.Parallel()
	u := NewUpstream(t, Script(Reply()))
	for range 3 {
		c := dial(t, u, "udp")
		c.ask("a.", dns.TypeA, 0)
		c.reply()
		c.ask("A.", dns.TypeA, 0)
		c.reply()
	}
	c := dial(t, u, "tcp")
	c.ask("a.", dns.TypeSRV, 0)
	c.reply()
	got := u.Stats()
	if got.UDP != 6 || got.TCP != 1 || got.Connections != 1 || got.Sources != 3 || got.IDs < 5 {
		t.Errorf("%+v", got)
	}
	if a, srv := u.Asked("a", dns.TypeA), u.Asked("a.", dns.TypeSRV); a != 6 || srv != 1 {
		t.Errorf("A asked %d times, SRV %d", a, srv)
	}
}

func TestAClosedPortRefuses(t *testing.T) {
	t.Parallel()
	u := NewUpstream(t, Script(Reply()))
	udp, tcp := dial(t, u, "udp"), dial(t, u, "tcp")
	u.CloseUDP()
	udp.ask("a.", dns.TypeA, 0)
	if _, err := udp.ReadMsg(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("over UDP: %v, want an ICMP error", err)
	}
	u.CloseTCP()
	if _, err := tcp.ReadMsg(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("on a connection: %v, want its end", err)
	}
	if _, err := net.Dial("tcp", u.Addr.String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("over TCP: %v", err)
	}
	u.OpenUDP()
	u.OpenTCP()
	for _, network := range []string{"udp", "tcp"} {
		c := dial(t, u, network)
		c.ask("a.", dns.TypeA, 0)
		c.reply()
	}
}

func TestAPausedUpstreamIsSilentUntilItResumes(t *testing.T) {
	t.Parallel()
	u := NewUpstream(t, Script(Reply()))
	u.Pause()
	u.Pause()
	udp, tcp := dial(t, u, "udp"), dial(t, u, "tcp")
	udp.ask("a.", dns.TypeA, 0)
	tcp.ask("a.", dns.TypeA, 0)
	udp.quiet()
	tcp.quiet()
	u.Resume()
	u.Resume()
	udp.reply()
	tcp.reply()
}
