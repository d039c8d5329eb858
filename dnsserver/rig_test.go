package dnsserver

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"panteras/configs"
	"panteras/dnsserver/upstream"
	"panteras/internal/lab"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// rig is one worker without its loop: a test moves it step by step, and its clock with it, so that what happens in which order is up to the test. The
// sockets are real; loopback delivers a datagram before the call that sends it returns.
type rig struct {
	t      testing.TB
	srv    *Server
	w      *worker
	ls     *listenSocket
	addr   netip.AddrPort
	consul *fakeServer
	rec    *fakeServer
}

// newRig makes a server whose Consul and recursor are in the test's hands. Names under acme.test are services of HAPROXY_ADD_DOMAIN.
func newRig(t testing.TB, change func(s *configs.Settings)) *rig {
	t.Helper()
	r := &rig{t: t, consul: newFakeServer(t), rec: newFakeServer(t), addr: netip.AddrPortFrom(loopback, lab.Port(t))}
	s := testSettings(r.addr, r.consul.addr, r.rec.addr)
	if change != nil {
		change(s)
	}
	r.srv = newTestServer(t, s)
	w, err := newWorker(r.srv)
	if err != nil {
		t.Fatal(err)
	}
	r.w = w
	t.Cleanup(w.close)
	fd := socket(t, r.addr)
	r.ls = &listenSocket{fd: fd, key: r.addr.String()}
	if err := w.listen(r.ls); err != nil {
		t.Fatal(err)
	}
	return r
}

func testSettings(listen, consul, recursor netip.AddrPort) *configs.Settings {
	return &configs.Settings{
		IP: netip.MustParseAddr("192.0.2.10"), Hostname: "node1", FQDN: "node1.acme.test", ConsulIP: netip.MustParseAddr("192.0.2.10"),
		ConsulDomain: "consul", HAProxyAddDomain: "acme.test", DNSListen: []netip.AddrPort{listen}, DNSListenSet: true,
		DNSUpstreams: []netip.AddrPort{recursor}, ConsulDNS: []netip.AddrPort{consul}, DNSUDPSize: 1232,
	}
}

// newTestServer is New without a look at this host.
func newTestServer(t testing.TB, s *configs.Settings) *Server {
	t.Helper()
	srv := &Server{log: slog.New(slog.DiscardHandler), settings: s, upstreams: map[serverKey]*upstream.Upstream{}, facts: facts{own: map[netip.Addr]bool{loopback: true}}}
	if err := srv.rebuild(); err != nil {
		t.Fatal(err)
	}
	srv.queries = newQueryLog(srv.log, 0)
	srv.tcp = newTCPServer(srv)
	t.Cleanup(func() {
		srv.queries.close()
		for _, u := range srv.upstreams {
			u.Close()
		}
	})
	return srv
}

// socket binds a UDP socket that never blocks.
func socket(t testing.TB, a netip.AddrPort) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())})
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// step lets the worker handle everything that has arrived.
func (r *rig) step() {
	for n := r.w.poller.Wait(0); n > 0; n = r.w.poller.Wait(0) {
		r.w.handle(n)
		r.w.flush()
	}
}

// pass lets time pass for the worker.
func (r *rig) pass(d time.Duration) {
	r.w.now += int64(d)
	r.w.runTimers()
	r.w.flush()
	r.step()
}

// neverDown keeps probes from deciding that a silent server is down: they take the world's time, of which a busy machine may need more than the rig's.
func (r *rig) neverDown() {
	for u := range r.w.cfg.servers {
		u.Close()
	}
}

// idle fails the test unless everything that queries hold while they are on their way was given back.
func (r *rig) idle() {
	r.t.Helper()
	if err := r.leftovers(); err != "" {
		r.t.Errorf("left over: %s", err)
	}
}

func (r *rig) leftovers() string {
	w := r.w
	var list []string
	check := func(what string, ok bool) {
		if !ok {
			list = append(list, what)
		}
	}
	check("queries", w.queries.used() == 0)
	check("flights", w.flights.used() == 0)
	check("ids", w.ids.n == 0)
	check("keys", w.keys.n == 0)
	for _, l := range w.lanes {
		check("a lane", l.n == 0 && l.head == none && l.tail == none)
	}
	for c := range w.timers {
		check("a timer", w.timers[c].head == none && w.timers[c].tail == none)
	}
	for _, s := range w.socks {
		check("a pending socket", s.fd < 0 || s.pending == 0)
	}
	return strings.Join(list, ", ")
}

// closed is a port on which nobody listens.
func closed(t testing.TB) netip.AddrPort {
	t.Helper()
	return netip.AddrPortFrom(loopback, lab.Port(t))
}
