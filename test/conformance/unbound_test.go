package conformance

import (
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// unbound is the scenarios of unbound's fwd_ tests that mean something without a cache and
// without validation, under their names.
func unbound() suite {
	upper := func(m *dns.Msg) {
		m.Question[0].Name = "UnBound-" + m.Question[0].Name[len("unbound-"):]
	}
	return suite{
		title: "unbound: scenarios of unbound's fwd_ tests",
		about: "The names are those in unbound's `testdata`.",
		source: func(name string) string {
			test, _, _ := strings.Cut(name, " ")
			return "testdata/" + test
		},
		omitted: []omission{
			{"fwd_cached, fwd_lrudrop, fwd_ttlexpire", "nothing is cached"},
			{"fwd_bogus, fwd_edns_bksec", "nothing is validated: whoever validates sends DO or CD, and they and the signatures go through"},
			{"fwd_capsid_fallback, fwd_capsid_white", "names are asked in the case that the client used, so there is no case of ours to fall back from"},
			{"fwd_droptoomany, fwd_jostle", "there the newest query is dropped while the waiting ones are young. Here it is always the oldest that gives way, as in fwd_jostle_out"},
			{"fwd, fwd_tcp, fwd_udp", "a query and its answer, over TCP and over UDP, are what the other cases are made of"},
			{"fwd_three_service", "unbound's program on Windows"},
		},
		cases: []testCase{
			{name: "fwd_any", sends: "ANY over TCP", tcp: true, query: typed(dns.TypeANY), wants: []check{rcode(dns.RcodeSuccess), holding("RFC8482"), notAsked()}},
			{name: "fwd_capsid", sends: "a name in mixed case", query: upper, wants: []check{rcode(dns.RcodeSuccess), records(1), sameQuestion(), verbatim()}},
			{name: "fwd_capsid_strip", sends: "a name in mixed case, whose upstream lower-cases it", query: upper, script: answer(lab.Answers("@ 60 IN A 192.0.2.1"), lab.LowerCase()), wants: []check{rcode(dns.RcodeSuccess), records(1), sameQuestion()}},
			{name: "fwd_compress_c00c", sends: "a query whose upstream's owner names point to the question", query: upper, script: answer(lab.Answers("@ 60 IN A 192.0.2.1", "@ 60 IN A 192.0.2.2"), lab.LowerCase()), wants: []check{rcode(dns.RcodeSuccess), records(2), sameQuestion(), ownersAsAsked()}},
			{name: "fwd_edns_probe", sends: "EDNS, to an upstream that knows none (FORMERR)", query: edns(4096, false), script: answer(lab.NoEDNS(), lab.Rcode(dns.RcodeFormatError)), wants: []check{rcode(dns.RcodeFormatError), sameQuestion()}},
			{name: "fwd_no_edns", sends: "a query without EDNS, to an upstream that answers with it", script: answer(lab.Answers("@ 60 IN A 192.0.2.1"), func(_ *lab.Query, m *dns.Msg) { m.SetEdns0(4096, false) }), wants: []check{rcode(dns.RcodeSuccess), records(1), noOPT()}},
			{name: "fwd_error_retries", sends: "a query whose upstream answers SERVFAIL each time", script: answer(lab.Rcode(dns.RcodeServerFailure)), wants: []check{rcode(dns.RcodeServerFailure), sameQuestion()}},
			{name: "fwd_malformed", sends: "a query whose upstream's record has a label type that does not exist", script: bytesOf(func(b []byte) []byte { b[len(b)-16] = 0x80; return b }), wants: []check{rcode(dns.RcodeServerFailure), records(0), sameQuestion()}},
			{name: "fwd_tcp_tc", sends: "a query over TCP whose upstream truncates over UDP", tcp: true, script: truncatesUDP, wants: []check{rcode(dns.RcodeSuccess), records(1), clear(flagTC), overTCP()}},
			{name: "fwd_0ttlservfail", sends: "a name with TTL 0, and again when its upstream only fails", script: failsSecond(0), play: neverStale, promise: "the answer, and then SERVFAIL: nothing is served stale"},
			{name: "fwd_notcached", sends: "a name with TTL 60, 5 times", play: neverCached, promise: "the upstream is asked 5 times"},
			{name: "fwd_three", sends: "three names at once from one port", play: threeAtOnce, promise: "three answers, each for its query"},
			{name: "fwd_udptmout", sends: "a query whose first datagram the upstream loses", script: losesFirst(), wants: []check{rcode(dns.RcodeSuccess), records(1)}},
			{name: "fwd_waitudp", sends: "a query whose upstream answers after 300 ms", script: lab.Script(lab.Delay(300*time.Millisecond), lab.Reply(lab.Answers("@ 60 IN A 192.0.2.1"))), wants: []check{rcode(dns.RcodeSuccess), records(1)}},
			{name: "fwd_zero", sends: "a datagram without a byte", raw: func([]byte) []byte { return nil }, wants: []check{silence(), notAsked()}},
			{name: "fwd_zero towards us", sends: "a query whose upstream first sends a datagram without a byte", alone: true, script: lab.Script(lab.Bytes(nil), lab.Reply(lab.Answers("@ 60 IN A 192.0.2.1"))), wants: []check{rcode(dns.RcodeSuccess), records(1)}},
			{name: "fwd_oneport", sends: "a query whose upstream first answers under another id", alone: true, script: wrongIDOverUDP, wants: []check{rcode(dns.RcodeSuccess), holding("192.0.2.1"), secondOverTCP()}},
			{name: "fwd_two", sends: "a query, and another one while the first waits for the upstream", script: secondFreesFirst(), play: twoAtOnce, promise: "both answers, the second one first"},
			{name: "fwd_timeout", sends: "a query that its upstream never answers", alone: true, script: lab.Script(), play: timesOut, promise: "SERVFAIL within 5 s, which is how long clients wait"},
			{name: "fwd_jostle_out", sends: "4,096 questions that the upstream never answers, and one more, from one port", alone: true, script: answersTheLast, play: jostledOut, promise: "the last one is answered; the oldest has been given up"},
			{name: "fwd_cname_follow", sends: "a name whose upstream answers a chain of three aliases", script: answer(lab.Answers("@ 60 IN CNAME b4.ex2.com.", "b4.ex2.com. 60 IN CNAME b4.ex3.com.", "b4.ex3.com. 60 IN CNAME b4.ex4.com.", "b4.ex4.com. 60 IN A 192.0.2.44")), wants: []check{rcode(dns.RcodeSuccess), records(4), holding("b4.ex3.com. 60 IN CNAME b4.ex4.com. b4.ex4.com. 60 IN A 192.0.2.44"), askedOnce()}},
			{name: "fwd_ancil", sends: "queries to several addresses of a server that listens on all, over UDP and TCP", flags: []string{everyAddress}, play: fromEveryAddress, promise: "each answer comes from the address that was asked"},
			{name: "fwd_tcp_tc6", sends: "a query over TCP whose upstream, at an IPv6 address, truncates over UDP", play: overIPv6, promise: "the answer, TC=0; the upstream is asked over TCP"},
			{name: "fwd_error", sends: "a query whose upstream answers NXDOMAIN", script: answer(lab.Rcode(dns.RcodeNameError), lab.Authority("example.org. 60 IN SOA ns.example.org. host.example.org. 1 3600 600 86400 60")), wants: []check{rcode(dns.RcodeNameError), holding("SOA"), sameQuestion()}},
		},
	}
}

// ownersAsAsked wants the records to be owned by the name as the client spelled it.
func ownersAsAsked() check {
	return check{"owners spelled as the question", func(x *exchange) error {
		for _, rr := range x.msg.Answer {
			if err := fits(rr.Header().Name == x.msg.Question[0].Name, "owner %s of %s", rr.Header().Name, x.msg.Question[0].Name); err != nil {
				return err
			}
		}
		return nil
	}}
}

func truncatesUDP(q *lab.Query) []lab.Action {
	if q.TCP {
		return ordinary(q)
	}
	return []lab.Action{lab.Reply(lab.Truncated())}
}

// wrongIDOverUDP is how a forger's guess looks.
func wrongIDOverUDP(q *lab.Query) []lab.Action {
	if q.TCP {
		return ordinary(q)
	}
	return []lab.Action{lab.Reply(lab.WrongID(), lab.Answers("@ 60 IN A 203.0.113.66"))}
}

func secondOverTCP() check {
	return check{"the upstream is asked again, over TCP", func(x *exchange) error {
		for _, q := range x.asked {
			if q.TCP {
				return nil
			}
		}
		return fits(false, "asked %d times, never over TCP", len(x.asked))
	}}
}

// losesFirst is silent once.
func losesFirst() func(*lab.Query) []lab.Action { return onceThen(lab.Delay(0)) }

// failsSecond answers once and fails from then on.
func failsSecond(ttl int) func(*lab.Query) []lab.Action {
	first := make(chan struct{}, 1)
	first <- struct{}{}
	return func(*lab.Query) []lab.Action {
		select {
		case <-first:
			return []lab.Action{lab.Reply(lab.Answers(fmt.Sprintf("@ %d IN A 192.0.2.1", ttl)))}
		default:
			return []lab.Action{lab.Reply(lab.Rcode(dns.RcodeServerFailure))}
		}
	}
}

func neverStale(s *stage) {
	s.must(s.exchange("udp", s.pack(ask(s.name))), dns.RcodeSuccess, 1)
	s.must(s.exchange("udp", s.pack(ask(s.name))), dns.RcodeServerFailure, 0)
}

func neverCached(s *stage) {
	for range 5 {
		s.must(s.exchange("udp", s.pack(ask(s.name))), dns.RcodeSuccess, 1)
	}
	if n := len(s.seen(s.label)); n < 5 {
		s.Errorf("the upstream was asked %d times", n)
	}
}

func threeAtOnce(s *stage) {
	conn := s.dial("udp")
	want := map[uint16]string{}
	for _, sub := range []string{"a.", "b.", "c."} {
		m := ask(sub + s.name)
		m.Id = uint16(sub[0])
		want[m.Id] = m.Question[0].Name
		s.send(conn, s.pack(m))
	}
	for range 3 {
		reply := s.unpack(s.receive(conn))
		s.must(reply, dns.RcodeSuccess, 1)
		if reply.Question[0].Name != want[reply.Id] {
			s.Errorf("id %d is answered with %s", reply.Id, reply.Question[0].Name)
		}
		delete(want, reply.Id)
	}
	if len(want) != 0 {
		s.Errorf("not answered: %v", want)
	}
}
