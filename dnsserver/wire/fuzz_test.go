package wire

import (
	"bytes"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// seedReplies are what a fuzzer should start from.
func seedReplies(f testing.TB, query *dns.Msg) (list [][]byte) {
	name := query.Question[0].Name
	for _, m := range []*dns.Msg{
		srvReply(f, query, 3),
		srvReply(f, query, 40),
		answerTo(f, query, rrs(f, name+" 0 IN A 10.1.0.1", name+" 0 IN A 10.1.0.2"), nil, []dns.RR{optRR(512, 0)}),
		answerTo(f, query, nil, rrs(f, "consul. 0 IN SOA ns.consul. hostmaster.consul. 1 2 3 4 5"), []dns.RR{optRR(512, 16), rrs(f, "a.consul. 0 IN A 10.1.0.1")[0]}),
		answerTo(f, query, rrs(f, name+" 0 IN MINFO a."+name+" b."+name, name+" 0 IN MX 1 c."+name), nil, nil),
	} {
		list = append(list, packed(f, m), tightly(f, newRand(1), m))
	}
	return append(list, packed(f, new(dns.Msg).SetReply(query))[:HeaderLen])
}

// Whatever arrives, a query that is accepted goes on as miekg/dns would read it.
func FuzzQuery(f *testing.F) {
	for _, m := range []*dns.Msg{
		asked("web.service.consul", dns.TypeSRV, 0), asked("Web.Consul", dns.TypeA, 1232), asked("consul", dns.TypeSOA, 65535), asked(".", dns.TypeNS, 100),
	} {
		f.Add(packed(f, m), false, uint16(1232))
		f.Add(packed(f, m), true, uint16(65535))
	}
	suffix, to := wireForm(f, "consul"), wireForm(f, "prod.acme.example")
	f.Fuzz(func(t *testing.T, pkt []byte, add bool, size uint16) {
		before := bytes.Clone(pkt)
		var q Query
		v := Parse(pkt, &q)
		if v != OK && v != BadVers {
			return
		}
		if q.End > len(pkt) || q.NameLen < 1 || q.NameLen > MaxName || q.UDPSize < MinUDPSize {
			t.Fatalf("%+v", q)
		}
		var fold [MaxName]byte
		name := q.Fold(fold[:], pkt)
		if !EqualFold(name, q.Name(pkt)) || !SameQuestion(pkt, &q, pkt, &q) {
			t.Fatal("a query differs from itself")
		}
		add = add && arcount(pkt) < 2 // more additional records are refused everywhere
		mapped := false
		for off := 0; name[off] != 0; off += 1 + int(name[off]) {
			mapped = mapped || string(name[off:]) == string(suffix)
		}
		fromLen, asked := 0, []byte(nil)
		if mapped {
			fromLen, asked = len(suffix), to
		}
		out := AppendUpstream(nil, pkt, &q, 4711, fromLen, asked, int(size), add)
		if !bytes.Equal(pkt, before) {
			t.Fatal("the packet was changed")
		}
		if out == nil {
			if !mapped {
				t.Fatal("no query")
			}
			return
		}
		var again Query
		if got := Parse(out, &again); got != v {
			t.Fatalf("verdict %d, then %d", v, got)
		}
		if again.End != len(out) || again.Type != q.Type || again.Class != q.Class || again.DO != q.DO || again.HasOPT() != (add || q.HasOPT()) || ID(out) != 4711 {
			t.Fatalf("%+v became %+v", q, again)
		}
		if again.HasOPT() && again.UDPSize != max(int(size), MinUDPSize) {
			t.Fatalf("size %d, want %d", again.UDPSize, size)
		}
		reply := bytes.Clone(out)
		SetFlags(reply, Flags(reply)|FlagQR)
		if !AnswersQuestion(reply, pkt, &q, fromLen, asked) {
			t.Fatal("an echo does not answer the question")
		}
		for _, e := range [][]byte{AppendError(nil, pkt, &q, 1, RcodeServFail, EDEOther, "text", 1232), AppendHeader(nil, pkt, RcodeFormErr)} {
			if err := new(dns.Msg).Unpack(e); err != nil {
				t.Fatalf("%v in %x", err, e)
			}
		}
	})
}

// Whatever an upstream sends, the answer is readable if the reply was, fits, and repeats the client's question.
func FuzzRewrite(f *testing.F) {
	clients := []struct {
		query *dns.Msg
		mp    mapped
	}{
		{asked("Web.Service.Consul", dns.TypeSRV, 0), mapped{}},
		{asked("Web.Service.Consul", dns.TypeA, 1232), mapped{}},
		{asked("Web.acme.test", dns.TypeSRV, 1232), mapped{"acme.test", "service.consul", "consul"}},
		{asked("Web.services.of.acme.example", dns.TypeA, 0), mapped{"services.of.acme.example", "service.consul", "consul"}},
	}
	for i, c := range clients {
		for _, seed := range seedReplies(f, asked("web.service.consul", c.query.Question[0].Qtype, 0)) {
			f.Add(seed, byte(i), uint16(700))
		}
	}
	w := NewRewriter()
	f.Fuzz(func(t *testing.T, reply []byte, which byte, limit uint16) {
		c := clients[int(which)%len(clients)]
		pkt, q := parsed(t, c.query)
		mp := &Mapping{}
		if c.mp.to != "" {
			mp = c.mp.mapping(t)
		}
		if len(reply) > MaxMessage || !AnswersQuestion(reply, pkt, &q, mp.FromLen, mp.To) {
			return
		}
		max := max(int(limit), MinUDPSize)
		was := new(dns.Msg)
		// miekg/dns also reads messages that end before their counts say.
		readable := was.Unpack(reply) == nil && len(was.Answer) == ancount(reply) && len(was.Ns) == nscount(reply) && len(was.Extra) == arcount(reply)
		trimmed := Trim(slices.Clone(reply), &q, mp, max)
		if readable && qdcount(reply) == 1 && new(dns.Msg).Unpack(trimmed) != nil {
			t.Fatalf("trimmed to %x", trimmed)
		}
		out, res := w.Rewrite(slices.Clone(reply), pkt, &q, mp, max, 1232)
		if res == Broken {
			// What is only moved, not walked into, may not be refused; pointers forwards may (RFC 1035 section 4.1.4).
			if readable && mp.To == nil && was.IsEdns0() == nil {
				t.Fatalf("refused %v", was)
			}
			return
		}
		if len(out) > max || !bytes.Equal(out[HeaderLen:q.QEnd()], pkt[HeaderLen:q.QEnd()]) {
			t.Fatalf("%d bytes for a limit of %d: %x", len(out), max, out)
		}
		set := Addresses(out, q.QEnd())
		set.Rotate(out, 1)
		shortened, _ := Shorten(AppendEDE(bytes.Clone(out), &q, EDEOther, "x"), &q, MinUDPSize)
		if !readable {
			return
		}
		for _, m := range [][]byte{out, shortened} {
			if err := new(dns.Msg).Unpack(m); err != nil {
				t.Fatalf("%v in %x,\nmade of %v", err, m, was)
			}
		}
	})
}
