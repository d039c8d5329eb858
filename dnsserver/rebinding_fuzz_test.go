package dnsserver

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"panteras/dnsserver/wire"
)

// privateIn says whether a record carries an address that the filter is to take out.
func privateIn(rr dns.RR) bool {
	var ips []net.IP
	hints := func(values []dns.SVCBKeyValue) {
		for _, v := range values {
			switch v := v.(type) {
			case *dns.SVCBIPv4Hint:
				ips = append(ips, v.Hint...)
			case *dns.SVCBIPv6Hint:
				ips = append(ips, v.Hint...)
			}
		}
	}
	switch rr := rr.(type) {
	case *dns.A:
		ips = append(ips, rr.A)
	case *dns.AAAA:
		ips = append(ips, rr.AAAA)
	case *dns.SVCB:
		hints(rr.Value)
	case *dns.HTTPS:
		hints(rr.Value)
	}
	return slices.ContainsFunc(ips, func(ip net.IP) bool {
		a, ok := netip.AddrFromSlice(ip)
		return ok && private(a.Unmap())
	})
}

// Whatever a recursor answers, a peer of the tunnel reads no private address in what is left of it; an answer without one stays as it is.
func FuzzFilterPrivate(f *testing.F) {
	ask := new(dns.Msg).SetQuestion("www.evil.example.", dns.TypeHTTPS).SetEdns0(1232, true)
	question, err := ask.Pack()
	if err != nil {
		f.Fatal(err)
	}
	var q wire.Query
	if wire.Parse(question, &q) != wire.OK {
		f.Fatal("the question is not parsed")
	}
	for _, lines := range [][]string{
		{"www.evil.example. 60 IN A 192.0.2.1"},
		{"www.evil.example. 60 IN A 10.0.0.1", "www.evil.example. 60 IN AAAA fd00::1", "www.evil.example. 60 IN A 192.0.2.1"},
		{`www.evil.example. 60 IN HTTPS 1 . mandatory="ipv4hint" alpn="h2" ipv4hint="10.0.0.1,192.0.2.1" ipv6hint="2001:db8::1"`},
		{`www.evil.example. 60 IN SVCB 1 . ipv6hint="::1"`, "www.evil.example. 60 IN CNAME a.example."},
	} {
		m := new(dns.Msg).SetReply(ask)
		for _, line := range lines {
			rr, err := dns.NewRR(line)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		m.Extra = []dns.RR{m.Answer[0]}
		m.SetEdns0(1232, true)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(len(m.Answer)), byte(0), byte(len(m.Extra)), b[q.QEnd():])
	}
	s := &snapshot{udpSize: 1232}
	f.Fuzz(func(t *testing.T, an, ns, ar byte, records []byte) {
		m := append(bytes.Clone(question[:q.QEnd()]), records...)
		if len(m) > wire.MaxMessage {
			return
		}
		m[2] |= 0x80
		copy(m[4:], []byte{0, 1, 0, an, 0, ns, 0, ar})
		was := new(dns.Msg)
		readable := was.Unpack(m) == nil
		sections := func(m *dns.Msg) []dns.RR { return slices.Concat(m.Answer, m.Ns, m.Extra) }
		st := newStats()
		out := s.filterPrivate(bytes.Clone(m), &q, st)
		if wire.ID(out) != wire.ID(m) || !bytes.Equal(out[wire.HeaderLen:q.QEnd()], question[wire.HeaderLen:q.QEnd()]) {
			t.Fatalf("another question: %x became %x", m, out)
		}
		if readable && !slices.ContainsFunc(sections(was), privateIn) {
			if !bytes.Equal(out, m) && len(was.Answer) == int(an) && len(was.Ns) == int(ns) && len(was.Extra) == int(ar) {
				t.Fatalf("%x became %x, and nothing in it is private: %v", m, out, was)
			}
			return
		}
		got := new(dns.Msg)
		if err := got.Unpack(out); err != nil {
			if readable {
				t.Fatalf("%v in %x, made of %v", err, out, was)
			}
			return
		}
		if slices.ContainsFunc(sections(got), privateIn) {
			t.Fatalf("a private address is left: %v", got)
		}
	})
}
