package conformance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
	"unicode"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// dnsdist is the scenarios of dnsdist's regression tests that mean something for a forwarder
// without rules, under their names.
func dnsdist() suite {
	next := func(actions ...lab.Action) func(*lab.Query) []lab.Action { return lab.Script(actions...) }
	good := lab.Reply(lab.Answers("@ 60 IN A 192.0.2.1"))
	forged := lab.Answers("@ 60 IN A 203.0.113.66")
	return suite{
		title: "dnsdist: scenarios of dnsdist's regression tests",
		about: "The names are those of the files and functions in `regression-tests.dnsdist`; answers are what this server is to do.",
		source: func(name string) string {
			return "test_" + name[:strings.IndexFunc(name+":", func(r rune) bool { return !unicode.IsLetter(r) })] + ".py"
		},
		cases: []testCase{
			{name: "Basics.testQRDropped", sends: "a message with QR=1", raw: flags(1 << 15), wants: []check{silence(), notAsked()}},
			{name: "Basics.testEmptyQueries", sends: "a header without a question", raw: func(b []byte) []byte { return counts(0, 0, 0, 0)(b[:12]) }, wants: []check{rcode(dns.RcodeFormatError), records(0), sameID(), notAsked()}},
			{name: "Basics.testHeaderOnlyRefused", sends: "a query whose upstream answers REFUSED without a question", script: answer(lab.NoQuestion(), lab.Rcode(dns.RcodeRefused)), wants: []check{rcode(dns.RcodeRefused), sameID(), sameQuestion()}},
			{name: "Basics.testHeaderOnlyNXDResponse", sends: "a query whose upstream first answers NXDOMAIN without a question, which could be forged for any name", alone: true, script: next(lab.Reply(lab.NoQuestion(), lab.Rcode(dns.RcodeNameError)), good), wants: []check{rcode(dns.RcodeSuccess), records(1), sameQuestion()}},
			{name: "Basics.testHeaderOnlyNoErrorResponse", sends: "a query whose upstream first answers NOERROR without a question", alone: true, script: next(lab.Reply(lab.NoQuestion()), good), wants: []check{rcode(dns.RcodeSuccess), records(1), sameQuestion()}},
			{name: "Basics.testWrongResponse", sends: "a query whose upstream first answers another question", alone: true, script: next(lab.Reply(lab.WrongQuestion("other.example.org"), forged), good), wants: []check{rcode(dns.RcodeSuccess), holding("192.0.2.1"), sameQuestion()}},
			{name: "Basics.testTruncateTC", sends: "a query whose upstream answers TC=1", script: answer(lab.Truncated()), wants: []check{rcode(dns.RcodeSuccess), set(flagTC), records(0), noOPT(), set(flagRA)}},
			{name: "Basics.testTruncateTCEDNS", sends: "the same with EDNS", query: edns(4096, true), script: answer(lab.Truncated()), wants: []check{rcode(dns.RcodeSuccess), set(flagTC), records(0), opt(), do()}},
			{name: "Basics.testAnyIsTruncated", sends: "ANY", query: typed(dns.TypeANY), wants: []check{rcode(dns.RcodeSuccess), holding("RFC8482"), clear(flagTC), notAsked()}},
			{name: "Basics.testQRDropped over TCP", sends: "a message with QR=1 over TCP", tcp: true, play: refusedFrame(func(s *stage) []byte { return frame(flags(1 << 15)(s.pack(ask(s.name)))) }), promise: "the connection ends, no reply"},
			{name: "BrokenAnswer.testUDPWithInvalidAnswer", sends: "a query whose upstream's answer ends within its record", script: bytesOf(func(b []byte) []byte { return b[:len(b)-2] }), wants: []check{rcode(dns.RcodeServerFailure), records(0), sameQuestion()}},
			{name: "BrokenAnswer.testTCPWithInvalidAnswer", sends: "the same over TCP", tcp: true, script: bytesOf(func(b []byte) []byte { return b[:len(b)-2] }), wants: []check{rcode(dns.RcodeServerFailure), records(0), sameQuestion()}},
			{name: "BrokenAnswer: too long", sends: "a query whose upstream's record claims more bytes than there are", script: bytesOf(func(b []byte) []byte { b[len(b)-5] = 200; return b }), wants: []check{rcode(dns.RcodeServerFailure), records(0), sameQuestion()}},
			{name: "Trailing.testTrailingAllowed", sends: "a query with bytes behind it", raw: func(b []byte) []byte { return append(b, "trailing"...) }, wants: []check{rcode(dns.RcodeSuccess), records(1), withoutTail("trailing")}},
			{name: "Trailing.testTrailingRemoved", sends: "a query whose upstream's answer has bytes behind it", script: bytesOf(func(b []byte) []byte { return append(b, "trailing"...) }), wants: []check{rcode(dns.RcodeSuccess), records(1), withoutTail("trailing")}},
			{name: "Size: large query", sends: "a query of 3,000 bytes, padded (RFC 7830)", query: edns(4096, false, &dns.EDNS0_PADDING{Padding: make([]byte, 2900)}), wants: []check{rcode(dns.RcodeSuccess), records(1), verbatim()}},
			{name: "Size: large query over TCP", sends: "a query of 60,000 bytes, padded, over TCP", tcp: true, query: edns(4096, false, &dns.EDNS0_PADDING{Padding: make([]byte, 59900)}), wants: []check{rcode(dns.RcodeSuccess), records(1), verbatim()}},
			{name: "RecordsCount: QD=2", sends: "two questions", query: func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "RecordsCount: AN=2", sends: "a query with two answer records", query: withRecords(2, 0, 0), wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "RecordsCount: AN=1", sends: "a query with one answer record", query: withRecords(1, 0, 0), wants: []check{rcode(dns.RcodeSuccess), verbatim()}},
			{name: "RecordsCount: NS=2", sends: "a query with two authority records", query: withRecords(0, 2, 0), wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "RecordsCount: AR=3", sends: "a query with three additional records", query: withRecords(0, 0, 3), wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "RecordsCount: AR=2", sends: "a query with an OPT and one more additional record", query: all(withRecords(0, 0, 1), edns(4096, false)), wants: []check{rcode(dns.RcodeSuccess), verbatim(), opt()}},
			{name: "RecordsCount: too many claimed", sends: "a query whose header claims a record that is not there", raw: counts(1, 0, 0, 1), wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "OOOR", sends: "a query that takes its time and 50 others behind it, over one connection", script: slowFirst, play: outOfOrder, promise: "the 50 are answered first, the slow one after them"},
			{name: "TCPShort: query in two halves", sends: "half a query over TCP, and the other half later", play: inHalves, promise: "the answer"},
			{name: "TCPShort: a byte a segment", sends: "a query over TCP in segments of one byte", play: inBytes, promise: "the answer"},
			{name: "TCPShort: closed in the middle", sends: "half a query over TCP, and the end of the connection", play: halfThenEnd, promise: "the connection ends; others are served"},
			{name: "TCPShort: short answer", sends: "a query over TCP whose upstream ends the connection in the middle of its answer, once", tcp: true, alone: true, script: onceThen(lab.HalfThenClose(forged)), wants: []check{rcode(dns.RcodeSuccess), holding("192.0.2.1")}},
			{name: "TCPLimits.testTCPQueriesPerConn", sends: "500 queries over one connection, without waiting", play: pipeline(500), promise: "500 answers: their number has no limit"},
			{name: "TCPLimits.testTCPConnsPerClient", sends: "1,025 connections of one address, with a query in each, and one of another address", alone: true, play: connectionsOfAClient, promise: "answers in 1,024 of them, the end of one; the other address is answered"},
			{name: "TCPLimits.testTCPDuration", sends: "the length of a message, and a byte of it now and then", early: messageTime, promise: "the connection ends 5 s after the first byte"},
			{name: "TCPLimits: idle time", sends: "a query, and then nothing", early: idleTime, promise: "the answer, and the end of the connection 10 s later"},
			{name: "TCPKeepAlive", sends: "100 queries over one connection, one after the other", play: keepAlive, promise: "100 answers, each for its query"},
			{name: "HealthChecks: dead upstream", sends: "a query whose only recursor's port is closed", flags: []string{"--dns-upstreams=127.0.0.1:1"}, query: edns(1232, false), wants: []check{rcode(dns.RcodeServerFailure), records(0), extended(22, 23), sameQuestion()}},
			{name: "HealthChecks: one of two", sends: "20 queries, one of whose two recursors has its port closed", flags: []string{"--dns-upstreams=127.0.0.1:1"}, play: oneOfTwo, promise: "20 answers of the other"},
			{name: "HealthChecks: upstream that comes back", sends: "queries while the ports of the only recursor are closed, and when they are open again", alone: true, play: comesBack, promise: "SERVFAIL, and then answers again"},
			{name: "EDNSSelfGenerated: without EDNS", sends: "AXFR, which is refused here", query: typed(dns.TypeAXFR), wants: []check{rcode(dns.RcodeRefused), noOPT(), sameQuestion(), notAsked()}},
			{name: "EDNSSelfGenerated: EDNS", sends: "the same with EDNS", query: all(typed(dns.TypeAXFR), edns(4096, false)), wants: []check{rcode(dns.RcodeRefused), opt(), sameQuestion()}},
			{name: "EDNSSelfGenerated: EDNS with DO", sends: "the same with DO", query: all(typed(dns.TypeAXFR), edns(4096, true)), wants: []check{rcode(dns.RcodeRefused), opt(), do()}},
			{name: "EDNSSelfGenerated: EDNS with options", sends: "the same with options", query: all(typed(dns.TypeAXFR), edns(4096, true, allOptions...)), wants: []check{rcode(dns.RcodeRefused), opt(), do(), noOptions()}},
			{name: "Randomized", sends: "300 queries with the same id, from one port", alone: true, play: randomised, promise: "the upstream sees at least 250 ids, from more than one port"},
			{name: "Routing", sends: "a query for a name of `DNS_ROUTES`", flags: []string{"--dns-upstreams=127.0.0.1:1"}, play: routed, promise: "the route's server is asked; without the route, nobody answers"},
		},
	}
}

// withRecords adds records to the sections of a query.
func withRecords(an, ns, ar int) func(*dns.Msg) {
	some := func(n int) (list []dns.RR) {
		for range n {
			list = append(list, &dns.A{Hdr: dns.RR_Header{Name: "record.example.org.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(192, 0, 2, 9)})
		}
		return list
	}
	return func(m *dns.Msg) { m.Answer, m.Ns, m.Extra = some(an), some(ns), append(m.Extra, some(ar)...) }
}

// withoutTail wants neither side to get what stood behind the message.
func withoutTail(tail string) check {
	ends := func(b []byte) bool { return len(b) > len(tail) && string(b[len(b)-len(tail):]) == tail }
	return check{"the bytes behind go no further", func(x *exchange) error {
		if ends(x.reply) {
			return errors.New("they reached the client")
		}
		for _, q := range x.asked {
			if ends(q.Raw) {
				return errors.New("they reached the upstream")
			}
		}
		return nil
	}}
}

// onceThen is an upstream that does something else the first time.
func onceThen(first lab.Action) func(*lab.Query) []lab.Action {
	once := make(chan struct{}, 1)
	once <- struct{}{}
	return func(q *lab.Query) []lab.Action {
		select {
		case <-once:
			return []lab.Action{first}
		default:
			return ordinary(q)
		}
	}
}

// refusedFrame sends bytes over TCP that end their connection.
func refusedFrame(message func(*stage) []byte) func(*stage) {
	return func(s *stage) {
		conn := s.dial("tcp")
		if _, err := conn.Write(message(s)); err != nil {
			s.Fatal(err)
		}
		s.ends(conn)
	}
}

// ends wants the end of the connection, before it would be idle (10 s).
func (s *stage) ends(conn net.Conn) {
	s.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(9 * time.Second))
	if got, err := receive(conn); err == nil {
		s.Errorf("got %x", got)
	} else if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		s.Error("the connection goes on")
	}
}

// slowFirst answers type TXT after a while; the others of the case's queries are not under its label.
func slowFirst(*lab.Query) []lab.Action {
	return []lab.Action{lab.Delay(time.Second), lab.Reply(lab.Answers("@ 60 IN A 192.0.2.1"))}
}

func outOfOrder(s *stage) {
	conn := s.dial("tcp")
	slow := ask(s.name)
	s.send(conn, s.pack(slow))
	for range 50 {
		s.send(conn, s.pack(ask("fast."+s.name)))
	}
	for i := range 51 {
		reply := s.unpack(s.receive(conn))
		s.must(reply, dns.RcodeSuccess, 1)
		if last := i == 50; (reply.Question[0].Name == s.name) != last {
			s.Fatalf("reply %d is for %s", i, reply.Question[0].Name)
		}
	}
}

func inHalves(s *stage) {
	conn := s.dial("tcp")
	message := frame(s.pack(ask(s.name)))
	_, err := conn.Write(message[:9])
	s.exchange("tcp", s.pack(ask("between."+s.name))) // time passes
	if err == nil {
		_, err = conn.Write(message[9:])
	}
	if err != nil {
		s.Fatal(err)
	}
	s.must(s.unpack(s.receive(conn)), dns.RcodeSuccess, 1)
}

func inBytes(s *stage) {
	conn := s.dial("tcp")
	for _, b := range frame(s.pack(ask(s.name))) {
		if _, err := conn.Write([]byte{b}); err != nil {
			s.Fatal(err)
		}
	}
	s.must(s.unpack(s.receive(conn)), dns.RcodeSuccess, 1)
}

func halfThenEnd(s *stage) {
	conn := s.dial("tcp")
	if _, err := conn.Write(frame(s.pack(ask(s.name)))[:20]); err != nil {
		s.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		s.Fatal(err)
	}
	if _, err := receive(conn); !errors.Is(err, io.EOF) {
		s.Errorf("want the end, got: %v", err)
	}
	s.must(s.exchange("tcp", s.pack(ask(s.name))), dns.RcodeSuccess, 1)
}

// pipeline sends n queries before it reads.
func pipeline(n int) func(*stage) {
	return func(s *stage) {
		conn := s.dial("tcp")
		want := map[uint16]bool{}
		var messages []byte
		for i := range n {
			m := ask(s.name)
			m.Id = uint16(i)
			want[m.Id] = true
			messages = append(messages, frame(s.pack(m))...)
		}
		go func() { _, _ = conn.Write(messages) }() // a server may read no further before its answers are taken
		for range n {
			reply := s.unpack(s.receive(conn))
			s.must(reply, dns.RcodeSuccess, 1)
			if !want[reply.Id] {
				s.Fatalf("id %d was answered twice", reply.Id)
			}
			delete(want, reply.Id)
		}
	}
}

func keepAlive(s *stage) {
	conn := s.dial("tcp")
	for range 100 {
		m := ask(s.name)
		s.send(conn, s.pack(m))
		reply := s.unpack(s.receive(conn))
		s.must(reply, dns.RcodeSuccess, 1)
		if reply.Id != m.Id {
			s.Fatalf("id %d, want %d", reply.Id, m.Id)
		}
	}
}

func oneOfTwo(s *stage) {
	two := newRig(s.T, nil)
	r := newRig(s.T, nil, "--dns-upstreams=127.0.0.1:1,"+two.up.Addr.String())
	s.rig = r
	for range 20 {
		s.must(s.exchange("udp", s.pack(ask(s.name))), dns.RcodeSuccess, 1)
	}
}

func comesBack(s *stage) {
	s.up.CloseUDP()
	s.up.CloseTCP()
	up := fmt.Sprintf(`panteras_dns_upstream_up{role="recursor",upstream="%s"}`, s.up.Addr)
	lab.Eventually(s, patience, "the recursor to count as down", func() bool {
		s.must(s.exchange("udp", s.pack(ask(s.name))), dns.RcodeServerFailure, 0)
		return s.metric(up) == 0
	})
	s.up.OpenUDP()
	s.up.OpenTCP()
	lab.Eventually(s, patience, "answers of the recursor that is back", func() bool {
		return s.exchange("udp", s.pack(ask(s.name))).Rcode == dns.RcodeSuccess
	})
}

func routed(s *stage) {
	s.must(s.exchange("udp", s.pack(ask(s.name))), dns.RcodeServerFailure, 0)
	s.rig = newRig(s.T, nil, "--dns-upstreams=127.0.0.1:1", "--dns-routes=example.org="+s.up.Addr.String())
	s.must(s.exchange("udp", s.pack(ask(s.name))), dns.RcodeSuccess, 1)
	s.must(s.exchange("udp", s.pack(ask("www.notexample.org"))), dns.RcodeServerFailure, 0)
}

func randomised(s *stage) {
	conn := s.dial("udp")
	m := ask(s.name)
	m.Id = 4711
	for range 300 {
		s.send(conn, s.pack(m))
		s.receive(conn)
	}
	ids, ports := map[uint16]bool{}, map[uint16]bool{}
	for _, q := range s.seen(s.label) {
		ids[q.Msg.Id], ports[q.From.Port()] = true, true
	}
	if len(ids) < 250 || len(ports) < 2 {
		s.Errorf("%d ids from %d ports in 300 queries", len(ids), len(ports))
	}
}
