package wire

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// randomRR is a record whose names share suffixes with what was asked, so that they compress.
func randomRR(t testing.TB, rng *rand.Rand, there, apex string) dns.RR {
	name := func() string {
		return []string{there, strings.ToUpper(there), "x." + there, apex, "ns." + apex, "node1.node.dc1." + apex, "Other.Example.", "."}[rng.IntN(8)]
	}
	owner := name()
	if rng.IntN(2) == 0 {
		owner = there
	}
	data := []string{
		"A 10.1.0.1", "AAAA 2001:db8::1", "SRV 1 1 31000 " + name(), "CNAME " + name(), "NS " + name(), "PTR " + name(), "MX 10 " + name(), "DNAME " + name(),
		fmt.Sprintf("SOA %s %s 1 2 3 4 5", name(), name()), "MINFO " + name() + " " + name(), `TXT "some text" "more"`, "MB " + name(),
		`NAPTR 1 1 "s" "x" "" ` + name(), `TYPE65280 \# 4 c00cc00c`, "HTTPS 1 . alpn=h2", "RP " + name() + " " + name(), "AFSDB 1 " + name(),
	}[rng.IntN(17)]
	return rrs(t, owner+" 5 IN "+data)[0]
}

// Random replies to random queries: what comes out is what miekg/dns says it should be.
func TestRewriteProperty(t *testing.T) {
	t.Parallel()
	rng := newRand(2026)
	names := []string{"not mapped"}
	for name := range mappings {
		names = append(names, name)
	}
	slices.Sort(names)
	w := NewRewriter()
	for i := range 4000 {
		mp, isMapped := mappings[names[rng.IntN(len(names))]]
		client, apex := "Web."+mp.from, dns.Fqdn(mp.apex)
		mapping := &Mapping{}
		if isMapped {
			mapping = mp.mapping(t)
		} else {
			client, apex = "Web.service.consul", "consul."
			mp = mapped{from: "consul", to: "consul", apex: "none.such"}
		}
		query := asked(client, []uint16{dns.TypeSRV, dns.TypeA, dns.TypeTXT}[rng.IntN(3)], uint16(rng.IntN(2)*(512+rng.IntN(1000))))
		pkt, q := parsed(t, query)
		reply := new(dns.Msg).SetReply(asked(strings.ToLower(mp.there(client)), q.Type, 0))
		reply.MsgHdr.Rcode = rng.IntN(6)
		reply.Authoritative, reply.RecursionAvailable, reply.AuthenticatedData, reply.Truncated = rng.IntN(2) == 0, rng.IntN(2) == 0, rng.IntN(2) == 0, rng.IntN(9) == 0
		for _, s := range []*[]dns.RR{&reply.Answer, &reply.Ns, &reply.Extra} {
			for range rng.IntN(9) {
				*s = append(*s, randomRR(t, rng, mp.there(client), apex))
			}
		}
		hadOPT := rng.IntN(2) == 0
		if hadOPT {
			at := rng.IntN(len(reply.Extra) + 1)
			reply.Extra = slices.Insert(reply.Extra, at, dns.RR(optRR(4096, 0, &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "abcd"})))
		}
		reply.Compress = rng.IntN(2) == 0
		b := packed(t, reply)
		if rng.IntN(2) == 0 {
			b = tightly(t, rng, reply)
		}
		limit := []int{q.UDPSize, 1232, MaxMessage}[rng.IntN(3)]
		whole, res := w.Rewrite(slices.Clone(b), pkt, &q, mapping, MaxMessage, 1300)
		if res != Whole {
			t.Fatalf("%d: result %d for %v", i, res, reply)
		}
		wholeLen := len(whole)
		out, res := w.Rewrite(b, pkt, &q, mapping, limit, 1300)
		got := unpacked(t, out)
		fail := func(why string) {
			t.Helper()
			t.Fatalf("%d: %s (result %d, limit %d, %d bytes of %d)\nreply %v\ngot %v", i, why, res, limit, len(out), wholeLen, reply, got)
		}
		switch {
		case len(out) > limit:
			fail("too long")
		case (res == Whole) != (wholeLen <= limit):
			fail("cut without need, or not cut")
		case string(out[HeaderLen:q.QEnd()]) != string(pkt[HeaderLen:q.QEnd()]):
			fail("the question is not the client's")
		case got.Id != reply.Id || got.Authoritative != reply.Authoritative || got.AuthenticatedData != reply.AuthenticatedData || got.Rcode != reply.Rcode || !got.RecursionAvailable:
			fail("header")
		case got.Truncated != (reply.Truncated || res == Truncated):
			fail("TC")
		case (got.IsEdns0() != nil) != q.HasOPT():
			fail("OPT")
		case q.HasOPT() && (got.IsEdns0().UDPSize() != 1300 || hadOPT && len(got.IsEdns0().Option) != 1):
			fail("in the OPT")
		}
		answer, ns, extra := texts(mp.expected(reply.Answer, client, false)), texts(mp.expected(reply.Ns, client, true)), texts(reply.Extra)
		switch res {
		case Trimmed:
			if len(texts(got.Extra)) < len(extra) {
				extra = extra[:len(texts(got.Extra))]
			}
			if q.Type == dns.TypeSRV && len(got.Ns) == 0 && len(got.Extra) <= 1 {
				ns = nil
			}
		case Truncated:
			ns, extra = nil, nil
			if q.Type != dns.TypeSRV {
				answer = nil
			} else if len(got.Answer) < len(answer) {
				answer = answer[:len(got.Answer)]
			}
		}
		if !slices.Equal(texts(got.Answer), answer) || !slices.Equal(texts(got.Ns), ns) || !slices.Equal(texts(got.Extra), extra) {
			fail("records")
		}
	}
}
