package dnsserver

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"panteras/dnsserver/wire"
)

// Whatever /etc/hosts and resolv.conf hold, each name that is read is answered so that a client can read it, the host's own name keeps its address, and
// recursors are addresses.
func FuzzHostFiles(f *testing.F) {
	f.Add("127.0.0.1 localhost\n127.0.1.1 node1.acme.test node1\n192.0.2.7 web WEB. a.b # x\n")
	f.Add("::ffff:192.0.2.1 x\nfe80::1%eth0 y\n\xff\x00 z\n10.0.0.1\t\\032 \"q\" ; ( @ $\n")
	f.Add("192.0.2.1 " + strings.Repeat("a.", 126) + "a " + strings.Repeat("b", 64) + " 1.2.3.4\n")
	f.Add("nameserver 10.0.0.1\nnameserver fe80::1%eth0\noptions edns0\nnameserver 127.0.0.53 x\n")
	settings := testSettings(netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2"), netip.MustParseAddrPort("127.0.0.1:3"))
	own := settings.IP
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		for _, server := range parseResolvConf([]byte(text)) {
			if !server.IsValid() || server.Port() != 53 || !strings.Contains(text, "nameserver") {
				t.Fatalf("recursor %v", server)
			}
		}
		names := localNames(settings, []byte(text))
		for _, name := range []string{settings.Hostname, settings.FQDN} {
			if n := names[string(wireName(name))]; n == nil || len(n.addrs) != 1 || n.addrs[0] != own {
				t.Fatalf("%s is %+v", name, n)
			}
		}
		s := &snapshot{names: names, udpSize: 1232}
		for name, local := range names {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeTXT} {
				pkt := append([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, name...)
				pkt = append(pkt, byte(qtype>>8), byte(qtype), 0, 1)
				var q wire.Query
				if v := wire.Parse(pkt, &q); v != wire.OK {
					t.Fatalf("nobody can ask for %q: %v", name, v)
				}
				d := s.decide(&q, []byte(name))
				if d.act != actLocal || d.host != local {
					t.Fatalf("%q is not answered here: %+v", name, d)
				}
				m := new(dns.Msg)
				if out := s.answerLocal(pkt, &q, []byte(name), &d, wire.MaxMessage); out == nil {
					t.Fatalf("%q has no answer: %+v", name, local)
				} else if err := m.Unpack(out); err != nil {
					t.Fatalf("%v in the answer for %q: %x", err, name, out)
				}
				want := len(local.ptr)
				if qtype != dns.TypePTR {
					want = 0
					for _, a := range local.addrs {
						if a.Is4() == (qtype == dns.TypeA) && qtype != dns.TypeTXT {
							want++
						}
					}
				}
				if len(m.Answer) > want || want > 0 && len(m.Answer) == 0 {
					t.Fatalf("%q type %d: %d records of %+v", name, qtype, len(m.Answer), local)
				}
			}
		}
	})
}
