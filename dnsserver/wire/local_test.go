package wire

import (
	"testing"

	"github.com/miekg/dns"
)

func TestAppendError(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		edns  uint16
		do    bool
		rcode int
		ede   int
		text  string
	}{
		{"SERVFAIL without EDNS", 0, false, dns.RcodeServerFailure, EDENetworkError, "down"},
		{"SERVFAIL with EDNS", 1232, true, dns.RcodeServerFailure, EDENetworkError, "Consul does not answer"},
		{"no text", 1232, false, dns.RcodeServerFailure, EDEOther, ""},
		{"no extended error", 1232, true, dns.RcodeRefused, NoEDE, "ignored"},
		{"BADVERS", 1232, false, dns.RcodeBadVers, NoEDE, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			query := asked("Web.Service.Consul", dns.TypeSRV, test.edns)
			query.CheckingDisabled, query.AuthenticatedData = true, true
			if test.do {
				query.IsEdns0().SetDo()
			}
			pkt, q := parsed(t, query)
			out := AppendError([]byte("head"), append(pkt, "rubbish"...), &q, 4711, test.rcode, test.ede, test.text, 1400)
			if string(out[:4]) != "head" {
				t.Error("what was there before is gone")
			}
			got := unpacked(t, out[4:])
			if got.Id != 4711 || !got.Response || !got.RecursionAvailable || !got.RecursionDesired || !got.CheckingDisabled || got.AuthenticatedData ||
				got.Question[0] != query.Question[0] || got.Rcode != test.rcode {
				t.Errorf("got %v", got)
			}
			o := got.IsEdns0()
			if (o != nil) != (test.edns > 0) {
				t.Fatalf("got %v", got)
			}
			if o == nil {
				return
			}
			if o.UDPSize() != 1400 || o.Do() != test.do || (len(o.Option) == 1) != (test.ede != NoEDE) {
				t.Errorf("got %v", got)
			}
			for _, option := range o.Option {
				if e, ok := option.(*dns.EDNS0_EDE); !ok || int(e.InfoCode) != test.ede || e.ExtraText != test.text {
					t.Errorf("got %v", option)
				}
			}
		})
	}
}

func TestAppendHeader(t *testing.T) {
	t.Parallel()
	for _, opcode := range []int{dns.OpcodeQuery, dns.OpcodeUpdate} {
		pkt := raw(uint16(opcode)<<11|FlagRD|FlagCD|FlagTC, 1, 2, 3, 4, []byte("rubbish"))
		out := AppendHeader([]byte("head"), pkt, RcodeNotImp)
		got := unpacked(t, out[4:])
		if len(out) != 4+HeaderLen || got.Id != 0x1234 || !got.Response || got.Opcode != opcode || got.Truncated || got.Rcode != dns.RcodeNotImplemented {
			t.Errorf("got %v", got)
		}
		if query := opcode == dns.OpcodeQuery; got.RecursionDesired != query || got.RecursionAvailable != query || got.CheckingDisabled != query {
			t.Errorf("flags of %v", got)
		}
	}
}

func TestAppendEDE(t *testing.T) {
	t.Parallel()
	query := asked("web.service.consul", dns.TypeSRV, 1232)
	pkt, q := parsed(t, query)
	cookie := &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}
	out, _ := NewRewriter().Rewrite(packed(t, answerTo(t, query, srvReply(t, query, 2).Answer, nil, []dns.RR{optRR(512, 0, cookie)})), pkt, &q, &Mapping{}, 1232, 1232)
	got := unpacked(t, AppendEDE(out, &q, EDEOther, "some text"))
	if o := got.IsEdns0().Option; len(o) != 2 || o[1].(*dns.EDNS0_EDE).ExtraText != "some text" || len(got.Answer) != 2 {
		t.Errorf("got %v", got)
	}

	plain := packed(t, srvReply(t, query, 2))
	if got := AppendEDE(plain, &q, EDEOther, "x"); len(got) != len(plain) {
		t.Error("an answer without an OPT grew")
	}
	var texts []dns.RR
	for range 300 {
		texts = append(texts, rrs(t, `. 0 IN TXT "`+string(make200())+`"`)...)
	}
	big := packed(t, answerTo(t, query, texts, nil, []dns.RR{optRR(1232, 0)}))
	big = big[:len(big):len(big)]
	text := string(make([]byte, MaxMessage-len(big)-5))
	if got := AppendEDE(big, &q, EDEOther, text); len(got) != len(big) {
		t.Errorf("the answer grew to %d bytes", len(got))
	}
	if got := AppendEDE(big, &q, EDEOther, text[1:]); len(got) != MaxMessage {
		t.Errorf("%d bytes, want %d", len(got), MaxMessage)
	}
}

func make200() []byte {
	b := make([]byte, 200)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

func TestAppendName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"": "\x00", ".": "\x00", "Consul": "\x06consul\x00", "consul.": "\x06consul\x00", "a.Bc.d": "\x01a\x02bc\x01d\x00",
	} {
		if got := string(AppendName([]byte("x"), name)); got != "x"+want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
