package wire

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// packed is a message in wire form with room behind it, as the server's buffers have.
func packed(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatalf("cannot pack %v: %v", m, err)
	}
	return append(make([]byte, 0, len(b)+64), b...)
}

func unpacked(t testing.TB, b []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		t.Fatalf("cannot unpack %x: %v", b, err)
	}
	return m
}

// asked is a client's query; edns 0 means that it has no OPT.
func asked(name string, typ, edns uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), typ)
	if edns > 0 {
		m.SetEdns0(edns, false)
	}
	return m
}

// parsed packs a query and views it.
func parsed(t testing.TB, m *dns.Msg) ([]byte, Query) {
	t.Helper()
	pkt := packed(t, m)
	var q Query
	if v := Parse(pkt, &q); v != OK {
		t.Fatalf("verdict %d for %v", v, m)
	}
	return pkt, q
}

func rrs(t testing.TB, lines ...string) []dns.RR {
	t.Helper()
	list := make([]dns.RR, len(lines))
	for i, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list[i] = rr
	}
	return list
}

// wireForm is a name of a test in wire form, as spelled.
func wireForm(t testing.TB, name string) []byte {
	t.Helper()
	b := make([]byte, 300)
	n, err := dns.PackDomainName(dns.Fqdn(name), b, 0, nil, false)
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	return b[:n]
}

// texts is a section without its OPT as it is compared: names regardless of case.
func texts(section []dns.RR) (list []string) {
	for _, rr := range section {
		if rr.Header().Rrtype != dns.TypeOPT {
			list = append(list, strings.ToLower(rr.String()))
		}
	}
	return list
}

// packer compresses names wherever a server may, in any record and not only where miekg/dns does, and at random, so that pointers lead to whatever
// spelled a suffix before.
type packer struct {
	rng  *rand.Rand
	seen map[string][]int
	b    []byte
}

func (p *packer) name(name string) {
	labels := dns.SplitDomainName(name)
	for i := range labels {
		suffix := strings.Join(labels[i:], ".")
		if offs := p.seen[suffix]; len(offs) > 0 && p.rng.IntN(8) > 0 {
			p.b = binary.BigEndian.AppendUint16(p.b, 0xc000|uint16(offs[p.rng.IntN(len(offs))]))
			return
		}
		if len(p.b) <= maxPointer {
			p.seen[suffix] = append(p.seen[suffix], len(p.b))
		}
		p.b = append(append(p.b, byte(len(labels[i]))), labels[i]...)
	}
	p.b = append(p.b, 0)
}

func (p *packer) rr(t testing.TB, rr dns.RR) {
	h := rr.Header()
	p.name(h.Name)
	p.b = binary.BigEndian.AppendUint16(p.b, h.Rrtype)
	p.b = binary.BigEndian.AppendUint16(p.b, h.Class)
	p.b = binary.BigEndian.AppendUint32(p.b, h.Ttl)
	at := len(p.b)
	p.b = append(p.b, 0, 0)
	u16 := func(n ...uint16) {
		for _, v := range n {
			p.b = binary.BigEndian.AppendUint16(p.b, v)
		}
	}
	switch rr := rr.(type) {
	case *dns.NS:
		p.name(rr.Ns)
	case *dns.CNAME:
		p.name(rr.Target)
	case *dns.PTR:
		p.name(rr.Ptr)
	case *dns.DNAME:
		p.name(rr.Target)
	case *dns.MB:
		p.name(rr.Mb)
	case *dns.MINFO:
		p.name(rr.Rmail)
		p.name(rr.Email)
	case *dns.RP:
		p.name(rr.Mbox)
		p.name(rr.Txt)
	case *dns.AFSDB:
		u16(rr.Subtype)
		p.name(rr.Hostname)
	case *dns.MX:
		u16(rr.Preference)
		p.name(rr.Mx)
	case *dns.SRV:
		u16(rr.Priority, rr.Weight, rr.Port)
		p.name(rr.Target)
	case *dns.SOA:
		p.name(rr.Ns)
		p.name(rr.Mbox)
		for _, v := range []uint32{rr.Serial, rr.Refresh, rr.Retry, rr.Expire, rr.Minttl} {
			p.b = binary.BigEndian.AppendUint32(p.b, v)
		}
	default:
		buf := make([]byte, 4096)
		n, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			t.Fatalf("%v: %v", rr, err)
		}
		r, _ := readRR(buf[:n], 0)
		p.b = append(p.b, buf[r.rdata:n]...)
	}
	binary.BigEndian.PutUint16(p.b[at:], uint16(len(p.b)-at-2))
}

// tightly packs a message with names compressed in all records.
func tightly(t testing.TB, rng *rand.Rand, m *dns.Msg) []byte {
	t.Helper()
	head := *m
	head.Answer, head.Ns, head.Extra = nil, nil, nil
	p := &packer{rng: rng, seen: map[string][]int{}, b: packed(t, &head)[:HeaderLen]}
	p.name(m.Question[0].Name)
	p.b = binary.BigEndian.AppendUint16(p.b, m.Question[0].Qtype)
	p.b = binary.BigEndian.AppendUint16(p.b, m.Question[0].Qclass)
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			p.rr(t, rr)
		}
	}
	setCounts(p.b, 1, len(m.Answer), len(m.Ns), len(m.Extra))
	return append(make([]byte, 0, len(p.b)+64), p.b...)
}
