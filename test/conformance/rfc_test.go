package conformance

import (
	"bytes"
	"strings"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// headers is what RFCs say of the outside of a message: header, names, EDNS, transports.
func headers() suite {
	long := func(n int) func([]byte) []byte { // a question whose name has n bytes of wire form
		return func(b []byte) []byte {
			var name []byte
			for len(name) < n-1 {
				l := min(63, n-2-len(name))
				name = append(append(name, byte(l)), bytes.Repeat([]byte{'x'}, l)...)
			}
			return append(append(append(b[:12:12], name...), 0), 0, 1, 0, 1)
		}
	}
	behind := func(more ...byte) func([]byte) []byte { // records behind the question
		return func(b []byte) []byte { return append(counts(1, 0, 0, 1)(b), more...) }
	}
	rootOPT := []byte{0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0}
	return suite{
		title: "RFCs: header, names, EDNS, transports",
		about: "RFC 5625 (proxies), 1035, 3597, 4343, 5452, 6891, 7766, 7828, 7873, 8914, 9210, 9619, 9715 and what they refer to.",
		omitted: []omission{
			{"RFC 8109: priming", "there are no root servers to be asked for: names go to Consul, to a route or to the recursors"},
			{"RFC 9018: server cookies", "a cookie of ours would have to replace that of the upstream, which goes through (RFC 7873 above)"},
		},
		cases: []testCase{
			{name: "RFC 1035 4.1.1: short header", sends: "eleven bytes", raw: func(b []byte) []byte { return b[:11] }, wants: []check{silence(), notAsked()}},
			{name: "RFC 1035 2.3.4: name of 255 bytes", sends: "a name as long as names get", raw: long(255), wants: []check{rcode(dns.RcodeSuccess), sameQuestion()}},
			{name: "RFC 1035 2.3.4: name of 256 bytes", sends: "a name one byte too long", raw: long(256), wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "RFC 1035 4.1.4: compressed question", sends: "a question whose name is a pointer", raw: func(b []byte) []byte { return append(b[:12:12], 0xc0, 12, 0, 1, 0, 1) }, wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "RFC 1035 4.1.2: question cut short", sends: "a question without its class", raw: func(b []byte) []byte { return b[:len(b)-2] }, wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "RFC 6891 4.2: label type 01", sends: "a question with an extended label", raw: func(b []byte) []byte { b[12] = 0x41; return b }, wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "RFC 2181 11: any byte in a name", sends: "a name with the bytes 0, space, dot and 255 in a label", raw: func(b []byte) []byte { copy(b[13:], []byte{0, ' ', '.', 255}); return b }, wants: []check{rcode(dns.RcodeSuccess), sameQuestion()}},
			{name: "RFC 9619: QDCOUNT 0", sends: "no question but an OPT", raw: func(b []byte) []byte { return append(counts(0, 0, 0, 1)(b[:12]), rootOPT...) }, wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "RFC 3425: inverse query", sends: "opcode IQUERY", raw: flags(1 << 11), wants: []check{rcode(dns.RcodeNotImplemented), notAsked()}},
			{name: "RFC 1996: NOTIFY", sends: "opcode NOTIFY for SOA", query: func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify; m.Question[0].Qtype = dns.TypeSOA }, wants: []check{verbatim(), sameID(), sameQuestion()}},
			{name: "RFC 2136: UPDATE", sends: "opcode UPDATE", raw: flags(5 << 11), wants: []check{rcode(dns.RcodeNotImplemented), notAsked()}},
			{name: "RFC 5936: AXFR", sends: "AXFR over TCP", tcp: true, query: typed(dns.TypeAXFR), wants: []check{rcode(dns.RcodeRefused), notAsked()}},
			{name: "RFC 1995: IXFR", sends: "IXFR", query: typed(dns.TypeIXFR), wants: []check{rcode(dns.RcodeRefused), notAsked()}},
			{name: "RFC 4892: class CHAOS", sends: "`version.bind` TXT CH", query: func(m *dns.Msg) {
				m.Question[0] = dns.Question{Name: "version.bind.", Qtype: dns.TypeTXT, Qclass: dns.ClassCHAOS}
			}, wants: []check{rcode(dns.RcodeRefused), records(0), notAsked()}},
			{name: "RFC 3597: unknown class", sends: "class 4711", query: func(m *dns.Msg) { m.Question[0].Qclass = 4711 }, wants: []check{rcode(dns.RcodeSuccess), verbatim(), sameQuestion()}},
			{name: "RFC 3597: unknown record", sends: "type 4711, of which the upstream has one", query: typed(4711), script: answer(lab.Answers(`@ 60 IN TYPE4711 \# 4 0a000001`)), wants: []check{rcode(dns.RcodeSuccess), records(1), holding(`\# 4 0a000001`)}},
			{name: "RFC 4343: case", sends: "`wWw` for a name whose upstream answers in the other case", query: func(m *dns.Msg) { m.Question[0].Name = "rFcS-" + m.Question[0].Name[5:] }, script: answer(lab.Answers("@ 60 IN A 192.0.2.1"), lab.SwapCase()), wants: []check{rcode(dns.RcodeSuccess), records(1), sameQuestion()}},
			{name: "RFC 5625 4.4: unknown flags", sends: "Z, AD and CD at once", raw: flags(flagZ | flagAD | flagCD), wants: []check{rcode(dns.RcodeSuccess), verbatim()}},
			{name: "RFC 5625 4.3: answer of 1200 bytes", sends: "EDNS with size 4096, for an answer above 512 bytes", query: edns(4096, false), script: answer(lab.Answers("@ 60 IN A 192.0.2.1"), lab.Extra(texts(3)...)), wants: []check{rcode(dns.RcodeSuccess), records(1), holding("EXTRA-3"), clear(flagTC)}},
			{name: "RFC 5625 4.5: TSIG", sends: "a signed query", query: func(m *dns.Msg) {
				m.SetTsig("key.example.org.", dns.HmacSHA256, 300, 1700000000)
			}, raw: nil, wants: []check{rcode(dns.RcodeSuccess), verbatim()}},
			{name: "RFC 5625 6.2: recursion available", sends: "a query whose upstream answers RA=0", script: answer(lab.Answers("@ 60 IN A 192.0.2.1"), func(_ *lab.Query, m *dns.Msg) { m.RecursionAvailable = false }), wants: []check{rcode(dns.RcodeSuccess), set(flagRA)}},
			{name: "RFC 6840 5.7: AD handed on", sends: "AD=1, whose upstream answers AD=1", raw: flags(flagAD), script: answer(lab.Answers("@ 60 IN A 192.0.2.1"), func(_ *lab.Query, m *dns.Msg) { m.AuthenticatedData = true }), wants: []check{rcode(dns.RcodeSuccess), set(flagAD)}},
			{name: "RFC 6891 6.1.1: two OPT", sends: "two OPT records", query: edns(4096, false), raw: func(b []byte) []byte { return counts(1, 0, 0, 2)(append(b, rootOPT...)) }, wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "RFC 6891 6.1.2: OPT with an owner", sends: "an OPT that is not owned by the root", raw: behind(append([]byte{1, 'x'}, rootOPT...)...), wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "RFC 6891 6.1.2: options cut short", sends: "an OPT whose option claims more bytes than there are", raw: behind(0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 4, 0, 10, 0, 8), wants: []check{rcode(dns.RcodeFormatError), notAsked()}},
			{name: "RFC 6891 6.2.3: size below 512", sends: "EDNS with size 100", query: all(typed(dns.TypeTXT), edns(100, false)), script: answer(lab.Answers(`@ 60 IN TXT "` + strings.Repeat("t", 250) + `"`)), wants: []check{rcode(dns.RcodeSuccess), records(1), opt(), clear(flagTC)}},
			{name: "RFC 6891 6.2.6: without EDNS 512 bytes", sends: "no EDNS, for an answer of 2 kB", query: typed(dns.TypeTXT), wants: []check{rcode(dns.RcodeSuccess), set(flagTC), atMost(512), noOPT()}},
			{name: "RFC 6891 7: OPT only for OPT", sends: "EDNS, to an upstream that answers without", query: edns(4096, false), script: answer(lab.Answers("@ 60 IN A 192.0.2.1"), lab.NoEDNS()), wants: []check{rcode(dns.RcodeSuccess), records(1), opt()}},
			{name: "RFC 6891 9: extended code", sends: "EDNS, to an upstream that answers code 23 (BADCOOKIE)", query: edns(4096, false, cookie), script: answer(func(_ *lab.Query, m *dns.Msg) { m.Rcode = dns.RcodeBadCookie }), wants: []check{rcode(dns.RcodeBadCookie), opt()}},
			{name: "RFC 7873: cookie of the server", sends: "COOKIE, to an upstream that adds its own", query: edns(4096, false, cookie), script: answer(lab.Answers("@ 60 IN A 192.0.2.1"), func(_ *lab.Query, m *dns.Msg) {
				m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "01020304050607081112131415161718"}}
			}), wants: []check{rcode(dns.RcodeSuccess), verbatim(), holding("COOKIE: 01020304050607081112131415161718")}},
			{name: "RFC 7828: TCP keep-alive option", sends: "edns-tcp-keepalive over TCP", tcp: true, query: edns(4096, false, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}), wants: []check{rcode(dns.RcodeSuccess), records(1), verbatim(), opt(), noOptions()}},
			{name: "RFC 8914: extended errors handed on", sends: "EDNS, to an upstream that explains its SERVFAIL", query: edns(4096, false), script: answer(lab.Rcode(dns.RcodeServerFailure), func(_ *lab.Query, m *dns.Msg) {
				m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: 9, ExtraText: "no DNSKEY"}}
			}), wants: []check{rcode(dns.RcodeServerFailure), extended(9)}},
			{name: "RFC 9715: at most 1232 bytes", sends: "EDNS with size 65535, for an answer of 2 kB", query: all(typed(dns.TypeTXT), edns(65535, false)), wants: []check{rcode(dns.RcodeSuccess), set(flagTC), atMost(1232), opt()}},
			{name: "RFC 9210 3: TCP as good as UDP", sends: "over TCP, without having asked over UDP", tcp: true, wants: []check{rcode(dns.RcodeSuccess), records(1), sameQuestion(), verbatim(), overTCP()}},
			{name: "RFC 7766 5: TCP has it whole", sends: "an answer of 2 kB, over TCP", tcp: true, query: typed(dns.TypeTXT), wants: []check{rcode(dns.RcodeSuccess), records(1), clear(flagTC), overTCP()}},
			{name: "RFC 7766 8: length 0", sends: "a frame of no bytes over TCP", play: refusedFrame(func(*stage) []byte { return []byte{0, 0} }), promise: "the connection ends"},
			{name: "RFC 7766 8: two queries in a segment", sends: "two queries in one segment", play: pipeline(2), promise: "two answers"},
			{name: "RFC 7766 6.2.1.1: half-closed", sends: "a query, and the end of the client's half", play: halfClosed, promise: "the answer, and then the end"},
			{name: "RFC 5452 9.1: other id", sends: "a query whose upstream answers under wrong ids only, also over TCP", alone: true, script: answer(lab.WrongID(), lab.Answers("@ 60 IN A 203.0.113.66")), wants: []check{rcode(dns.RcodeServerFailure), records(0)}},
			{name: "RFC 5452 9.1: other question", sends: "a query whose upstream answers other questions only, over TCP", tcp: true, alone: true, script: answer(lab.WrongQuestion("other.example.org"), lab.Answers("@ 60 IN A 203.0.113.66")), wants: []check{rcode(dns.RcodeServerFailure), records(0)}},
		},
	}
}

// texts are additional records of 250 bytes.
func texts(n int) (list []string) {
	for i := range n {
		list = append(list, `@ 60 IN TXT "EXTRA-`+string(rune('1'+i))+" "+strings.Repeat("t", 230)+`"`)
	}
	return list
}

func halfClosed(s *stage) {
	conn := s.dial("tcp")
	s.send(conn, s.pack(ask(s.name)))
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		s.Fatal(err)
	}
	s.must(s.unpack(s.receive(conn)), dns.RcodeSuccess, 1)
	s.ends(conn)
}

// messages is what RFCs say of the inside: records, sizes, failures.
func messages() suite {
	return suite{
		title: "Records: what must reach the client",
		about: "RFC 1034, 2181, 2308, 2782, 8020, 8482, 8767, 9460 and 9520.",
		cases: []testCase{
			{name: "RFC 2181 9: additional records go first", sends: "EDNS with size 512, for one answer and 1 kB of additional records", query: edns(512, false), script: answer(lab.Answers("@ 60 IN A 192.0.2.1"), lab.Extra(texts(4)...)), wants: []check{rcode(dns.RcodeSuccess), records(1), clear(flagTC), atMost(512), opt()}},
			{name: "RFC 2181 9: no part of a set", sends: "no EDNS, for 60 addresses", script: answer(manyAddresses(60)), wants: []check{rcode(dns.RcodeSuccess), set(flagTC), records(0), atMost(512)}},
			{name: "RFC 2308 2.1: NXDOMAIN", sends: "a name that does not exist", script: answer(lab.Rcode(dns.RcodeNameError), lab.Authority("example.org. 300 IN SOA ns.example.org. host.example.org. 7 3600 600 86400 60")), wants: []check{rcode(dns.RcodeNameError), records(0), holding("SOA ns.example.org. host.example.org. 7 3600 600 86400 60")}},
			{name: "RFC 2308 2.2: NODATA", sends: "a type that the name does not have", script: answer(lab.Authority("example.org. 300 IN SOA ns.example.org. host.example.org. 7 3600 600 86400 60")), wants: []check{rcode(dns.RcodeSuccess), records(0), holding("SOA")}},
			{name: "RFC 1034 3.6.2: CNAME", sends: "a name whose upstream answers a chain", script: answer(lab.Answers("@ 60 IN CNAME other.example.net.", "other.example.net. 60 IN A 192.0.2.7")), wants: []check{rcode(dns.RcodeSuccess), records(2), holding("CNAME other.example.net."), holding("192.0.2.7")}},
			{name: "RFC 2782: SRV", sends: "SRV", query: typed(dns.TypeSRV), script: answer(lab.SRV(2)), wants: []check{rcode(dns.RcodeSuccess), records(2), holding("SRV 1 1 31000")}},
			{name: "RFC 4035 3.1: DNSSEC records", sends: "DO, to an upstream that signs", query: edns(4096, true), script: answer(lab.Answers("@ 60 IN A 192.0.2.1", "@ 60 IN RRSIG A 13 2 60 20300101000000 20200101000000 12345 example.org. AAAA")), wants: []check{rcode(dns.RcodeSuccess), records(2), holding("RRSIG"), do()}},
			{name: "RFC 5625 6.1: TTL untouched", sends: "a name with TTL 77", script: answer(lab.Answers("@ 77 IN A 192.0.2.1")), wants: []check{rcode(dns.RcodeSuccess), holding("77 IN A 192.0.2.1")}},
			{name: "RFC 8020 2: below a name that does not exist", sends: "a name that does not exist, and then one below it that does, in spite of the RFC", script: onlyBelow, play: belowNothing, promise: "NXDOMAIN, and then the answer: what does not exist is the upstream's to say, each time"},
			{name: "RFC 8767 4: stale answers", sends: "a name with TTL 60, and again when its upstream only fails", script: failsSecond(60), play: neverStale, promise: "the answer, and then SERVFAIL: nothing is kept that could be stale"},
			{name: "RFC 9520: failures are not hidden", sends: "a name whose upstream refuses", script: answer(lab.Rcode(dns.RcodeRefused)), wants: []check{rcode(dns.RcodeRefused), sameQuestion()}},
			{name: "RFC 9460: HTTPS and SVCB", sends: "HTTPS", query: typed(dns.TypeHTTPS), script: answer(lab.Answers(`@ 60 IN HTTPS 1 . alpn="h2"`)), wants: []check{rcode(dns.RcodeSuccess), records(1), holding(`alpn="h2"`)}},
			{name: "RFC 8482 4.2: ANY", sends: "ANY with EDNS", query: all(typed(dns.TypeANY), edns(1232, false)), wants: []check{rcode(dns.RcodeSuccess), records(1), holding("HINFO \"RFC8482\" \"\""), opt(), notAsked()}},
		},
	}
}

// onlyBelow has what lies below the name of a case, under its own label, but not that name.
func onlyBelow(q *lab.Query) []lab.Action {
	if label, _, _ := strings.Cut(q.Msg.Question[0].Name, "."); about(q, label) {
		return ordinary(q)
	}
	return []lab.Action{lab.Reply(lab.Rcode(dns.RcodeNameError))}
}

func belowNothing(s *stage) {
	s.must(s.exchange("udp", s.pack(ask(s.name))), dns.RcodeNameError, 0)
	s.must(s.exchange("udp", s.pack(ask(s.label+"."+s.name))), dns.RcodeSuccess, 1)
}

// manyAddresses is a large set.
func manyAddresses(n int) lab.Edit {
	var list []string
	for i := range n {
		list = append(list, "@ 60 IN A 192.0.2."+string([]byte{byte('1' + i/10%9), byte('0' + i%10)}))
	}
	return lab.Answers(list...)
}

// services is what RFCs say of names that are special, and what Consul's names need.
func services() suite {
	local := func(name string, qtype uint16) func(*dns.Msg) {
		return func(m *dns.Msg) { m.Question[0] = dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET} }
	}
	return suite{
		title: "Names: special ones, and Consul's",
		about: "RFC 6303, 6761, 8375, and what Consul's answers need.",
		omitted: []omission{
			{"RFC 8375: an empty `home.arpa`", "unlike the zones of RFC 6303 it is left to the recursors: at home they are the router that serves it, elsewhere they answer that there is no such name"},
		},
		cases: []testCase{
			{name: "RFC 6761 6.3: localhost", sends: "`localhost` A", query: local("localhost.", dns.TypeA), wants: []check{rcode(dns.RcodeSuccess), holding("127.0.0.1"), notAsked()}},
			{name: "RFC 6761 6.3: localhost AAAA", sends: "`a.localhost` AAAA", query: local("a.localhost.", dns.TypeAAAA), wants: []check{rcode(dns.RcodeSuccess), holding("::1"), notAsked()}},
			{name: "RFC 6761 6.3: localhost MX", sends: "`localhost` MX", query: local("localhost.", dns.TypeMX), wants: []check{rcode(dns.RcodeSuccess), records(0), notAsked()}},
			{name: "RFC 6761 6.4: invalid", sends: "`x.invalid` A", query: local("x.invalid.", dns.TypeA), wants: []check{rcode(dns.RcodeNameError), notAsked()}},
			{name: "RFC 6303 4.1: private reverse", sends: "`9.2.0.10.in-addr.arpa` PTR", query: local("9.2.0.10.in-addr.arpa.", dns.TypePTR), wants: []check{rcode(dns.RcodeNameError), holding("SOA"), notAsked()}},
			{name: "RFC 6303 4.2: loopback reverse", sends: "`1.0.0.127.in-addr.arpa` PTR", query: local("1.0.0.127.in-addr.arpa.", dns.TypePTR), wants: []check{rcode(dns.RcodeSuccess), holding("localhost."), notAsked()}},
			{name: "RFC 6303 4.4: IPv6 unique local reverse", sends: "a PTR under `d.f.ip6.arpa`", query: local("1.0.0.0.d.f.ip6.arpa.", dns.TypePTR), wants: []check{rcode(dns.RcodeNameError), notAsked()}},
			{name: "RFC 8375 4: home.arpa", sends: "`nas.home.arpa` A, of which the recursors have an address", query: local("nas.home.arpa.", dns.TypeA), wants: []check{rcode(dns.RcodeSuccess), holding("192.0.2.1")}},
			{name: "host name", source: "dns.md, Routes; RFC 1034 section 4.3.2", sends: "`node-7` A", query: local("node-7.", dns.TypeA), wants: []check{rcode(dns.RcodeSuccess), holding("10.0.0.5"), notAsked()}},
			{name: "host name AAAA", source: "dns.md, Routes; RFC 2308 section 2.2", sends: "`node-7` AAAA", query: local("node-7.", dns.TypeAAAA), wants: []check{rcode(dns.RcodeSuccess), records(0), notAsked()}},
			{name: "service: verbatim", source: "RFC 5625 section 4", under: "service.consul", sends: "a service's A with EDNS size 1000 and options", query: edns(1000, true, allOptions...), wants: []check{rcode(dns.RcodeSuccess), records(1), opt(), verbatim()}},
			{name: "service: without EDNS", source: "RFC 6891 section 7", under: "service.consul", sends: "a service's AAAA without EDNS", query: typed(dns.TypeAAAA), wants: []check{rcode(dns.RcodeSuccess), records(0), noOPT(), verbatim()}},
			{name: "service: lower-cased by Consul", source: "RFC 1035 section 4.1.1; Consul since 1.19", under: "service.consul", sends: "a service in mixed case, which Consul lower-cases", query: func(m *dns.Msg) { m.Question[0].Name = "NaMeS-" + m.Question[0].Name[6:] }, script: answer(lab.Answers("@ 0 IN A 192.0.2.1"), lab.LowerCase()), wants: []check{rcode(dns.RcodeSuccess), records(1), sameQuestion()}},
			{name: "service: SRV of 300 instances", source: "RFC 2181 section 9; hashicorp/consul #3850", under: "service.consul", sends: "SRV with EDNS size 1232", query: all(typed(dns.TypeSRV), edns(1232, false)), script: answer(lab.SRV(300)), wants: []check{rcode(dns.RcodeSuccess), set(flagTC), atMost(1232), holding("SRV"), opt()}},
			{name: "service: SRV of 300 instances over TCP", source: "RFC 7766 section 5; hashicorp/consul #3850", under: "service.consul", sends: "the same over TCP", tcp: true, query: all(typed(dns.TypeSRV), edns(1232, false)), script: answer(lab.SRV(300)), wants: []check{rcode(dns.RcodeSuccess), records(300), clear(flagTC)}},
			{name: "service: SRV that fits", source: "RFC 2782", under: "service.consul", sends: "SRV of 10 instances with EDNS size 1232", query: all(typed(dns.TypeSRV), edns(1232, false)), script: answer(lab.SRV(10)), wants: []check{rcode(dns.RcodeSuccess), records(10), clear(flagTC), atMost(1232)}},
			{name: "service: DS", source: "RFC 4035 section 3.1.4.1", under: "service.consul", sends: "DS", query: all(typed(dns.TypeDS), edns(1232, true)), wants: []check{rcode(dns.RcodeSuccess), records(0), holding("SOA"), notAsked()}},
			{name: "service: SERVFAIL", source: "RFC 5625 section 4", under: "service.consul", sends: "a service while Consul fails", script: answer(lab.Rcode(dns.RcodeServerFailure)), wants: []check{rcode(dns.RcodeServerFailure), sameQuestion()}},
			{name: "service: Consul away", source: "RFC 8914 sections 4.23 and 4.24", under: "service.consul", sends: "a service while nobody listens at `CONSUL_DNS`", flags: []string{"--consul-dns=127.0.0.1:1"}, query: edns(1232, false), wants: []check{rcode(dns.RcodeServerFailure), extended(22, 23), notAsked()}},
			{name: "label boundary", source: "hashicorp/consul #6741", under: "notconsul", sends: "`….notconsul`, which is not Consul's", flags: []string{"--consul-dns=127.0.0.1:1"}, wants: []check{rcode(dns.RcodeSuccess), records(1)}},
		},
	}
}
