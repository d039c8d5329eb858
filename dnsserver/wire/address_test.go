package wire

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// Answers with addresses are what miekg/dns reads in them: whole or TC=1, beginning anywhere, with an OPT for those who sent one.
func TestAppendAddresses(t *testing.T) {
	t.Parallel()
	v4 := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")}
	v6 := []netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")}
	for _, test := range []struct {
		addrs        []netip.Addr
		first, limit int
		edns         bool
		want         []string
		truncated    bool
	}{
		{v4, 0, 512, false, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}, false},
		{v4, 2, 512, true, []string{"10.0.0.3", "10.0.0.1", "10.0.0.2"}, false},
		{v6, 1, 512, true, []string{"fd00::2", "fd00::1"}, false},
		{v4, 1, 36 + 3*16, false, []string{"10.0.0.2", "10.0.0.3", "10.0.0.1"}, false},
		{v4, 1, 36 + 3*16 - 1, false, nil, true},
		{v4, 1, 36 + 3*16 + 11, true, []string{"10.0.0.2", "10.0.0.3", "10.0.0.1"}, false},
		{v4, 1, 36 + 3*16 + 10, true, nil, true},
		{v6, 0, 36 + 2*28 - 1, false, nil, true},
	} {
		typ := dns.TypeA
		if test.addrs[0].Is6() {
			typ = dns.TypeAAAA
		}
		ask := new(dns.Msg).SetQuestion("Web.service.consul.", typ)
		if test.edns {
			ask.SetEdns0(4096, true)
		}
		pkt, err := ask.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var q Query
		if Parse(pkt, &q) != OK {
			t.Fatal("not parsed")
		}
		out := AppendAddresses([]byte("kept"), pkt, &q, test.addrs, test.first, test.limit, 1232)
		if string(out[:4]) != "kept" || len(out)-4 > test.limit {
			t.Errorf("%+v: %d bytes", test, len(out)-4)
		}
		m := new(dns.Msg)
		if err := m.Unpack(out[4:]); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, rr := range m.Answer {
			if h := rr.Header(); h.Name != "Web.service.consul." || h.Ttl != 0 || h.Class != dns.ClassINET {
				t.Errorf("%+v: %s", test, rr)
			}
			switch rr := rr.(type) {
			case *dns.A:
				got = append(got, rr.A.String())
			case *dns.AAAA:
				got = append(got, rr.AAAA.String())
			}
		}
		if !slices.Equal(got, test.want) || m.Truncated != test.truncated || m.Id != ask.Id || !m.Response || !m.Authoritative || !m.RecursionAvailable || !m.RecursionDesired {
			t.Errorf("%+v: %s", test, m)
		}
		if opt := m.IsEdns0(); (opt != nil) != test.edns || opt != nil && (!opt.Do() || opt.UDPSize() != 1232) {
			t.Errorf("%+v: OPT %v", test, opt)
		}
	}
}
