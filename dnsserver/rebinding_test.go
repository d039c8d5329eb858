package dnsserver

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"panteras/configs"
)

// peersOf makes the test's client a peer of the tunnel.
func peersOf(s *configs.Settings) {
	s.TunnelEndpoint, s.TunnelCIDR = "gw.example:51820", netip.MustParsePrefix("127.0.0.0/8")
}

// An SVCB or HTTPS record carries addresses as hints, which browsers use like those of A and AAAA (RFC 9460 section 7.3).
func TestPrivateHintsAreRemoved(t *testing.T) {
	t.Parallel()
	const good = `@ 60 IN HTTPS 1 . alpn="h2,h3" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"`
	for _, test := range []struct {
		name    string
		typ     uint16
		records []string
		want    []string // of the values, in the order of the records
		removed bool
	}{
		{"public hints", dns.TypeHTTPS, []string{good}, []string{`alpn="h2,h3" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"`}, false},
		{"no hints", dns.TypeHTTPS, []string{"@ 60 IN HTTPS 0 www.example."}, []string{""}, false},
		{"IPv4", dns.TypeHTTPS, []string{`@ 60 IN HTTPS 1 . alpn="h2" ipv4hint="10.0.0.1" ipv6hint="2001:db8::1"`}, []string{`alpn="h2" ipv6hint="2001:db8::1"`}, true},
		{"IPv6", dns.TypeHTTPS, []string{`@ 60 IN HTTPS 1 . alpn="h2" ipv4hint="192.0.2.1" ipv6hint="fd00::1"`}, []string{`alpn="h2" ipv4hint="192.0.2.1"`}, true},
		{"one of several", dns.TypeHTTPS, []string{`@ 60 IN HTTPS 1 . ipv4hint="192.0.2.1,127.0.0.1"`}, []string{""}, true},
		{"SVCB", dns.TypeSVCB, []string{`@ 60 IN SVCB 1 . ipv4hint="100.64.0.1" ipv6hint="fe80::1" port="8443"`}, []string{`port="8443"`}, true},
		{"the second record", dns.TypeHTTPS, []string{good, `@ 60 IN HTTPS 2 . ipv4hint="172.16.0.1"`}, []string{`alpn="h2,h3" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"`, ""}, true},
		{"behind an address", dns.TypeHTTPS, []string{"@ 60 IN A 10.0.0.1", `@ 60 IN HTTPS 1 . alpn="h2" ipv4hint="10.0.0.1"`}, []string{`alpn="h2"`}, true},
		{"before an address", dns.TypeHTTPS, []string{`@ 60 IN HTTPS 1 . alpn="h2" ipv4hint="10.0.0.1"`, "@ 60 IN A 10.0.0.1"}, []string{`alpn="h2"`}, true},
	} {
		r := newRig(t, peersOf)
		c := r.client()
		q := c.ask("www.evil.example.", test.typ, 1232)
		r.step()
		r.rec.want().reply(0, test.records...)
		r.step()
		m := c.answers(q)
		var got []string
		for _, rr := range m.Answer {
			text := rr.String()
			text = text[strings.LastIndex(text, "\t")+1:] // priority, target, values
			fields := strings.SplitN(text, " ", 3)
			got = append(got, strings.Join(fields[min(2, len(fields)):], ""))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		if filtered := extendedCode(m) == int(dns.ExtendedErrorCodeFiltered); filtered != test.removed {
			t.Errorf("%s: said to be filtered: %v", test.name, filtered)
		}
		if n := r.w.stats.drops[dropPrivate].Load(); (n == 1) != test.removed {
			t.Errorf("%s: counted %d times", test.name, n)
		}
		r.idle()
	}
}

// Whom the filter is not for gets what the recursor said, byte for byte; so does a peer if nothing is private.
func TestOtherAnswersStayAsTheyAre(t *testing.T) {
	t.Parallel()
	private := []string{`@ 60 IN HTTPS 1 . alpn="h2" ipv4hint="10.0.0.1"`, "@ 60 IN A 10.0.0.1"}
	public := []string{`@ 60 IN HTTPS 1 . alpn="h2" ipv4hint="192.0.2.1"`, "@ 60 IN A 192.0.2.1"}
	for _, test := range []struct {
		name    string
		change  func(s *configs.Settings)
		consul  bool
		records []string
	}{
		{"no tunnel", nil, false, private},
		{"outside the tunnel", func(s *configs.Settings) { peersOf(s); s.TunnelCIDR = netip.MustParsePrefix("10.99.0.0/16") }, false, private},
		{"a name of Consul", peersOf, true, private},
		{"nothing private", peersOf, false, public},
	} {
		r := newRig(t, test.change)
		c := r.client()
		name, server := "www.evil.example.", r.rec
		if test.consul {
			name, server = web, r.consul
		}
		c.ask(name, dns.TypeHTTPS, 1232)
		r.step()
		arrived := server.want()
		arrived.reply(0, test.records...)
		r.step()
		got, _ := receive(c.fd)
		want := new(dns.Msg).SetReply(arrived.Msg)
		want.Compress, want.Id, want.RecursionAvailable = true, c.last, true
		for _, record := range test.records {
			rr, err := dns.NewRR(strings.Replace(record, "@", name, 1))
			if err != nil {
				t.Fatal(err)
			}
			want.Answer = append(want.Answer, rr)
		}
		want.SetEdns0(1232, false)
		if !bytes.Equal(got, packed(t, want)) {
			t.Errorf("%s:\ngot  %x\nwant %x", test.name, got, packed(t, want))
		}
		r.idle()
	}
}
