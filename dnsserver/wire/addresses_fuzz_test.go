package wire

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// whole says whether miekg/dns reads the message, and reads all of it: it also takes messages that end before their counts say.
func whole(m []byte) (*dns.Msg, bool) {
	msg := new(dns.Msg)
	ok := msg.Unpack(m) == nil && qdcount(m) == 1 && len(msg.Question) == 1 &&
		len(msg.Answer) == ancount(m) && len(msg.Ns) == nscount(m) && len(msg.Extra) == arcount(m)
	return msg, ok
}

// Whatever stands behind the question, a set that is turned round and cut holds the records it held, and HasAddress misses no address that a reader finds.
func FuzzAddressSet(f *testing.F) {
	query := asked("web.service.consul", dns.TypeA, 0)
	question, q := parsed(f, query)
	name := query.Question[0].Name
	two := rrs(f, name+" 0 IN A 10.1.0.1", name+" 0 IN A 10.1.0.2", name+" 0 IN A 192.0.2.1")
	for _, m := range []*dns.Msg{
		answerTo(f, query, two, nil, nil),
		answerTo(f, query, two, nil, []dns.RR{optRR(512, 0)}),
		answerTo(f, query, rrs(f, name+" 0 IN AAAA ::ffff:10.0.0.1", name+" 0 IN AAAA 2001:db8::1"), nil, nil),
		answerTo(f, query, rrs(f, name+` 0 IN HTTPS 1 . ipv4hint="10.0.0.1"`), nil, two),
		answerTo(f, query, rrs(f, name+" 0 IN CNAME a.consul.", "a.consul. 0 IN A 10.1.0.1"), two, nil),
		srvReply(f, query, 3),
	} {
		b := packed(f, m)
		f.Add(byte(ancount(b)), byte(nscount(b)), byte(arcount(b)), b[q.QEnd():], byte(1), byte(1))
	}
	inside := func(a netip.Addr) bool { return a.IsPrivate() }
	f.Fuzz(func(t *testing.T, an, ns, ar byte, records []byte, turn, left byte) {
		m := append(bytes.Clone(question[:q.QEnd()]), records...)
		if len(m) > MaxMessage {
			return
		}
		SetFlags(m, Flags(m)|FlagQR)
		setCounts(m, 1, int(an), int(ns), int(ar))
		was, readable := whole(m)
		if readable {
			want := false
			for _, rr := range slices.Concat(was.Answer, was.Ns, was.Extra) {
				switch rr := rr.(type) {
				case *dns.A:
					a, _ := netip.AddrFromSlice(rr.A)
					want = want || inside(a.Unmap())
				case *dns.AAAA:
					a, _ := netip.AddrFromSlice(rr.AAAA)
					want = want || inside(a.Unmap())
				case *dns.SVCB, *dns.HTTPS:
					want = true
				}
			}
			if got := HasAddress(m, q.QEnd(), inside); got != want {
				t.Fatalf("HasAddress: %v, want %v of %v", got, want, was)
			}
		}
		set := Addresses(m, q.QEnd())
		if set.N == 0 {
			return
		}
		if set.N != ancount(m) || set.off+set.N*set.stride > len(m) {
			t.Fatalf("%+v of %d bytes", set, len(m))
		}
		list := func(m []byte, n int) (records []string) {
			for i := range n {
				records = append(records, string(m[set.off+i*set.stride:set.off+(i+1)*set.stride]))
			}
			return records
		}
		before := list(m, set.N)
		turned := bytes.Clone(m)
		set.Rotate(turned, int(turn))
		k := int(turn) % set.N
		if want := slices.Concat(before[k:], before[:k]); !slices.Equal(list(turned, set.N), want) || !bytes.Equal(turned[set.off+set.N*set.stride:], m[set.off+set.N*set.stride:]) {
			t.Fatalf("turned by %d: %x became %x", turn, m, turned)
		}
		if !set.Last {
			return
		}
		n := int(left) % (set.N + 1)
		cut := set.Cut(bytes.Clone(m), n)
		if len(cut) > len(m) || !slices.Equal(list(cut, n), before[:n]) {
			t.Fatalf("cut to %d: %x became %x", n, m, cut)
		}
		if got, ok := whole(cut); readable && (!ok || len(got.Answer) != n) {
			t.Fatalf("cut to %d: %v", n, got)
		}
	})
}
