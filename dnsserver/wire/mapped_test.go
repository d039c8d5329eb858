package wire

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// mapped is a name asked under another suffix.
type mapped struct {
	from, to, apex string
}

func (m mapped) mapping(t testing.TB) *Mapping {
	t.Helper()
	return &Mapping{FromLen: len(wireForm(t, m.from)), To: wireForm(t, m.to), Apex: wireForm(t, m.apex)}
}

// there is the name that is asked for the client's.
func (m mapped) there(name string) string {
	return dns.Fqdn(name[:len(name)-len(m.from)] + m.to)
}

// expected is the section as the client should see it.
func (m mapped) expected(section []dns.RR, client string, authority bool) (list []dns.RR) {
	for _, rr := range section {
		rr = dns.Copy(rr)
		_, soa := rr.(*dns.SOA)
		switch {
		case !authority && strings.EqualFold(rr.Header().Name, m.there(client)):
			rr.Header().Name = dns.Fqdn(client)
		case soa && strings.EqualFold(rr.Header().Name, dns.Fqdn(m.apex)):
			rr.Header().Name = dns.Fqdn(m.from)
		}
		list = append(list, rr)
	}
	return list
}

var mappings = map[string]mapped{
	"to a longer suffix":             {"acme.test", "service.consul", "consul"},
	"to a shorter suffix":            {"services.of.acme.example", "service.dc", "dc"},
	"to a suffix as long":            {"consul", "dc.tst", "dc.tst"},
	"from the alias to a long one":   {"consul", "consul.prod.acme.example", "consul.prod.acme.example"},
	"to a suffix of the client's":    {"svc.consul", "consul", "consul"},
	"from a suffix of what is there": {"consul", "service.consul", "consul"},
}

func TestMappedRepliesAreShownUnderTheClientsName(t *testing.T) {
	t.Parallel()
	for name, mp := range mappings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := "Web." + mp.from
			there := mp.there(client)
			apex := dns.Fqdn(mp.apex)
			target := "node1.node.dc1." + apex
			for what, reply := range map[string]*dns.Msg{
				"SRV": {
					Answer: rrs(t, there+" 0 IN SRV 1 1 31000 "+target, there+" 0 IN SRV 1 1 31001 "+there),
					Extra:  rrs(t, target+" 0 IN A 10.1.0.1", there+" 0 IN A 10.1.0.2", target+` 0 IN TXT "a=b"`),
				},
				"CNAME": {Answer: rrs(t, there+" 0 IN CNAME "+target, target+" 0 IN A 10.1.0.1")},
				"SOA": {
					Ns: rrs(t, apex+" 0 IN SOA ns."+apex+" hostmaster."+apex+" 1 2 3 4 5", "other."+apex+" 0 IN SOA a. b. 1 2 3 4 5", apex+" 0 IN NS ns."+apex),
				},
				"types of RFC 1035": {Answer: rrs(t, there+" 0 IN MX 5 mx."+there, there+" 0 IN MB mb."+there, there+" 0 IN MINFO a."+there+" b."+there,
					there+" 0 IN PTR p."+there, there+" 0 IN NS n."+there, there+" 0 IN DNAME d."+there, there+" 0 IN RP a."+there+" b."+there, there+" 0 IN AFSDB 1 f."+there)},
			} {
				reply.MsgHdr = dns.MsgHdr{Response: true, Rcode: dns.RcodeSuccess}
				reply.SetQuestion(strings.ToLower(there), dns.TypeSRV)
				reply.Response = true
				reply.Extra = append(reply.Extra, optRR(4096, 0))
				pkt, q := parsed(t, asked(client, dns.TypeSRV, 1232))
				for seed := range uint64(40) {
					reply.Compress = seed == 0
					b := packed(t, reply)
					if seed > 1 {
						b = tightly(t, newRand(seed), reply)
					}
					out, res := NewRewriter().Rewrite(b, pkt, &q, mp.mapping(t), 1232, 1232)
					if res != Whole {
						t.Fatalf("%s: result %d", what, res)
					}
					got := unpacked(t, out)
					if got.Question[0].Name != dns.Fqdn(client) || got.IsEdns0() == nil {
						t.Errorf("%s: got %v", what, got)
					}
					compareMapped(t, what, mp, client, got, reply)
				}
			}
		})
	}
}

func compareMapped(t *testing.T, what string, mp mapped, client string, got, reply *dns.Msg) {
	t.Helper()
	for _, s := range []struct {
		section   string
		got, want []dns.RR
	}{
		{"answer", got.Answer, mp.expected(reply.Answer, client, false)},
		{"authority", got.Ns, mp.expected(reply.Ns, client, true)},
		{"additional", got.Extra, reply.Extra},
	} {
		g, w := texts(s.got), texts(s.want)
		for i := range max(len(g), len(w)) {
			if i >= len(g) || i >= len(w) || g[i] != w[i] {
				t.Fatalf("%s, %s section, from record %d: got\n%s\nwant\n%s", what, s.section, i, g[i:min(i+1, len(g))], w[i:min(i+1, len(w))])
			}
		}
	}
}

// The client sees its own spelling as the owner of what it asked for.
func TestMappedOwnersAreSpelledAsAsked(t *testing.T) {
	t.Parallel()
	mp := mappings["to a longer suffix"]
	pkt, q := parsed(t, asked("wEb.ACME.test", dns.TypeA, 0))
	reply := answerTo(t, asked("web.service.consul", dns.TypeA, 0), rrs(t, "web.service.consul. 0 IN A 10.1.0.1"), rrs(t, "consul. 0 IN SOA a. b. 1 2 3 4 5"), nil)
	out, _ := NewRewriter().Rewrite(packed(t, reply), pkt, &q, mp.mapping(t), 512, 1232)
	got := unpacked(t, out)
	if got.Answer[0].Header().Name != "wEb.ACME.test." || got.Ns[0].Header().Name != "ACME.test." {
		t.Errorf("got %v", got)
	}
}

// Consul fills a reply up to 64 KiB, where compression pointers do not reach everything any more; under a longer name there is less room.
func TestLargeMappedSets(t *testing.T) {
	t.Parallel()
	for name, mp := range mappings {
		for _, n := range []int{300, 1000} {
			for _, style := range []string{"plain", "compressed", "tight"} {
				client := "web." + mp.from
				query := asked(mp.there(client), dns.TypeSRV, 0)
				reply := srvReply(t, query, n)
				reply.Compress = style == "compressed"
				b := packed(t, reply)
				if style == "tight" {
					b = tightly(t, newRand(uint64(n)), reply)
				}
				if len(b) > MaxMessage {
					reply.Extra = nil
					if b = packed(t, reply); len(b) > MaxMessage {
						continue // Consul gives no such reply
					}
				}
				pkt, q := parsed(t, asked(client, dns.TypeSRV, 1232))
				out, res := NewRewriter().Rewrite(b, pkt, &q, mp.mapping(t), MaxMessage, 1232)
				got := unpacked(t, out)
				if len(out) > MaxMessage || got.Truncated != (res == Truncated) || (res == Truncated) != (len(got.Answer) < n) {
					t.Fatalf("%s, %d %s: result %d, %d bytes, %d answers", name, n, style, res, len(out), len(got.Answer))
				}
				if len(got.Answer) < n*8/10 {
					t.Fatalf("%s, %d %s: %d answers of %d bytes became %d of %d bytes", name, n, style, n, len(b), len(got.Answer), len(out))
				}
				want := *reply
				want.Answer = want.Answer[:len(got.Answer)]
				want.Extra = want.Extra[:len(texts(got.Extra))]
				compareMapped(t, name+" "+style, mp, client, got, &want)
			}
		}
	}
}

// A pointer reaches 16,383 bytes. What it points to may be moved beyond that, and is spelled out then.
func TestPointersThatDoNotReachAnyMore(t *testing.T) {
	t.Parallel()
	mp := mappings["to a shorter suffix"]
	for n := range 40 { // another name moves all records along
		client := strings.Repeat("a", 1+n) + "." + mp.from
		reply := srvReply(t, asked(mp.there(client), dns.TypeSRV, 0), 600)
		b := packed(t, reply)
		pkt, q := parsed(t, asked(client, dns.TypeSRV, 1232))
		out, res := NewRewriter().Rewrite(b, pkt, &q, mp.mapping(t), MaxMessage, 1232)
		if res != Whole {
			t.Fatalf("result %d", res)
		}
		compareMapped(t, client, mp, client, unpacked(t, out), reply)
	}
}
