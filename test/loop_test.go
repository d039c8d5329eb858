package test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// mirror sends each query that it gets to the server that it got it from, as a
// recursor does that is configured to ask us, and hands the answer back.
func mirror(t testing.TB, target func() netip.AddrPort, options ...func(attempt)) *lab.Upstream {
	t.Helper()
	return lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if q.Msg == nil {
			return nil
		}
		for _, o := range options {
			o(attempt{Query: q})
		}
		reply := make(chan []byte, 1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := net.Dial("udp", target().String())
			if err != nil {
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			if _, err := conn.Write(q.Raw); err != nil {
				return
			}
			message := make([]byte, 4096)
			if n, err := conn.Read(message); err == nil {
				reply <- message[:n]
			}
		}()
		return []lab.Action{lab.Until(done), lab.Reply(func(_ *lab.Query, m *dns.Msg) {
			select {
			case raw := <-reply:
				_ = m.Unpack(raw)
			default:
				m.Rcode = dns.RcodeServerFailure
			}
		})}
	})
}

// loops says whether the server takes an upstream for a loop.
func (d *dnsd) loops(t testing.TB, u *lab.Upstream) bool {
	t.Helper()
	return d.metric(t, "panteras_dns_upstream_loop", `upstream="`+u.Addr.String()+`"`) == 1
}

// An upstream that leads back to us is found out, said so and not used; the process
// lives, and another upstream does the work.
func TestLoopingUpstreamIsDisabled(t *testing.T) {
	t.Parallel()
	addr := loopback4(t)
	circle := mirror(t, func() netip.AddrPort { return addr })
	good := scripted(t, always(trueAddress))
	d := startDNSDAt(t, addr, to("--dns-upstreams", circle, good))
	lab.Eventually(t, patience, "the loop to be found", func() bool { return d.loops(t, circle) })
	if d.loops(t, good) {
		t.Error("the good upstream is taken for a loop")
	}
	for i := range 20 {
		name := fmt.Sprintf("n%d.example.org", i)
		wantAddress(t, d.ask(t, "udp", ednsQuery(name, dns.TypeA)), trueAddress)
		wantAddress(t, d.ask(t, "tcp", ednsQuery(name, dns.TypeA)), trueAddress)
		if n := circle.Asked(name, dns.TypeA); n != 0 {
			t.Errorf("the looping upstream was asked for %s", name)
		}
	}
	lab.Eventually(t, patience, "the log to say so", func() bool {
		return strings.Contains(d.Stderr(), "forwarding loop") && strings.Contains(d.Stderr(), circle.Addr.String())
	})
	if code := d.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Where there is no other upstream the answer is SERVFAIL, at once.
func TestOnlyUpstreamLoops(t *testing.T) {
	t.Parallel()
	addr := loopback4(t)
	circle := mirror(t, func() netip.AddrPort { return addr })
	d := startDNSDAt(t, addr, to("--dns-upstreams", circle), to("--consul-dns", scripted(t, always(trueAddress))))
	lab.Eventually(t, patience, "the loop to be found", func() bool { return d.loops(t, circle) })
	for _, network := range []string{"udp", "tcp"} {
		within(t, atOnce, "SERVFAIL", func() { wantServFail(t, d.ask(t, network, ednsQuery("www.example.org", dns.TypeA))) })
		wantAddress(t, d.ask(t, network, ednsQuery("web.service.consul", dns.TypeA)), trueAddress)
	}
}

// Two servers that forward to each other find out, both, and do not melt: what one
// query becomes has an end.
func TestTwoServersForwardToEachOther(t *testing.T) {
	t.Parallel()
	a, b := loopback4(t), loopback4(t)
	consul := scripted(t, always(trueAddress))
	first := startDNSDAt(t, a, "--dns-upstreams="+b.String(), to("--consul-dns", consul))
	second := startDNSDAt(t, b, "--dns-upstreams="+a.String(), to("--consul-dns", consul))
	for i := range 20 {
		for _, d := range []*dnsd{first, second} {
			reply := d.ask(t, "udp", ednsQuery(fmt.Sprintf("n%d.example.org", i), dns.TypeA))
			wantRcode(t, reply, dns.RcodeServerFailure)
		}
	}
	last, still := -1.0, 0
	lab.Eventually(t, 2*patience, "nothing to go round between the servers", func() bool {
		now := first.metric(t, "panteras_dns_queries_total") + second.metric(t, "panteras_dns_queries_total")
		if now != last {
			last, still = now, 0
		}
		still++
		return still == 30 // looks in a row, 10 ms apart at least
	})
	for _, d := range []*dnsd{first, second} {
		wantAddress(t, d.ask(t, "udp", ednsQuery("web.service.consul", dns.TypeA)), trueAddress)
		if n := d.metric(t, "panteras_dns_queries_total"); n > 5000 {
			t.Errorf("%v queries became of 40", n)
		}
	}
}

// A Consul whose recursor we are sends us what it does not know, of its own zone
// (DS) and of reverse names. Neither goes round.
func TestConsulRecursesToUs(t *testing.T) {
	t.Parallel()
	addr := loopback4(t)
	consul := lab.Consul(t, lab.ConsulOptions{Recursors: []string{addr.String()}})
	recursor := scripted(t, always(trueAddress))
	d := startDNSDAt(t, addr, "--consul-dns="+consul.DNS.String(), to("--dns-upstreams", recursor), "--dns-ptr=10.0.0.0/8")
	lab.Eventually(t, patience, "the loop to be found", func() bool {
		return d.metric(t, "panteras_dns_upstream_loop", `upstream="`+consul.DNS.String()+`"`) == 1
	})
	for range 3 {
		for _, network := range []string{"udp", "tcp"} {
			if reply := d.ask(t, network, ednsQuery("consul.service.consul", dns.TypeDS)); reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 0 {
				t.Errorf("DS: want NODATA, got:\n%v", reply)
			}
			within(t, soon, "the answer for an address that nobody knows", func() { d.ask(t, network, ednsQuery("9.9.9.10.in-addr.arpa", dns.TypePTR)) })
			reply := d.ask(t, network, ednsQuery("consul.service.consul", dns.TypeA))
			if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 {
				t.Errorf("names of Consul should go on, got:\n%v", reply)
			}
			wantAddress(t, d.ask(t, network, ednsQuery("www.example.org", dns.TypeA)), trueAddress)
		}
	}
	if n := d.metric(t, "panteras_dns_queries_total"); n > 500 {
		t.Errorf("%v queries became of 24", n)
	}
	// Through Consul, we are what it says we are: its recursor.
	reply, err := exchange("udp", consul.DNS, ednsQuery("via.example.org", dns.TypeA))
	if err == nil {
		err = hasAddress(reply, trueAddress)
	}
	if err != nil {
		t.Error(err)
	}
}
