package dnsserver

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// Where all places are taken, the connection whose last query is longest ago makes room for the next one.
func TestTheIdlestConnectionMakesRoom(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	const places = 3
	d.srv.tcp.places = places
	asks := func(conn net.Conn) {
		t.Helper()
		c := &dns.Conn{Conn: conn}
		if err := c.WriteMsg(new(dns.Msg).SetQuestion("node1.", dns.TypeA)); err != nil {
			t.Fatal(err)
		}
		if m, err := c.ReadMsg(); err != nil || len(m.Answer) != 1 {
			t.Fatalf("got %v, %v", m, err)
		}
	}
	var open []net.Conn
	for range places {
		conn := d.connect(nil)
		asks(conn)
		open = append(open, conn)
	}
	asks(open[0]) // the second one is the idlest now
	next := d.connect(nil)
	if got, err := io.ReadAll(open[1]); len(got) != 0 || err != nil {
		t.Errorf("the idlest one got %x, %v, want the end", got, err)
	}
	for _, conn := range []net.Conn{open[0], open[2], next} {
		asks(conn)
	}
	lab.Eventually(t, patience, "no more connections than places", func() bool {
		d.srv.tcp.mu.Lock()
		defer d.srv.tcp.mu.Unlock()
		return len(d.srv.tcp.conns) == places
	})
	if got := d.srv.tcp.stats.drops[dropConnections].Load(); got != 1 {
		t.Errorf("%d connections counted, want 1", got)
	}
	for _, conn := range append(open, next) {
		conn.Close()
	}
	lab.Eventually(t, patience, "nothing to be kept of connections that have ended", func() bool {
		d.srv.tcp.mu.Lock()
		defer d.srv.tcp.mu.Unlock()
		return len(d.srv.tcp.conns)+len(d.srv.tcp.clients)+len(d.srv.tcp.idle) == 0
	})
}

// Who waits for an answer stays, and who has asked comes before who has not.
func TestWhoHasNotAskedMakesRoomFirst(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.srv.tcp.places = 3
	ask := func(conn net.Conn) {
		t.Helper()
		if err := (&dns.Conn{Conn: conn}).WriteMsg(new(dns.Msg).SetQuestion("node1.", dns.TypeA)); err != nil {
			t.Fatal(err)
		}
		if _, err := (&dns.Conn{Conn: conn}).ReadMsg(); err != nil {
			t.Fatal(err)
		}
	}
	ended := func(who string, conn net.Conn) {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(tcpIdle / 2)) // each ends in the end
		if got, err := io.ReadAll(conn); len(got) != 0 || err != nil {
			t.Errorf("%s got %x, %v, want the end", who, got, err)
		}
	}
	inside := func(conn net.Conn) (c *tcpConn) {
		t.Helper()
		d.srv.tcp.mu.Lock()
		defer d.srv.tcp.mu.Unlock()
		for c = range d.srv.tcp.conns {
			if c.conn.RemoteAddr().String() == conn.LocalAddr().String() {
				return c
			}
		}
		t.Fatal("the server does not know the connection")
		return nil
	}
	waits := d.connect(nil)
	ask(waits)
	inside(waits).slots <- struct{}{} // its next answer is on its way
	asked := d.connect(nil)
	ask(asked)
	silent := d.connect(nil)
	later := d.connect(nil)
	ended("who never asked", silent)
	last := d.connect(nil)
	ended("who came later and did not ask", later)
	ask(last)
	next := d.connect(nil)
	ended("who asked and has its answer", asked)
	ask(next)
	ask(last)
	inside(last).slots <- struct{}{}
	inside(next).slots <- struct{}{}
	d.connect(nil)
	ended("the first of those that all wait", waits)
	for _, conn := range []net.Conn{last, next} {
		<-inside(conn).slots
	}
}
