package dnsserver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"panteras/configs"
	"panteras/dnsserver/upstream"
	"panteras/internal/lab"
)

// Addresses of the host come and go (keepalived moves them): whether a Consul is on this host, and thus how it is asked for SRV, is looked at again.
func TestAConsulThatBecomesLocal(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddrPort("192.0.2.77:8600") // never sent to
	srv := newTestServer(t, func() *configs.Settings {
		s := testSettings(loopbackPort(t), addr, addr)
		return s
	}())
	srv.ended = make(chan struct{})
	t.Cleanup(func() { close(srv.ended); srv.leaving.Wait() })
	check := func(want bool) (list []*upstream.Upstream) {
		t.Helper()
		for u := range srv.cfg.Load().servers {
			if u.Local != want {
				t.Errorf("%s (Consul: %v): local is %v, want %v", u.Addr, u.Consul, u.Local, want)
			}
			list = append(list, u)
		}
		if len(list) != 2 || len(srv.upstreams) != 2 {
			t.Errorf("%d servers in use and %d known, want 2", len(list), len(srv.upstreams))
		}
		return list
	}
	away := check(false)
	srv.facts.own = map[netip.Addr]bool{loopback: true, addr.Addr(): true}
	if err := srv.rebuild(); err != nil {
		t.Fatal(err)
	}
	here := check(true)
	if err := srv.rebuild(); err != nil { // what is known of a server lasts while nothing changes
		t.Fatal(err)
	}
	for _, u := range check(true) {
		if !slices.Contains(here, u) || slices.Contains(away, u) {
			t.Errorf("%s was made anew for nothing, or not at all", u.Addr)
		}
	}
}

// Loop probes publish a snapshot each time; what is in flight counts on.
func TestLanesOutlastLoopProbes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.client()
	for i := range laneLimit {
		c.ask(fmt.Sprintf("web-%d.service.consul.", i), dns.TypeA, 1232)
		r.step()
		r.consul.want()
	}
	for n := range 3 {
		r.srv.setTokens(map[string]*upstream.Upstream{fmt.Sprint(n): nil})
		cfg := r.srv.cfg.Load()
		if cfg == r.w.cfg {
			t.Fatal("no new snapshot")
		}
		r.w.adopt(cfg)
		c.ask(fmt.Sprintf("more-%d.service.consul.", n), dns.TypeA, 1232)
		r.step()
		if got := r.w.stats.drops[dropOverload].Load(); got != uint64(n+1) || r.w.queries.used() != laneLimit {
			t.Errorf("%d queries in flight, %d given up, want %d and %d", r.w.queries.used(), got, laneLimit, n+1)
		}
	}
}

// A server that holds one address of our port is not us. One that we do not see is no proof of the contrary.
func TestAStubBesideUsMayBeAsked(t *testing.T) {
	t.Parallel()
	stub := netip.MustParseAddrPort("127.0.0.53:53")
	for _, test := range []struct {
		name, listen, upstream string
		inherited, own         bool
	}{
		{"the stub", "0.0.0.0:53", "127.0.0.53:53", false, false},
		{"beside a socket that was handed over", "0.0.0.0:53", "127.0.0.53:53", true, false},
		{"another address of ours", "0.0.0.0:53", "127.0.0.1:53", false, true},
		{"all of them", "0.0.0.0:53", "0.0.0.0:53", false, true},
		{"the very address", "127.0.0.53:53", "127.0.0.53:53", false, true},
		{"IPv4 of our own [::]", "[::]:53", "127.0.0.1:53", false, false},
		{"IPv4 of a [::] that was handed over", "[::]:53", "127.0.0.1:53", true, true},
		{"this host's IPv4 there", "[::]:53", "192.0.2.10:53", true, true},
		{"a stub beside it", "[::]:53", "127.0.0.53:53", true, false},
		{"another host", "[::]:53", "192.0.2.99:53", true, false},
		{"IPv6 of an IPv4 socket", "0.0.0.0:53", "[::1]:53", true, false},
	} {
		f := host()
		f.foreign = func(a netip.AddrPort) bool { return a == stub }
		if test.inherited {
			f.inherited = addrPorts(test.listen)
		}
		_, _, err := buildFor(t, f, func(s *configs.Settings) {
			s.DNSListen, s.DNSUpstreams = addrPorts(test.listen), addrPorts(test.upstream)
			if test.inherited {
				s.DNSListen = addrPorts("127.0.0.1:5353") // does not count
			}
		})
		if (err != nil) != test.own {
			t.Errorf("%s: listening on %s, asking %s: %v", test.name, test.listen, test.upstream, err)
		}
	}
}

// A socket of our own process is ours, and one of nobody is nobody's.
func TestHeldByAnother(t *testing.T) {
	t.Parallel()
	a := loopbackPort(t)
	if heldByAnother(a) {
		t.Error("held although it is free")
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if heldByAnother(a) {
		t.Error("our own socket is another's")
	}
}

// listened keeps which addresses the log says are listened on.
type listened struct {
	slog.Handler
	mu   sync.Mutex
	list []string
}

func (l *listened) Enabled(context.Context, slog.Level) bool { return true }

func (l *listened) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *listened) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "listening" && r.Message != "listening on a socket that was handed over" {
		return nil
	}
	r.Attrs(func(a slog.Attr) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.list = append(l.list, a.Value.String())
		return true
	})
	return nil
}

// take returns what was opened since the last call.
func (l *listened) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

// Somebody held an address of the wildcard one, so the others were bound one by one. Once the settings name a single address, that is over for good.
func TestAReloadEndsTheBindingOneByOne(t *testing.T) {
	t.Parallel()
	up := lab.NewUpstream(t, lab.Script(lab.Reply()))
	port := lab.Port(t)
	stub := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.53"), port)
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(stub))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wild, one := netip.AddrPortFrom(netip.IPv4Unspecified(), port), netip.AddrPortFrom(loopback, port)
	log := &listened{Handler: slog.DiscardHandler}
	srv, err := New(testSettings(wild, up.Addr, up.Addr), slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- srv.Run(ctx, func() { close(ready) }) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	if got := log.take(); !slices.Contains(got, one.String()) || slices.Contains(got, wild.String()) {
		t.Fatalf("listening on %v", got)
	}
	if err := srv.Reload(testSettings(one, up.Addr, up.Addr)); err != nil {
		t.Fatal(err)
	}
	log.take()
	for range 3 {
		srv.refresh(srv.look())
	}
	srv.mu.Lock()
	bound := slices.Clone(srv.binder.bound)
	srv.mu.Unlock()
	if got := log.take(); len(got) != 0 || !slices.Equal(bound, []netip.AddrPort{one}) {
		t.Errorf("bound %v; opened since: %v", bound, got)
	}
	// And back: the wildcard address still collides.
	if err := srv.Reload(testSettings(wild, up.Addr, up.Addr)); err != nil {
		t.Fatal(err)
	}
	srv.mu.Lock()
	spread := srv.binder.spread[wild]
	srv.mu.Unlock()
	if !spread {
		t.Error("not bound one by one again")
	}
}

// What has arrived is answered when an address is given up, and when the server stops.
func TestWhatHasArrivedIsAnswered(t *testing.T) {
	t.Parallel()
	for what, leave := range map[string]func(w *worker, key string){
		"the address is given up": (*worker).unlisten,
		"the server stops":        func(w *worker, _ string) { w.drain() },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			c := r.client()
			q := c.ask(web, dns.TypeA, 1232)
			leave(r.w, r.ls.key)
			r.w.flush()
			r.consul.want().reply(0, "@ 0 IN A 10.1.0.1")
			r.step()
			if got := addresses(c.answers(q)); !slices.Equal(got, []string{"10.1.0.1"}) {
				t.Errorf("got %v", got)
			}
			r.idle()
		})
	}
}
