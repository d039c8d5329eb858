package dnsserver

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"panteras/dnsserver/wire"
)

// A name that fits under consul. but not under a longer CONSUL_DOMAIN cannot exist there.
func TestNameTooLongForTheDomain(t *testing.T) {
	t.Parallel()
	s := testSettings(netip.MustParseAddrPort("127.0.0.1:53"), consulAddr, recAddr)
	s.ConsulDomain = strings.Repeat("cloudnil.", 4) + "com"
	snap, _, err := build(s, facts{}, newTestServer(t, s).upstreamFor)
	if err != nil {
		t.Fatal(err)
	}
	label := strings.Repeat("a", 63) + "."
	for labels, want := range map[int]action{3: actForward, 0: actForward} {
		name := wireName(strings.Repeat(label, labels) + "consul")
		if d := snap.decide(&wire.Query{Type: dns.TypeA, Class: wire.ClassIN}, name); d.act != want {
			t.Errorf("%d labels: %+v", labels, d)
		}
	}
	name := wireName(strings.Repeat(label, 3) + strings.Repeat("b", 45) + ".consul")
	d := snap.decide(&wire.Query{Type: dns.TypeA, Class: wire.ClassIN}, name)
	if d.act != actError || d.rcode != wire.RcodeNXDomain {
		t.Errorf("%d bytes: %+v", len(name), d)
	}
}
