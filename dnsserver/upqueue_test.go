package dnsserver

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"panteras/configs"
	"panteras/dnsserver/upstream"
)

// asks sends a question of each of n clients, all before anybody looks.
func asks(r *rig, n int) (clients []*client, asked []*dns.Msg) {
	for i := range n {
		c := r.client()
		clients = append(clients, c)
		asked = append(asked, c.ask(fmt.Sprintf("n%d.example.", i), dns.TypeA, 0))
	}
	return clients, asked
}

func TestQueriesOfATurnLeaveTogether(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ports := map[string]bool{}
	for range 40 {
		clients, asked := asks(r, 10)
		r.step()
		turn := map[string]bool{}
		for range clients {
			q := r.rec.want()
			turn[fmt.Sprint(q.from)], ports[fmt.Sprint(q.from)] = true, true
			q.reply(0, "@ 60 IN A 192.0.2.1")
		}
		if len(turn) != 1 {
			t.Errorf("the queries of a turn left from %d ports", len(turn))
		}
		r.step()
		for i, c := range clients {
			if got := c.answers(asked[i]); len(got.Answer) != 1 {
				t.Errorf("client %d: %v", i, got)
			}
		}
	}
	if len(ports) != localSockets {
		t.Errorf("all turns left from %d ports", len(ports))
	}
	r.idle()
}

// TestATurnsListIsInTheOrderOfSending has queries of several lengths, which change places before they leave: what fails halfway is told by the list.
func TestATurnsListIsInTheOrderOfSending(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	names := []string{"a.example.", "longest.example.", "bb.example.", "longer.example.", "c.example."}
	for _, name := range names {
		r.client().ask(name, dns.TypeA, 0)
	}
	r.step()
	list := r.w.states[upstreamAt(t, r, r.rec.addr)].queue.list
	last := 1000
	for i := range names {
		q := r.rec.want()
		if list[i].id != q.Id {
			t.Errorf("the %d. that has left has the id %d, in the list %d", i+1, q.Id, list[i].id)
		}
		if n := q.Len(); n > last {
			t.Errorf("the %d. is longer than the one before", i+1)
		} else {
			last = n
		}
		q.reply(0, "@ 60 IN A 192.0.2.1")
	}
	r.step()
	r.idle()
}

// TestATurnWhoseServerIsGone has queries that leave together for a port where nobody listens.
func TestATurnWhoseServerIsGone(t *testing.T) {
	t.Parallel()
	dead, second := closed(t), newFakeServer(t)
	r := newRig(t, func(s *configs.Settings) { s.DNSUpstreams = append(s.DNSUpstreams[:0], dead, second.addr) })
	r.neverDown()
	clients, asked := asks(r, 20)
	r.step() // no time passes
	if n := upstreamAt(t, r, dead).Unreachable.Load(); n == 0 {
		t.Error("no query counts as refused")
	}
	for range clients {
		second.want().reply(0, "@ 60 IN A 192.0.2.1")
	}
	r.step()
	for i, c := range clients {
		if got := c.answers(asked[i]); len(got.Answer) != 1 {
			t.Errorf("client %d: %v", i, got)
		}
	}
	r.idle()
}

// upstreamAt is the server at an address.
func upstreamAt(t *testing.T, r *rig, addr netip.AddrPort) *upstream.Upstream {
	t.Helper()
	for u := range r.w.cfg.servers {
		if u.Addr == addr {
			return u
		}
	}
	t.Fatalf("no server has the address %s", addr)
	return nil
}

// TestATurnThatCannotBeSent has sockets that take nothing any more.
func TestATurnThatCannotBeSent(t *testing.T) {
	t.Parallel()
	second := newFakeServer(t)
	r := newRig(t, func(s *configs.Settings) { s.DNSUpstreams = append(s.DNSUpstreams, second.addr) })
	r.neverDown()
	for range 40 { // until all sockets are open
		c := r.client()
		c.ask("a.example.", dns.TypeA, 0)
		r.step()
		r.rec.want().reply(0)
		r.step()
	}
	for _, s := range r.w.socks {
		if s.fd >= 0 {
			if err := unix.Shutdown(s.fd, unix.SHUT_WR); err != nil {
				t.Fatal(err)
			}
		}
	}
	clients, asked := asks(r, 5)
	r.step()
	for range clients {
		second.want().reply(0, "@ 60 IN A 192.0.2.1")
	}
	r.step()
	for i, c := range clients {
		if got := c.answers(asked[i]); len(got.Answer) != 1 {
			t.Errorf("client %d: %v", i, got)
		}
	}
	r.rec.quiet()
	r.idle()
}

// TestAnAnswerThatComesTwice closes, with the first, a socket whose place another one takes before the second is looked at: that one is no forgery.
func TestAnAnswerThatComesTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	a, b := r.client(), r.client()
	first := a.ask(web, dns.TypeA, 1232)
	r.step()
	older := r.consul.want()
	second := b.ask(web, dns.TypeA, 1232)
	r.step()
	for i := range r.w.socks {
		r.w.socks[i].opened -= int64(socketAge)
	}
	r.w.sweepSockets()
	older.reply(0, "@ 0 IN A 10.1.0.1")
	older.reply(0, "@ 0 IN A 10.1.0.1")
	r.step()
	if got := a.answers(first); len(got.Answer) != 1 {
		t.Errorf("the first got %v", got)
	}
	if n := r.w.stats.moved.Load(); n != 0 {
		t.Errorf("%d queries were moved to TCP", n)
	}
	r.consul.want().reply(0, "@ 0 IN A 10.1.0.2")
	r.step()
	if got := b.answers(second); len(got.Answer) != 1 {
		t.Errorf("the second got %v", got)
	}
	r.idle()
}

// serveOne serves the one question that has arrived, and does not let what it makes leave.
func serveOne(t *testing.T, r *rig) {
	t.Helper()
	if n, errno := r.w.fromPeers.Receive(r.ls.fd); n != 1 || errno != 0 {
		t.Fatalf("%d datagrams, %v", n, errno)
	}
	r.w.fromPeers.Peer(0, &r.w.peer)
	r.w.serve(r.ls, r.w.fromPeers.Datagram(0))
}

// TestNothingLeavesFromASocketThatIsClosed gives a query up before it has left, with its socket: the descriptor may be another's by then.
func TestNothingLeavesFromASocketThatIsClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w := r.w
	r.client().ask("a.example.", dns.TypeA, 0)
	if n := w.poller.Wait(1000); n != 1 {
		t.Fatalf("%d events", n)
	}
	serveOne(t, r)
	if len(w.queues) != 1 || w.queues[0].queue.box.Len() != 1 {
		t.Fatal("the query does not wait for others")
	}
	si := w.queues[0].queue.sock
	w.retireSocket(si)
	for _, l := range w.lanes {
		if l.n > 0 {
			w.evict(l)
		}
	}
	if w.socks[si].fd >= 0 || w.queues[0].queue.box.Len() != 0 {
		t.Error("the query may still leave")
	}
	w.flush()
	r.rec.quiet()
	r.idle()
}

// TestAnErrorOfAnEarlierQuery has a server that comes back between two queries: the error that the second one meets is the first one's.
func TestAnErrorOfAnEarlierQuery(t *testing.T) {
	t.Parallel()
	addr := closed(t)
	r := newRig(t, func(s *configs.Settings) { s.DNSUpstreams = append(s.DNSUpstreams[:0], addr) })
	r.neverDown()
	r.client().ask("a.example.", dns.TypeA, 0)
	r.w.readClients(r.ls) // not what epoll would tell of the upstream's socket
	server := socket(t, addr)
	defer unix.Close(server)
	c := r.client()
	asked := c.ask("b.example.", dns.TypeA, 0)
	r.w.readClients(r.ls)
	buf := make([]byte, 512)
	n, from, err := unix.Recvfrom(server, buf, unix.MSG_DONTWAIT)
	var q dns.Msg
	if err != nil || q.Unpack(buf[:n]) != nil || q.Question[0].Name != "b.example." {
		t.Fatalf("the server got %v, %v", &q, err)
	}
	answer, err := new(dns.Msg).SetReply(&q).Pack()
	if err == nil {
		err = unix.Sendto(server, answer, 0, from)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.step()
	if got := c.answers(asked); got.Rcode != dns.RcodeSuccess {
		t.Errorf("%v", got)
	}
	r.idle()
}

// TestAnErrorWhileAQueryWaits is told of an earlier query's error when the next one has not left yet: that one's server is back by then.
func TestAnErrorWhileAQueryWaits(t *testing.T) {
	t.Parallel()
	addr := closed(t)
	r := newRig(t, func(s *configs.Settings) { s.DNSUpstreams = append(s.DNSUpstreams[:0], addr) })
	r.neverDown()
	w := r.w
	r.client().ask("a.example.", dns.TypeA, 0)
	w.readClients(r.ls)
	server := socket(t, addr)
	defer unix.Close(server)
	c := r.client()
	c.ask("b.example.", dns.TypeA, 0)
	serveOne(t, r)
	w.readUpstream(w.queues[0].queue.sock)
	w.flush()
	c.silent() // it was not given up
	buf := make([]byte, 512)
	n, _, err := unix.Recvfrom(server, buf, unix.MSG_DONTWAIT)
	var q dns.Msg
	if err != nil || q.Unpack(buf[:n]) != nil || q.Question[0].Name != "b.example." {
		t.Fatalf("the server got %v, %v", &q, err)
	}
}
