package conformance

import (
	"bytes"
	"encoding/base64"
	"net"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// Options of the probes.
var (
	nsid       = &dns.EDNS0_NSID{Code: dns.EDNS0NSID}
	cookie     = &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}
	expire     = &dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Empty: true}
	subnet     = &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, Address: net.IPv4zero}
	option100  = &dns.EDNS0_LOCAL{Code: 100}
	allOptions = []dns.EDNS0{nsid, subnet, expire, cookie}
)

// soa asks as genreport does: SOA, RD=0.
func soa(m *dns.Msg) {
	m.Question[0].Qtype = dns.TypeSOA
	m.RecursionDesired = false
}

// well is what every probe wants that has no error in it: the SOA, and the upstream asked
// just so.
func well(more ...check) []check {
	return append([]check{rcode(dns.RcodeSuccess), records(1), verbatim(), sameID(), sameQuestion()}, more...)
}

// badVersion is the reply to EDNS 1 (RFC 6891 section 6.1.3).
func badVersion() []check {
	return []check{rcode(dns.RcodeBadVers), records(0), opt(), noOptions(), notAsked()}
}

// genreport is the table of probes of ISC's program: what it wants of a server of zones, where
// a forwarder leaves it to the upstream, is that the probe reaches the upstream unharmed.
func genreport() suite {
	s := suite{
		title:  "genreport: probes of ISC's DNS-Compliance-Testing (RFC 8906)",
		about:  "The probes ask for SOA with RD=0, as genreport does. What the upstream has to judge reaches it byte for byte; what this server has to judge, it judges.",
		source: func(string) string { return "genreport.c" },
		omitted: []omission{
			{"dnswkk", "its key is one that the server of a zone has to know; a signed query is forwarded as it is (RFC 5625 4.5 below)"},
			{"icmp", "asks the host, not its DNS server"},
		},
	}
	for _, p := range []struct {
		name, sends string
		flag        uint16
	}{
		{"aa", "AA=1", flagAA},
		{"ad", "AD=1", flagAD},
		{"cd", "CD=1", flagCD},
		{"ra", "RA=1", flagRA},
		{"rd", "RD=1", flagRD},
		{"tc", "TC=1", flagTC},
		{"zflag", "the reserved bit Z=1", flagZ},
	} {
		wants := well(noOPT())
		switch p.flag {
		case flagAA, flagTC, flagZ:
			wants = append(wants, clear(p.flag))
		case flagRD, flagRA:
			wants = append(wants, set(p.flag))
		}
		s.cases = append(s.cases, testCase{name: p.name, sends: p.sends, query: soa, raw: flags(p.flag), wants: wants})
	}
	opcode := func(more uint16) func([]byte) []byte {
		return func(b []byte) []byte { return counts(0, 0, 0, 0)(flags(15<<11 | more)(b[:12])) }
	}
	notImplemented := []check{rcode(dns.RcodeNotImplemented), sameID(), headerOnly(), notAsked()}
	s.cases = append(s.cases, []testCase{
		{name: "dns", sends: "nothing special", query: soa, wants: well(noOPT())},
		{name: "opcode", sends: "a header with opcode 15", query: soa, raw: opcode(0), wants: notImplemented},
		{name: "opcodeflg", sends: "a header with opcode 15, AA, TC, RD, RA, Z, AD and CD", query: soa, raw: opcode(flagAA | flagTC | flagRD | flagRA | flagZ | flagAD | flagCD), wants: notImplemented},
		{name: "type666", sends: "type 666", query: all(soa, typed(666)), wants: []check{rcode(dns.RcodeSuccess), records(0), verbatim(), sameQuestion()}},
		{name: "tcp", sends: "over TCP", query: soa, tcp: true, wants: well(noOPT(), overTCP())},
		{name: "edns", sends: "EDNS", query: all(soa, edns(4096, false)), wants: well(opt())},
		{name: "edns1", sends: "EDNS of version 1", query: all(soa, edns(4096, false), version(1)), wants: badVersion()},
		{name: "edns@512", sends: "DNSKEY, EDNS with size 512 and DO, for an answer of 1 kB", query: all(soa, typed(dns.TypeDNSKEY), edns(512, true)), script: answer(dnskeys()), wants: []check{rcode(dns.RcodeSuccess), set(flagTC), atMost(512), opt(), do()}},
		{name: "ednsopt", sends: "EDNS option 100, which nobody knows", query: all(soa, edns(4096, false, option100)), wants: well(opt(), noOptions())},
		{name: "edns1opt", sends: "the same with EDNS version 1", query: all(soa, edns(4096, false, option100), version(1)), wants: badVersion()},
		{name: "do", sends: "EDNS with DO", query: all(soa, edns(4096, true)), wants: well(opt(), do())},
		{name: "docd", sends: "EDNS with DO, and CD=1", query: all(soa, edns(4096, true)), raw: flags(flagCD), wants: well(opt(), do())},
		{name: "edns1do", sends: "EDNS of version 1 with DO", query: all(soa, edns(4096, true), version(1)), wants: badVersion()},
		{name: "ednsflags", sends: "EDNS with the unknown flag 0x80", query: all(soa, edns(4096, false), func(m *dns.Msg) { m.IsEdns0().Hdr.Ttl |= 0x80 }), wants: well(opt(), noEDNSFlags())},
		{name: "edns1flags", source: "RFC 6891 sections 6.1.3 and 6.1.4", sends: "the same with EDNS version 1", query: all(soa, edns(4096, false), version(1), func(m *dns.Msg) { m.IsEdns0().Hdr.Ttl |= 0x80 }), wants: append(badVersion(), noEDNSFlags())},
		{name: "optlist", sends: "EDNS with NSID, client subnet, EXPIRE and COOKIE", query: all(soa, edns(4096, false, allOptions...)), wants: well(opt())},
		{name: "ednsnsid", sends: "EDNS with NSID (RFC 5001)", query: all(soa, edns(4096, false, nsid)), wants: well(opt())},
		{name: "ednscookie", sends: "EDNS with COOKIE (RFC 7873)", query: all(soa, edns(4096, false, cookie)), wants: well(opt())},
		{name: "ednsexpire", sends: "EDNS with EXPIRE (RFC 7314)", query: all(soa, edns(4096, false, expire)), wants: well(opt())},
		{name: "ednssubnet", sends: "EDNS with a client subnet (RFC 7871)", query: all(soa, edns(4096, false, subnet)), wants: well(opt())},
		{name: "edns1nsid", sends: "NSID with EDNS version 1", query: all(soa, edns(4096, false, nsid), version(1)), wants: badVersion()},
		{name: "edns1cookie", sends: "COOKIE with EDNS version 1", query: all(soa, edns(4096, false, cookie), version(1)), wants: badVersion()},
		{name: "edns1expire", sends: "EXPIRE with EDNS version 1", query: all(soa, edns(4096, false, expire), version(1)), wants: badVersion()},
		{name: "edns1subnet", sends: "a client subnet with EDNS version 1", query: all(soa, edns(4096, false, subnet), version(1)), wants: badVersion()},
		{name: "docookie", source: "RFC 7873 section 5", sends: "DO with COOKIE", query: all(soa, edns(4096, true, cookie)), wants: well(opt(), do())},
		{name: "ednstcp", sends: "DNSKEY, EDNS with size 512 and DO over TCP, for an answer of 1 kB", query: all(soa, typed(dns.TypeDNSKEY), edns(512, true)), tcp: true, script: answer(dnskeys()), wants: []check{rcode(dns.RcodeSuccess), records(4), verbatim(), sameID(), sameQuestion(), opt(), do(), clear(flagTC), overTCP()}},
		{name: "bind11", sends: "as BIND 9.11 does: DO, COOKIE, RD=0", query: all(soa, edns(4096, true, cookie)), wants: well(opt(), do())},
		{name: "dig11", sends: "as dig of BIND 9.11 does: AD=1, COOKIE, RD=1", query: all(typed(dns.TypeSOA), edns(4096, false, cookie)), raw: flags(flagAD), wants: well(opt(), set(flagRD))},
		{name: "dnssec", source: "RFC 4035 section 3.2.1", sends: "DNSKEY with DO", query: all(soa, typed(dns.TypeDNSKEY), edns(4096, true)), wants: []check{rcode(dns.RcodeSuccess), verbatim(), opt(), do()}},
		{
			name: "one for each type", sends: "every type that the DNS library knows, and some that it does not, with RD=0 and without EDNS", play: everyType,
			promise: "each reaches the upstream under its number; only ANY, AXFR and IXFR do not",
		},
	}...)
	return s
}

// noEDNSFlags wants nothing but DO among the flags of the OPT (RFC 6891 section 6.1.4).
func noEDNSFlags() check {
	return check{"no unknown EDNS flag", func(x *exchange) error {
		o := x.msg.IsEdns0()
		return fits(o != nil && o.Hdr.Ttl&0x7fff == 0, "OPT: %v", o)
	}}
}

// dnskeys is a set of keys of 1 kB.
func dnskeys() lab.Edit {
	var list []string
	for i := range 4 {
		key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{byte(i + 1)}, 240))
		list = append(list, "@ 60 IN DNSKEY 257 3 8 "+key)
	}
	return lab.Answers(list...)
}

func everyType(s *stage) {
	types := []uint16{0, 3, 4, 100, 258, 1000, 32770, 65279, 65280, 65535}
	notForwarded := map[uint16]int{dns.TypeANY: dns.RcodeSuccess, dns.TypeAXFR: dns.RcodeRefused, dns.TypeIXFR: dns.RcodeRefused}
	for qtype := range dns.TypeToString {
		if _, ok := notForwarded[qtype]; !ok {
			types = append(types, qtype)
		}
	}
	for qtype, rcode := range notForwarded {
		if reply := s.exchange("udp", s.pack(ask(s.name, soa, typed(qtype)))); reply.Rcode != rcode {
			s.Errorf("type %d: got:\n%v", qtype, reply)
		}
	}
	if seen := s.seen(s.label); len(seen) > 0 {
		s.Errorf("the upstream was asked for %v", seen[0].Msg.Question)
	}
	for _, qtype := range types {
		reply := s.exchange("udp", s.pack(ask(s.name, soa, typed(qtype))))
		if reply.Rcode != dns.RcodeSuccess || reply.Question[0].Qtype != qtype {
			s.Errorf("type %d: got:\n%v", qtype, reply)
		}
		seen := s.seen(s.label)
		if len(seen) == 0 || seen[len(seen)-1].Msg.Question[0].Qtype != qtype {
			s.Errorf("type %d did not reach the upstream", qtype)
		}
	}
}
