package dnsserver

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"panteras/configs"
	"panteras/internal/lab"
)

func TestMain(m *testing.M) {
	if os.Getenv("LISTEN_FDS") != "" {
		fmt.Println("sockets were handed to the test, which it would use")
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// patience is for what comes soon on any machine.
const patience = 30 * time.Second

// running is a whole server in this process, with its event loops.
type running struct {
	*Server
	addr string
	stop func() // ends it and waits
}

func run(t *testing.T, consul, rec netip.AddrPort, change func(s *configs.Settings)) *running {
	t.Helper()
	addr := netip.AddrPortFrom(loopback, lab.Port(t))
	s := testSettings(addr, consul, rec)
	if change != nil {
		change(s)
	}
	srv, err := New(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- srv.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		t.Fatalf("Run: %v", err)
	}
	r := &running{Server: srv, addr: addr.String()}
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("the server does not end")
		}
	})
	t.Cleanup(r.stop)
	return r
}

// ask sends a query and waits for its answer: the first message under its id.
func (r *running) ask(network string, m *dns.Msg) (*dns.Msg, error) {
	c := &dns.Client{Net: network, Timeout: patience, UDPSize: dns.MaxMsgSize}
	answer, _, err := c.Exchange(m, r.addr)
	return answer, err
}

// flaky answers with the number of questions before, and misbehaves now and then.
func flaky(seed uint64, count *atomic.Int64) lab.Handler {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 5))
	return func(q *lab.Query) []lab.Action {
		n := count.Add(1)
		mu.Lock()
		dice, late := rng.IntN(100), time.Duration(rng.IntN(20))*time.Millisecond
		mu.Unlock()
		good := lab.Reply(lab.LowerCase(), lab.Answers(fmt.Sprintf("@ 0 IN A 10.%d.%d.%d", n>>16&255, n>>8&255, n&255)))
		switch {
		case dice < 3 && (!q.TCP || dice == 0): // over TCP a query waits long for the only server
			return nil
		case dice < 6:
			return []lab.Action{lab.Reply(lab.WrongQuestion("evil.example")), good}
		case dice < 9:
			return []lab.Action{good, good}
		case dice < 12:
			return []lab.Action{lab.Reply(lab.Rcode(dns.RcodeServerFailure))}
		case dice < 14:
			return []lab.Action{lab.Garbage(40), good}
		case dice < 15 && !q.TCP:
			return []lab.Action{lab.Reply(lab.WrongID()), good}
		case dice < 18:
			return []lab.Action{lab.CloseConn(), good}
		}
		return []lab.Action{lab.Delay(late), good}
	}
}

// Many clients at once, over UDP and TCP, with upstreams that lose, repeat, delay, forge and break: each query gets one answer, to its own question and from a query
// that was sent after it.
func TestLiveStorm(t *testing.T) {
	t.Parallel()
	var count atomic.Int64
	consul, rec := lab.NewUpstream(t, flaky(1, &count)), lab.NewUpstream(t, flaky(2, &count))
	r := run(t, consul.Addr, rec.Addr, nil)
	var good, failed atomic.Int64
	var clients sync.WaitGroup
	for k := range 12 {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(k), 9))
			for range 120 {
				name := []string{"web.service.consul.", "Api.Service.Consul.", "web.acme.test.", "www.example."}[rng.IntN(4)]
				m := new(dns.Msg).SetQuestion(name, dns.TypeA)
				if rng.IntN(2) == 0 {
					m.SetEdns0(1232, false)
				}
				network := []string{"udp", "udp", "tcp"}[rng.IntN(3)]
				before := count.Load()
				answer, err := r.ask(network, m)
				if err != nil {
					t.Errorf("%s over %s: %v", name, network, err)
					return
				}
				if answer.Question[0] != m.Question[0] || (answer.IsEdns0() == nil) != (m.IsEdns0() == nil) {
					t.Errorf("asked %v\ngot %v", m, answer)
				}
				if answer.Rcode == dns.RcodeServerFailure {
					failed.Add(1)
					continue
				}
				good.Add(1)
				for _, a := range addresses(answer) {
					b := net.ParseIP(a).To4()
					if n := int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3]); n <= before {
						t.Errorf("asked after query %d, answered by query %d", before, n)
					}
				}
			}
		})
	}
	clients.Wait()
	if good.Load() < 5*failed.Load() {
		t.Errorf("%d answers and %d failures", good.Load(), failed.Load())
	}
	r.stop()
	for i, w := range r.workers {
		rig := &rig{t: t, w: w}
		if left := rig.leftovers(); left != "" {
			t.Errorf("worker %d: left over: %s", i, left)
		}
	}
	if n := r.tcp.stats.inFlight.Load(); n != 0 || len(r.tcp.conns) != 0 || len(r.tcp.clients) != 0 {
		t.Errorf("TCP: %d in flight, %d connections, %d clients", n, len(r.tcp.conns), len(r.tcp.clients))
	}
}

// What was asked before the server was told to end is answered.
func TestTheServerDrains(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	consul := lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if q.Msg.Question[0].Qtype != dns.TypeA {
			return []lab.Action{lab.Reply()} // probes
		}
		return []lab.Action{lab.Until(hold), lab.Reply(lab.Answers("@ 0 IN A 10.1.0.1"))}
	})
	r := run(t, consul.Addr, lab.NewUpstream(t, lab.Script(lab.Reply())).Addr, nil)
	answers := make(chan error, 10)
	for i := range 10 {
		network := []string{"udp", "tcp"}[i%2]
		go func() {
			m, err := r.ask(network, new(dns.Msg).SetQuestion(fmt.Sprintf("web-%d.service.consul.", i), dns.TypeA))
			if err == nil && len(m.Answer) != 1 {
				err = fmt.Errorf("over %s: %v", network, m)
			}
			answers <- err
		}()
	}
	arrived := func() int {
		n := 0
		for i := range 10 {
			n += min(consul.Asked(fmt.Sprintf("web-%d.service.consul.", i), dns.TypeA), 1)
		}
		return n
	}
	lab.Eventually(t, patience, "all queries to be at Consul", func() bool { return arrived() == 10 })
	stopped := make(chan struct{})
	go func() { defer close(stopped); r.stop() }()
	lab.Eventually(t, patience, "the listener to be gone", func() bool {
		c, err := net.DialTimeout("tcp", r.addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(hold)
	for range 10 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	<-stopped
}

// A second server on the same port is refused with a sentence that names the first.
func TestASecondServerIsRefused(t *testing.T) {
	t.Parallel()
	up := lab.NewUpstream(t, lab.Script(lab.Reply()))
	first := run(t, up.Addr, up.Addr, nil)
	addr := netip.MustParseAddrPort(first.addr)
	for _, listen := range []netip.AddrPort{addr} {
		second, err := New(testSettings(listen, up.Addr, up.Addr), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		err = second.Run(context.Background(), func() { t.Error("ready although the port is taken") })
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
			t.Errorf("%s: %v", listen, err)
		}
	}
	if _, err := first.ask("udp", new(dns.Msg).SetQuestion("node1.", dns.TypeA)); err != nil {
		t.Errorf("the first one: %v", err)
	}
}
