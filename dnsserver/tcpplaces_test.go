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
	var open []net.Conn
	for range places {
		conn := d.connect(nil)
		d.answered(conn)
		open = append(open, conn)
	}
	d.answered(open[0]) // the second one is the idlest now
	next := d.connect(nil)
	if got, err := io.ReadAll(open[1]); len(got) != 0 || err != nil {
		t.Errorf("the idlest one got %x, %v, want the end", got, err)
	}
	for _, conn := range []net.Conn{open[0], open[2], next} {
		d.answered(conn)
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
	ended := func(who string, conn net.Conn) {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(tcpIdle / 2)) // each ends in the end
		if got, err := io.ReadAll(conn); len(got) != 0 || err != nil {
			t.Errorf("%s got %x, %v, want the end", who, got, err)
		}
	}
	waits := d.connect(nil)
	d.answered(waits)
	d.inside(waits).slots <- struct{}{} // its next answer is on its way
	asked := d.connect(nil)
	d.answered(asked)
	silent := d.connect(nil)
	later := d.connect(nil)
	ended("who never asked", silent)
	last := d.connect(nil)
	ended("who came later and did not ask", later)
	d.answered(last)
	next := d.connect(nil)
	ended("who asked and has its answer", asked)
	d.answered(next)
	d.answered(last)
	d.inside(last).slots <- struct{}{}
	d.inside(next).slots <- struct{}{}
	d.connect(nil)
	ended("the first of those that all wait", waits)
	for _, conn := range []net.Conn{last, next} {
		<-d.inside(conn).slots
	}
}

// wait leaves a connection with a query whose answer the upstream holds back.
func (d *door) wait(conn net.Conn) {
	d.t.Helper()
	if err := (&dns.Conn{Conn: conn}).WriteMsg(new(dns.Msg).SetQuestion("www.example.", dns.TypeA)); err != nil {
		d.t.Fatal(err)
	}
	lab.Eventually(d.t, patience, "the query to wait for the upstream", d.inside(conn).waits)
}

// answered asks for something that is answered here, and returns once the connection is idle.
func (d *door) answered(conn net.Conn) {
	d.t.Helper()
	c := &dns.Conn{Conn: conn}
	if err := c.WriteMsg(new(dns.Msg).SetQuestion("node1.", dns.TypeA)); err != nil {
		d.t.Fatal(err)
	}
	if m, err := c.ReadMsg(); err != nil || len(m.Answer) != 1 {
		d.t.Fatalf("got %v, %v", m, err)
	}
	inside := d.inside(conn)
	lab.Eventually(d.t, patience, "the connection to be idle", func() bool { return !inside.waits() })
}

// Who waited when somebody else made room, and has its answer, is as idle as any other from then on.
func TestWhoHasWaitedMakesRoomInItsTurn(t *testing.T) {
	t.Parallel()
	free := make(chan struct{})
	d := newDoorTo(t, lab.Until(free))
	d.srv.tcp.places = 3
	waited, early, late := d.connect(nil), d.connect(nil), d.connect(nil)
	d.wait(waited)
	d.answered(early)
	d.answered(late)
	next := d.connect(nil)
	if got, err := io.ReadAll(early); len(got) != 0 || err != nil {
		t.Errorf("the idlest one got %x, %v, want the end", got, err)
	}
	close(free)
	if m, err := (&dns.Conn{Conn: waited}).ReadMsg(); err != nil || len(m.Answer) != 1 {
		t.Fatalf("who waited got %v, %v", m, err)
	}
	lab.Eventually(t, patience, "it to wait no more", func() bool { return !d.inside(waited).waits() })
	d.answered(late)
	d.answered(next)
	d.connect(nil)
	_ = waited.SetReadDeadline(time.Now().Add(tcpIdle / 2)) // each ends in the end
	if got, err := io.ReadAll(waited); len(got) != 0 || err != nil {
		t.Errorf("who waited got %x, %v, want the end", got, err)
	}
	d.answered(late)
	d.answered(next)
}

// A connection that has made room holds no place, although its query still waits for the upstream.
func TestWhoHasMadeRoomHoldsNoPlace(t *testing.T) {
	t.Parallel()
	free := make(chan struct{})
	d := newDoorTo(t, lab.Until(free))
	d.srv.tcp.places = 2
	first, second := d.connect(nil), d.connect(nil)
	d.wait(first)
	d.wait(second)
	third := d.connect(nil)
	if got, err := io.ReadAll(first); len(got) != 0 || err != nil {
		t.Errorf("the first got %x, %v, want the end", got, err)
	}
	third.Close()
	lab.Eventually(t, patience, "the third to be gone", func() bool {
		d.srv.tcp.mu.Lock()
		defer d.srv.tcp.mu.Unlock()
		return len(d.srv.tcp.conns) == 2 && len(d.srv.tcp.idle) == 1
	})
	d.connect(nil)
	close(free)
	if m, err := (&dns.Conn{Conn: second}).ReadMsg(); err != nil || len(m.Answer) != 1 {
		t.Errorf("the second got %v, %v", m, err)
	}
	if got := d.srv.tcp.stats.drops[dropConnections].Load(); got != 1 {
		t.Errorf("%d connections made room, want 1", got)
	}
}
