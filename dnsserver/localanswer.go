package dnsserver

import (
	"net/netip"

	"github.com/miekg/dns"

	"panteras/dnsserver/wire"
)

// localName is what this host knows of one name.
type localName struct {
	addrs []netip.Addr
	ptr   []string // names, fully qualified, for a reverse name
}

// emptyTTL is the lifetime of "no such name" in the zones of RFC 6303 section 3, in seconds. All other answers of ours have 0.
const emptyTTL = 10800

// answerLocal makes the answer to a query that is not forwarded; nil if the query cannot be unpacked.
func (s *snapshot) answerLocal(pkt []byte, q *wire.Query, name []byte, d *decision, limit int) []byte {
	req := new(dns.Msg)
	if req.Unpack(wire.AppendQuestion(nil, pkt, q)) != nil || len(req.Question) != 1 {
		return nil
	}
	m := new(dns.Msg)
	m.SetReply(req)
	m.CheckingDisabled = req.CheckingDisabled
	m.RecursionAvailable, m.Authoritative = true, true
	if q.Class == wire.ClassIN || q.Class == wire.TypeANY { // of another class nothing is known here
		s.localRecords(m, name, q.Type, d)
	}
	if q.HasOPT() {
		m.SetEdns0(uint16(s.udpSize), q.DO)
	}
	m.Truncate(limit)
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	copy(out[wire.HeaderLen:], q.Name(pkt))
	return out
}

// localRecords fills in what is known here of a name.
func (s *snapshot) localRecords(m *dns.Msg, name []byte, typ uint16, d *decision) {
	owner := m.Question[0].Name
	switch d.local {
	case localHost:
		s.hostRecords(m, owner, typ, d.host)
	case localLoopback:
		addRecords(m, owner, typ, []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()})
	case localEmpty:
		emptyZone(m, owner, typ, d.entry.Suffix, d.entry.Apex(name))
	case localMinimal:
		m.Answer = []dns.RR{&dns.HINFO{Hdr: header(owner, dns.TypeHINFO, 0), Cpu: "RFC8482"}}
	case localNoDS:
		m.Ns = []dns.RR{consulLikeSOA(d.entry.Suffix)}
	case localAddress:
		addRecords(m, owner, addressType(s.legacy), []netip.Addr{s.legacy})
	case localNoAddress:
		addRecords(m, owner, typ, nil)
	}
}

func header(owner string, typ uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: typ, Class: dns.ClassINET, Ttl: ttl}
}

// hostRecords answers for a name of this host; other types than it has are NODATA, and nothing leaks upstream.
func (s *snapshot) hostRecords(m *dns.Msg, owner string, typ uint16, h *localName) {
	if typ == dns.TypePTR {
		for _, p := range h.ptr {
			m.Answer = append(m.Answer, &dns.PTR{Hdr: header(owner, dns.TypePTR, 0), Ptr: p})
		}
	} else {
		addRecords(m, owner, typ, h.addrs)
	}
	if len(m.Answer) == 0 {
		m.Ns = []dns.RR{soa(owner, 0)}
	}
}

func addRecords(m *dns.Msg, owner string, typ uint16, addrs []netip.Addr) {
	for _, a := range addrs {
		if addressType(a) != typ {
			continue
		}
		if typ == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{Hdr: header(owner, typ, 0), A: a.AsSlice()})
		} else {
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: header(owner, typ, 0), AAAA: a.AsSlice()})
		}
	}
	if len(m.Answer) == 0 {
		m.Ns = []dns.RR{soa(owner, 0)}
	}
}

// emptyZone answers as RFC 6303 section 3 wants it: an SOA and an NS at the apex, and nothing below.
func emptyZone(m *dns.Msg, owner string, typ uint16, suffix string, apex bool) {
	zone := presentation(suffix)
	start := soa(zone, emptyTTL)
	switch {
	case !apex:
		m.Rcode = dns.RcodeNameError
		m.Ns = []dns.RR{start}
	case typ == dns.TypeSOA:
		start.Hdr.Name = owner
		m.Answer = []dns.RR{start}
	case typ == dns.TypeNS:
		m.Answer = []dns.RR{&dns.NS{Hdr: header(owner, typ, emptyTTL), Ns: zone}}
	default:
		m.Ns = []dns.RR{start}
	}
}

func soa(zone string, ttl uint32) *dns.SOA {
	return &dns.SOA{Hdr: header(zone, dns.TypeSOA, ttl), Ns: zone, Mbox: "nobody.invalid.", Serial: 1, Refresh: 3600, Retry: 1200, Expire: 604800, Minttl: ttl}
}

// consulLikeSOA is the SOA that Consul shows for its zone, with nothing to be cached.
func consulLikeSOA(suffix string) *dns.SOA {
	zone := presentation(suffix)
	return &dns.SOA{Hdr: header(zone, dns.TypeSOA, 0), Ns: "ns." + zone, Mbox: "hostmaster." + zone, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400}
}

// presentation is a name in wire form as text.
func presentation(name string) string {
	s, _, err := dns.UnpackDomainName([]byte(name), 0)
	if err != nil {
		return "."
	}
	return s
}

// wireName is a domain name from the settings in wire form.
func wireName(s string) []byte { return wire.AppendName(nil, s) }
