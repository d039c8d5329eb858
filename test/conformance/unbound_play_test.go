package conformance

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// under is a name of the case with a word behind its label.
func (s *stage) under(word string) string {
	return s.label + "." + word + strings.TrimPrefix(s.name, s.label)
}

// about says whether a query is for stage.under(word).
func about(q *lab.Query, word string) bool {
	return dns.SplitDomainName(strings.ToLower(q.Msg.Question[0].Name))[1] == word
}

// askedOnce wants no question beside the client's.
func askedOnce() check {
	return check{"the upstream is asked once", func(x *exchange) error { return fits(len(x.asked) == 1, "asked %d times", len(x.asked)) }}
}

// secondFreesFirst answers the first query only when the second has arrived.
func secondFreesFirst() func(*lab.Query) []lab.Action {
	arrived := make(chan struct{})
	var once sync.Once
	return func(q *lab.Query) []lab.Action {
		if about(q, "first") {
			return append([]lab.Action{lab.Until(arrived), lab.Delay(100 * time.Millisecond)}, ordinary(q)...)
		}
		once.Do(func() { close(arrived) })
		return ordinary(q)
	}
}

func twoAtOnce(s *stage) {
	conn := s.dial("udp")
	s.send(conn, s.pack(ask(s.under("first"))))
	lab.Eventually(s, patience, "the first query to reach the upstream", func() bool { return len(s.seen(s.label)) > 0 })
	s.send(conn, s.pack(ask(s.under("second"))))
	for _, want := range []string{"second", "first"} {
		reply := s.unpack(s.receive(conn))
		s.must(reply, dns.RcodeSuccess, 1)
		if got := reply.Question[0].Name; got != s.under(want) {
			s.Fatalf("the answer is for %s, want %s", got, s.under(want))
		}
	}
}

// clientWaits is how long the resolver of the C library waits for an answer (resolv.conf(5)).
const clientWaits = 5 * time.Second

func timesOut(s *stage) {
	const lateness = 500 * time.Millisecond // of what runs beside much else
	began := time.Now()
	s.must(s.exchange("udp", s.pack(ask(s.name))), dns.RcodeServerFailure, 0)
	if over := time.Since(began) - clientWaits; over > 0 && float64(over)/lab.Slowdown(s) > float64(lateness) {
		s.Errorf("SERVFAIL came %v too late", over)
	}
}

// answersTheLast is silent but for one name.
func answersTheLast(q *lab.Query) []lab.Action {
	if about(q, "last") {
		return ordinary(q)
	}
	return nil
}

// waitingQueries is how many queries may wait per route and core, as dns.md has it.
const waitingQueries = 4096

func jostledOut(s *stage) {
	const atOnce = 256 // few enough for the buffer of a socket
	conn := s.dial("udp")
	for i := range waitingQueries {
		s.send(conn, s.pack(ask(s.under("silent"), func(m *dns.Msg) { m.Question[0].Qtype = uint16(1000 + i) })))
		if (i+1)%atOnce == 0 {
			lab.Eventually(s, patience, "the queries to reach the upstream", func() bool { return len(s.seen(s.label)) > i })
		}
	}
	before := s.metric(`panteras_dns_dropped_total{reason="overload"}`)
	last := ask(s.under("last"))
	s.send(conn, s.pack(last))
	for { // those of before may have timed out by now
		if reply := s.unpack(s.receive(conn)); reply.Id == last.Id && reply.Question[0] == last.Question[0] {
			s.must(reply, dns.RcodeSuccess, 1)
			break
		}
	}
	if after := s.metric(`panteras_dns_dropped_total{reason="overload"}`); before != 0 || after != 1 {
		s.Errorf("%v queries were given up before the last one and %v after it, want 0 and 1", before, after)
	}
}

func fromEveryAddress(s *stage) {
	for _, ip := range []string{"127.0.0.1", "127.0.0.7", "::1"} {
		for _, network := range []string{"udp", "tcp"} {
			s.addr = netip.AddrPortFrom(netip.MustParseAddr(ip), s.addr.Port())
			// A connected socket takes nothing from another address.
			s.must(s.exchange(network, s.pack(ask(s.name))), dns.RcodeSuccess, 1)
		}
	}
}

func overIPv6(s *stage) {
	six := lab.NewUpstream(s.T, truncatesUDP, lab.Host(netip.IPv6Loopback()))
	s.rig = newRig(s.T, nil, "--dns-upstreams="+six.Addr.String())
	s.must(s.exchange("udp", s.pack(ask(s.name, edns(1232, false)))), dns.RcodeSuccess, 0) // TC=1
	reply := s.exchange("tcp", s.pack(ask(s.name)))
	s.must(reply, dns.RcodeSuccess, 1)
	if stats := six.Stats(); reply.Truncated || stats.TCP != 1 {
		s.Errorf("TC=%v; the upstream was asked %d times over TCP, want once", reply.Truncated, stats.TCP)
	}
}
