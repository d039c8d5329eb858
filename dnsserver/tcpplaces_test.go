package dnsserver

import (
	"io"
	"net"
	"testing"

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
