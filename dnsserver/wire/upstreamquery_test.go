package wire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestAppendUpstream(t *testing.T) {
	t.Parallel()
	cookie := &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}
	withCookie := asked("Web.Acme.test", dns.TypeA, 4096)
	withCookie.IsEdns0().Option = []dns.EDNS0{cookie}
	withCookie.IsEdns0().SetDo()
	signed := asked("Web.Acme.test", dns.TypeA, 4096)
	signed.SetTsig("key.", dns.HmacSHA256, 300, 1)
	strange := asked("Web.Acme.test", 65280, 0)
	strange.CheckingDisabled, strange.AuthenticatedData, strange.RecursionDesired = true, true, false
	strange.Question[0].Qclass = 4

	for _, test := range []struct {
		name     string
		query    *dns.Msg
		from, to string
		size     int
		add      bool
		want     string // the name asked
		wantSize int    // 0: no OPT
	}{
		{"as it is", asked("Web.Acme.test", dns.TypeA, 0), "", "", 1232, false, "Web.Acme.test.", 0},
		{"all bits and strange types", strange, "", "", 1232, false, "Web.Acme.test.", 0},
		{"an OPT added", asked("Web.Acme.test", dns.TypeSRV, 0), "", "", 65535, true, "Web.Acme.test.", 65535},
		{"the size changed", asked("Web.Acme.test", dns.TypeSRV, 4096), "", "", 1232, false, "Web.Acme.test.", 1232},
		{"one OPT is enough", asked("Web.Acme.test", dns.TypeSRV, 4096), "", "", 65535, true, "Web.Acme.test.", 65535},
		{"options are kept", withCookie, "", "", 512, false, "Web.Acme.test.", 512},
		{"what follows the OPT is kept", signed, "", "", 512, false, "Web.Acme.test.", 512},
		{"a longer suffix", withCookie, "acme.test", "service.consul", 1232, false, "Web.service.consul.", 1232},
		{"a shorter suffix", withCookie, "acme.test", "c", 1232, false, "Web.c.", 1232},
		{"another suffix and an OPT added", asked("Web.Acme.test", dns.TypeSRV, 0), "acme.test", "service.consul", 65535, true, "Web.service.consul.", 65535},
		{"the apex", asked("acme.test", dns.TypeSOA, 0), "acme.test", "dc.example", 1232, false, "dc.example.", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			pkt, q := parsed(t, test.query)
			before := bytes.Clone(pkt)
			fromLen, to := 0, []byte(nil)
			if test.to != "" {
				fromLen, to = len(wireForm(t, test.from)), wireForm(t, test.to)
			}
			// The bytes before, which a caller may have there, and the rubbish behind the query stay out of it.
			out := AppendUpstream([]byte("head"), append(pkt, "rubbish"...), &q, 4711, fromLen, to, test.size, test.add)
			if string(out[:4]) != "head" || !bytes.Equal(pkt, before) {
				t.Error("bytes that are not the query were changed")
			}
			want := test.query.Copy()
			want.Id = 4711
			want.Question[0].Name = test.want
			switch {
			case test.wantSize == 0:
			case want.IsEdns0() == nil:
				want.SetEdns0(uint16(test.wantSize), false)
			default:
				want.IsEdns0().SetUDPSize(uint16(test.wantSize))
			}
			if got := unpacked(t, out[4:]); got.String() != want.String() {
				t.Errorf("got\n%v\nwant\n%v", got, want)
			}
		})
	}
}

func TestAppendUpstreamRefusesNamesThatGrowTooLong(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(strings.Repeat("a", 59)+".", 4) // 241 bytes
	for _, test := range []struct {
		to string
		ok bool
	}{{strings.Repeat("b", 13), true}, {strings.Repeat("b", 14), false}} {
		pkt, q := parsed(t, asked(long+"x", dns.TypeA, 0))
		if out := AppendUpstream(nil, pkt, &q, 1, len("\x01x\x00"), wireForm(t, test.to), 1232, false); (out != nil) != test.ok {
			t.Errorf("with a suffix of %d letters: %d bytes", len(test.to), len(out))
		}
	}
}

func TestAnswersQuestion(t *testing.T) {
	t.Parallel()
	pkt, q := parsed(t, asked("Web.Acme.test", dns.TypeSRV, 1232))
	from, to := len(wireForm(t, "acme.test")), wireForm(t, "service.consul")
	reply := func(name string, edit func(m *dns.Msg)) []byte {
		m := new(dns.Msg).SetReply(asked(name, dns.TypeSRV, 0))
		if edit != nil {
			edit(m)
		}
		return packed(t, m)
	}
	noQuestion := func(rcode int) func(m *dns.Msg) {
		return func(m *dns.Msg) { m.Question, m.Rcode = nil, rcode }
	}
	for _, test := range []struct {
		name   string
		m      []byte
		mapped bool
		want   bool
	}{
		{"the same", reply("Web.Acme.test.", nil), false, true},
		{"in lower case", reply("web.acme.test.", nil), false, true},
		{"another name", reply("wab.acme.test.", nil), false, false},
		{"a longer name", reply("web.acme.test.x.", nil), false, false},
		{"a shorter name", reply("acme.test.", nil), false, false},
		{"another type", reply("web.acme.test.", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }), false, false},
		{"another class", reply("web.acme.test.", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassANY }), false, false},
		{"a query", reply("web.acme.test.", func(m *dns.Msg) { m.Response = false }), false, false},
		{"another opcode", reply("web.acme.test.", func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), false, false},
		{"two questions", reply("web.acme.test.", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), false, false},
		{"cut", reply("web.acme.test.", nil)[:20], false, false},
		{"cut before its class", reply("web.acme.test.", nil)[:q.QEnd()-1], false, false},
		{"shorter than a header", reply("web.acme.test.", nil)[:11], false, false},
		{"the name under the other suffix", reply("web.SERVICE.consul.", nil), true, true},
		{"the client's name where the other one was asked", reply("web.acme.test.", nil), true, false},
		{"another suffix", reply("web.service.consux.", nil), true, false},
		{"another label before the suffix", reply("wex.service.consul.", nil), true, false},
		{"no question and FORMERR", reply("", noQuestion(dns.RcodeFormatError)), false, true},
		{"no question and REFUSED, mapped", reply("", noQuestion(dns.RcodeRefused)), true, true},
		{"no question and NOERROR", reply("", noQuestion(dns.RcodeSuccess)), false, false},
		{"no question and NXDOMAIN", reply("", noQuestion(dns.RcodeNameError)), false, false},
	} {
		f, s := 0, []byte(nil)
		if test.mapped {
			f, s = from, to
		}
		if got := AnswersQuestion(test.m, pkt, &q, f, s); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
