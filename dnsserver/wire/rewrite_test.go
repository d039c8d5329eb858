package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// answerTo is a reply of an upstream with records in its sections, compressed.
func answerTo(t testing.TB, query *dns.Msg, answer, ns, extra []dns.RR) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetReply(query)
	m.Compress = true
	m.Answer, m.Ns, m.Extra = answer, ns, extra
	return m
}

func optRR(size uint16, rcode int, options ...dns.EDNS0) *dns.OPT {
	o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	o.SetUDPSize(size)
	o.SetExtendedRcode(uint16(rcode))
	o.Option = options
	return o
}

func TestRewriteKeepsWhatTheUpstreamSent(t *testing.T) {
	t.Parallel()
	client := asked("Web.Example.COM", dns.TypeA, 0)
	pkt, q := parsed(t, client)
	reply := answerTo(t, asked("web.example.com", dns.TypeA, 0),
		rrs(t, "web.example.com. 5 IN CNAME a.example.com.", "a.example.com. 5 IN A 192.0.2.1"),
		rrs(t, "example.com. 9 IN NS ns.example.com."), rrs(t, "ns.example.com. 9 IN A 192.0.2.2"))
	reply.Authoritative, reply.AuthenticatedData, reply.RecursionAvailable = true, true, false
	m := packed(t, reply)
	SetID(m, 99)
	out, res := NewRewriter().Rewrite(m, pkt, &q, &Mapping{}, 512, 1232)
	if res != Whole || ID(out) != 99 {
		t.Fatalf("result %d, id %d", res, ID(out))
	}
	if !bytes.Equal(out[HeaderLen:q.QEnd()], pkt[HeaderLen:q.QEnd()]) {
		t.Error("the question is not the client's")
	}
	got := unpacked(t, out)
	if !got.RecursionAvailable || !got.Authoritative || !got.AuthenticatedData || got.Truncated {
		t.Errorf("flags of %v", got)
	}
	for _, s := range [][2][]dns.RR{{got.Answer, reply.Answer}, {got.Ns, reply.Ns}, {got.Extra, reply.Extra}} {
		if !slices.Equal(texts(s[0]), texts(s[1])) {
			t.Errorf("got %v, want %v", s[0], s[1])
		}
	}
}

func TestRewriteGivesAnOPTToThoseWhoSentOne(t *testing.T) {
	t.Parallel()
	cookie := &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "01020304050607080102030405060708"}
	huge := &dns.EDNS0_PADDING{Padding: make([]byte, 2000)}
	a, glue := rrs(t, "a.example. 0 IN A 192.0.2.1"), rrs(t, "b.a.example. 0 IN A 192.0.2.2", "c.a.example. 0 IN A 192.0.2.3")
	tsig := &dns.TSIG{Hdr: dns.RR_Header{Name: "key.a.example.", Rrtype: dns.TypeTSIG, Class: dns.ClassANY}, Algorithm: dns.HmacSHA256, MACSize: 2, MAC: "abcd"}
	for _, test := range []struct {
		name    string
		client  uint16 // EDNS size, 0: none
		extra   []dns.RR
		rcode   int
		want    bool // an OPT
		options int
		left    int // additional records beside the OPT
	}{
		{"neither", 0, nil, 0, false, 0, 0},
		{"stripped", 0, []dns.RR{optRR(4096, 0, cookie)}, 0, false, 0, 0},
		{"stripped from between others", 0, []dns.RR{glue[0], optRR(4096, 0), glue[1]}, 0, false, 0, 2},
		{"kept with its options", 1232, []dns.RR{optRR(4096, 0, cookie)}, 0, true, 1, 0},
		{"added where the upstream lost it", 1232, glue, 0, true, 0, 2},
		{"kept before a TSIG", 1232, []dns.RR{glue[0], optRR(4096, 0, cookie), tsig}, 0, true, 1, 2},
		{"stripped before a TSIG", 0, []dns.RR{optRR(4096, 0, cookie), tsig}, 0, false, 0, 1},
		{"with an extended rcode", 1232, []dns.RR{optRR(4096, dns.RcodeBadCookie, cookie)}, dns.RcodeBadCookie, true, 1, 0},
		{"replaced where its options are huge", 1232, []dns.RR{optRR(4096, 0, huge)}, 0, true, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := asked("A.example", dns.TypeA, test.client)
			if test.client > 0 {
				client.IsEdns0().SetDo()
			}
			pkt, q := parsed(t, client)
			reply := answerTo(t, client, a, nil, test.extra)
			reply.Rcode = test.rcode
			out, res := NewRewriter().Rewrite(packed(t, reply), pkt, &q, &Mapping{}, q.UDPSize, 1400)
			if res != Whole {
				t.Fatalf("result %d", res)
			}
			got := unpacked(t, out)
			o := got.IsEdns0()
			if (o != nil) != test.want || len(got.Answer) != 1 || len(texts(got.Extra)) != test.left {
				t.Fatalf("got %v", got)
			}
			if o == nil {
				return
			}
			if o.UDPSize() != 1400 || len(o.Option) != test.options || got.Rcode != test.rcode {
				t.Errorf("got %v", got)
			}
			if _, last := got.Extra[len(got.Extra)-1].(*dns.OPT); !last {
				t.Errorf("the OPT is not the last record of %v", got)
			}
		})
	}
}

func TestAReplyWithoutAQuestionGetsTheClients(t *testing.T) {
	t.Parallel()
	for _, edns := range []uint16{0, 1232} {
		pkt, q := parsed(t, asked("A.example", dns.TypeA, edns))
		reply := new(dns.Msg).SetRcode(asked("a.example", dns.TypeA, 0), dns.RcodeFormatError)
		reply.Question, reply.Id = nil, 5
		out, res := NewRewriter().Rewrite(packed(t, reply), pkt, &q, &Mapping{}, 512, 1232)
		got := unpacked(t, out)
		if res != Whole || got.Id != 5 || !got.Response || got.Rcode != dns.RcodeFormatError || !got.RecursionAvailable || (got.IsEdns0() != nil) != (edns > 0) ||
			len(got.Question) != 1 || got.Question[0].Name != "A.example." {
			t.Errorf("result %d, got %v", res, got)
		}
	}
}

// srvReply is what Consul says of a service with n instances.
func srvReply(t testing.TB, query *dns.Msg, n int) *dns.Msg {
	t.Helper()
	var answer, extra []dns.RR
	for i := range n {
		target := fmt.Sprintf("0a01%02x%02x.addr.dc1.consul.", i/250, i%250+1)
		answer = append(answer, &dns.SRV{Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeSRV, Class: dns.ClassINET}, Priority: 1, Weight: 1, Port: uint16(31000 + i), Target: target})
		extra = append(extra, &dns.A{Hdr: dns.RR_Header{Name: target, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{10, 1, byte(i / 250), byte(i%250 + 1)}})
	}
	return answerTo(t, query, answer, nil, extra)
}

func TestRewriteFitsTheLimit(t *testing.T) {
	t.Parallel()
	srv := asked("web.service.consul", dns.TypeSRV, 0)
	srvEDNS := asked("web.service.consul", dns.TypeSRV, 1232)
	var many []dns.RR
	for i := range 60 {
		many = append(many, rrs(t, fmt.Sprintf("a.example. 0 IN A 192.0.2.%d", i))...)
	}
	var text []string
	for range 20 {
		text = append(text, fmt.Sprintf("%q", strings.Repeat("x", 60)))
	}
	bulk := rrs(t, "example. 9 IN TXT "+strings.Join(text, " "))
	soa := rrs(t, "example. 9 IN SOA a.example. b.example. 1 2 3 4 5")
	for _, test := range []struct {
		name            string
		query           *dns.Msg
		reply           *dns.Msg
		res             Result
		answers, others int // others: authority and additional, no OPT
		some            bool
	}{
		{"SRV whole", srv, srvReply(t, srv, 3), Whole, 3, 3, false},
		{"additional records go first and without TC", srv, srvReply(t, srv, 8), Trimmed, 8, 1, true},
		{"SRV: what fits, with TC", srv, srvReply(t, srv, 300), Truncated, 8, 0, true},
		{"SRV with EDNS", srvEDNS, srvReply(t, srvEDNS, 300), Truncated, 20, 0, true},
		{"SRV: only the authority section is too much", srv, answerTo(t, srv, srvReply(t, srv, 3).Answer, bulk, nil), Trimmed, 3, 0, false},
		{"A: none, with TC", asked("a.example", dns.TypeA, 0), answerTo(t, asked("a.example", dns.TypeA, 0), many, nil, nil), Truncated, 0, 0, false},
		{
			"A: additional records go without TC", asked("a.example", dns.TypeA, 0),
			answerTo(t, asked("a.example", dns.TypeA, 0), many[:5], soa, append(slices.Clone(many[:2]), bulk...)), Trimmed, 5, 3, false,
		},
		{
			// What says that there is nothing is no extra: without it, the client could take the answer for another one.
			"a negative answer without its authority section has TC", asked("a.example", dns.TypeA, 0),
			answerTo(t, asked("a.example", dns.TypeA, 0), nil, append(soa, bulk...), nil), Truncated, 0, 0, false,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			pkt, q := parsed(t, test.query)
			out, res := NewRewriter().Rewrite(packed(t, test.reply), pkt, &q, &Mapping{}, q.UDPSize, 1232)
			got := unpacked(t, out)
			if res != test.res || got.Truncated != (test.res == Truncated) || len(out) > q.UDPSize || (got.IsEdns0() != nil) != q.HasOPT() {
				t.Fatalf("result %d, %d bytes, got %v", res, len(out), got)
			}
			others := len(got.Ns) + len(texts(got.Extra))
			if test.some && (len(got.Answer) < test.answers || others < test.others) || !test.some && (len(got.Answer) != test.answers || others != test.others) {
				t.Errorf("%d answers and %d others, want %d and %d", len(got.Answer), others, test.answers, test.others)
			}
			if !slices.Equal(texts(got.Answer), texts(test.reply.Answer[:len(got.Answer)])) {
				t.Errorf("got %v", got.Answer)
			}
			if next := len(got.Answer); test.some && next < len(test.reply.Answer) {
				if left := q.UDPSize - len(out); left >= dns.Len(test.reply.Answer[next])-dns.Len(test.reply.Answer[next])/3 {
					t.Errorf("%d bytes are left over", left)
				}
			}
		})
	}
}

func TestRewriteRefusesWhatItCannotWalk(t *testing.T) {
	t.Parallel()
	query := asked("web.service.consul", dns.TypeSRV, 1232)
	pkt, q := parsed(t, query)
	good := packed(t, srvReply(t, query, 3))
	for n := q.QEnd(); n < len(good); n++ {
		if _, res := NewRewriter().Rewrite(bytes.Clone(good[:n]), pkt, &q, &Mapping{}, 1232, 1232); res != Broken {
			t.Fatalf("result %d for the first %d of %d bytes", res, n, len(good))
		}
	}
	two := answerTo(t, query, nil, nil, []dns.RR{optRR(512, 0), optRR(512, 0)})
	if _, res := NewRewriter().Rewrite(packed(t, two), pkt, &q, &Mapping{}, 1232, 1232); res != Broken {
		t.Errorf("result %d for two OPT", res)
	}
}

func TestShortenFitsAnAnswerWithoutEDNS(t *testing.T) {
	t.Parallel()
	pkt, q := parsed(t, asked("web.service.consul", dns.TypeSRV, 0))
	out, res := NewRewriter().Rewrite(packed(t, srvReply(t, asked("web.service.consul", dns.TypeSRV, 0), 100)), pkt, &q, &Mapping{}, MaxMessage, 1232)
	if res != Whole {
		t.Fatalf("result %d", res)
	}
	out, res = Shorten(out, &q, 512)
	if got := unpacked(t, out); res != Truncated || len(out) > 512 || len(got.Answer) < 5 || !got.Truncated {
		t.Errorf("result %d, %v", res, got)
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 17)) }
