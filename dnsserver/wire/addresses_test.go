package wire

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

func addressesOf(section []dns.RR) (list []string) {
	for _, rr := range section {
		switch rr := rr.(type) {
		case *dns.A:
			list = append(list, rr.A.String())
		case *dns.AAAA:
			list = append(list, rr.AAAA.String())
		}
	}
	return list
}

func TestAddressesSeesSetsOfOneKindOnly(t *testing.T) {
	t.Parallel()
	query := asked("web.service.consul", dns.TypeA, 0)
	a := rrs(t, "web.service.consul. 0 IN A 10.1.0.1", "web.service.consul. 0 IN A 10.1.0.2", "web.service.consul. 0 IN A 10.1.0.3")
	aaaa := rrs(t, "web.service.consul. 0 IN AAAA 2001:db8::1", "web.service.consul. 0 IN AAAA 2001:db8::2")
	other := rrs(t, "xeb.service.consul. 0 IN A 10.1.0.4")
	cname := rrs(t, "web.service.consul. 0 IN CNAME xeb.service.consul.")
	text := rrs(t, `web.service.consul. 0 IN TXT "x"`)
	for _, test := range []struct {
		name              string
		answer, ns, extra []dns.RR
		n                 int
		last              bool
	}{
		{"none", nil, nil, nil, 0, false},
		{"one", a[:1], nil, nil, 1, true},
		{"three", a, nil, nil, 3, true},
		{"IPv6", aaaa, nil, nil, 2, true},
		{"with an authority section", a, cname, nil, 3, false},
		{"with an additional section", a, nil, text, 3, false},
		{"of two names", append(slices.Clone(a), other...), nil, nil, 0, false},
		{"of two types", append(slices.Clone(a), aaaa...), nil, nil, 0, false},
		{"behind an alias", append(slices.Clone(cname), other...), nil, nil, 0, false},
		{"no addresses", text, nil, nil, 0, false},
	} {
		_, q := parsed(t, query)
		m := packed(t, answerTo(t, query, test.answer, test.ns, test.extra))
		if set := Addresses(m, q.QEnd()); set.N != test.n || set.Last != test.last {
			t.Errorf("%s: %+v", test.name, set)
		}
		if set := Addresses(m[:len(m)-1], q.QEnd()); len(test.answer) > 0 && test.ns == nil && test.extra == nil && set.N != 0 {
			t.Errorf("%s, cut: %+v", test.name, set)
		}
	}
}

func TestRotateAndCut(t *testing.T) {
	t.Parallel()
	query := asked("web.service.consul", dns.TypeA, 0)
	_, q := parsed(t, query)
	for n := 1; n <= 6; n++ {
		var answer []dns.RR
		for i := range n {
			answer = append(answer, rrs(t, fmt.Sprintf("web.service.consul. 0 IN A 10.1.0.%d", i))...)
		}
		all := addressesOf(answer)
		for k := range 2 * n {
			m := packed(t, answerTo(t, query, answer, nil, nil))
			set := Addresses(m, q.QEnd())
			set.Rotate(m, k)
			want := append(slices.Clone(all[k%n:]), all[:k%n]...)
			if got := addressesOf(unpacked(t, m).Answer); !slices.Equal(got, want) {
				t.Fatalf("%d rotated by %d: %v, want %v", n, k, got, want)
			}
			for left := range n + 1 {
				cut := set.Cut(slices.Clone(m), left)
				if got := addressesOf(unpacked(t, cut).Answer); !slices.Equal(got, want[:left]) {
					t.Fatalf("cut to %d: %v, want %v", left, got, want[:left])
				}
			}
		}
	}
}

func TestHasAddress(t *testing.T) {
	t.Parallel()
	query := asked("a.example", dns.TypeA, 0)
	_, q := parsed(t, query)
	public, private := rrs(t, "a.example. 0 IN A 192.0.2.1"), rrs(t, "a.example. 0 IN A 10.0.0.1")
	mapped := rrs(t, "a.example. 0 IN AAAA ::ffff:10.0.0.1")
	text := rrs(t, `a.example. 0 IN TXT "10.0.0.1"`)
	match := func(a netip.Addr) bool { return a == netip.MustParseAddr("10.0.0.1") }
	for name, test := range map[string]struct {
		m    *dns.Msg
		want bool
	}{
		"none":                      {answerTo(t, query, public, text, public), false},
		"in the answer section":     {answerTo(t, query, append(public, private...), nil, nil), true},
		"in the authority section":  {answerTo(t, query, public, private, nil), true},
		"in the additional section": {answerTo(t, query, public, nil, private), true},
		"mapped into IPv6":          {answerTo(t, query, mapped, nil, nil), true},
	} {
		if got := HasAddress(packed(t, test.m), q.QEnd(), match); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
