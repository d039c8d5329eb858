package wire

import (
	"testing"

	"github.com/miekg/dns"
)

func BenchmarkParse(b *testing.B) {
	pkt := packed(b, asked("web.service.consul", dns.TypeSRV, 1232))
	var q Query
	b.ReportAllocs()
	for b.Loop() {
		if Parse(pkt, &q) != OK {
			b.Fatal("refused")
		}
	}
}

// 300 instances of a service, as Consul gives them: cut for a client over UDP, whole over TCP, and under another name.
func BenchmarkRewriteSRV300(b *testing.B) {
	mp := mapped{"acme.test", "service.consul", "consul"}
	for _, bench := range []struct {
		name, client string
		mapping      *Mapping
		limit        int
	}{
		{"udp", "web.service.consul", &Mapping{}, 1232},
		{"tcp", "web.service.consul", &Mapping{}, MaxMessage},
		{"mapped", "web.acme.test", mp.mapping(b), MaxMessage},
	} {
		b.Run(bench.name, func(b *testing.B) {
			pkt, q := parsed(b, asked(bench.client, dns.TypeSRV, 1232))
			reply := packed(b, srvReply(b, asked("web.service.consul", dns.TypeSRV, 1232), 300))
			m := make([]byte, len(reply), MaxMessage)
			w := NewRewriter()
			b.SetBytes(int64(len(reply)))
			b.ReportAllocs()
			for b.Loop() {
				copy(m, reply)
				if _, res := w.Rewrite(m, pkt, &q, bench.mapping, bench.limit, 1232); res == Broken {
					b.Fatal("broken")
				}
			}
		})
	}
}
