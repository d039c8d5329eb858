package wire

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// raw is a query packet put together by hand: flags, the four counts, and what follows.
func raw(flags uint16, qd, an, ns, ar int, rest ...[]byte) []byte {
	b := make([]byte, HeaderLen)
	SetID(b, 0x1234)
	SetFlags(b, flags)
	setCounts(b, qd, an, ns, ar)
	for _, r := range rest {
		b = append(b, r...)
	}
	return b
}

// question is a question in wire form, type A and class IN.
func question(name []byte) []byte { return append(bytes.Clone(name), 0, 1, 0, 1) }

// opt is an OPT record of an EDNS version with raw options.
func opt(owner []byte, version byte, options ...byte) []byte {
	b := append(bytes.Clone(owner), 0, TypeOPT, 4, 0xd0, 0, version, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(options)))
	return append(b, options...)
}

func label(n int) []byte { return append([]byte{byte(n)}, bytes.Repeat([]byte{'a'}, n)...) }

// longName has as many bytes in wire form as asked for, the root included.
func longName(n int) (name []byte) {
	for n--; n > 0; {
		l := min(n-1, 63)
		if n-1-l == 1 {
			l-- // a label has at least one letter, so no single byte may be left over
		}
		name = append(name, label(l)...)
		n -= 1 + l
	}
	return append(name, 0)
}

func TestParseVerdicts(t *testing.T) {
	t.Parallel()
	root := []byte{0}
	name := []byte("\x03web\x06consul\x00")
	q := question(name)
	rr := []byte{0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4}
	for _, test := range []struct {
		name string
		pkt  []byte
		want Verdict
	}{
		{"nothing", nil, Drop},
		{"shorter than a header", raw(0, 1, 0, 0, 0)[:11], Drop},
		{"a response", raw(FlagQR, 1, 0, 0, 0, q), Drop},
		{"a response with a strange opcode", raw(FlagQR|5<<11, 1, 0, 0, 0, q), Drop},
		{"a query", raw(FlagRD, 1, 0, 0, 0, q), OK},
		{"NOTIFY", raw(4<<11, 1, 0, 0, 0, q), OK},
		{"NOTIFY with an SOA", raw(4<<11, 1, 1, 0, 0, q, rr), OK},
		{"IQUERY", raw(1<<11, 1, 0, 0, 0, q), NotImp},
		{"UPDATE", raw(5<<11, 1, 0, 0, 0, q), NotImp},
		{"a strange opcode and no question", raw(15<<11, 0, 0, 0, 0), NotImp},
		{"no question", raw(0, 0, 0, 0, 0), FormErr},
		{"two questions", raw(0, 2, 0, 0, 0, q, q), FormErr},
		{"the question missing", raw(0, 1, 0, 0, 0), FormErr},
		{"the question cut in the name", raw(0, 1, 0, 0, 0, name[:6]), FormErr},
		{"the question without its class", raw(0, 1, 0, 0, 0, q[:len(q)-2]), FormErr},
		{"a compressed question", raw(0, 1, 0, 0, 0, []byte{0xc0, 12, 0, 1, 0, 1}), FormErr},
		{"a question that ends in a pointer", raw(0, 1, 0, 0, 0, []byte{1, 'a', 0xc0, 12, 0, 1, 0, 1}), FormErr},
		{"a label of 63", raw(0, 1, 0, 0, 0, question(append(label(63), 0))), OK},
		{"a label of 64", raw(0, 1, 0, 0, 0, question(append(label(64), 0))), FormErr},
		{"an extended label type", raw(0, 1, 0, 0, 0, question(append([]byte{0x41}, append(label(63), 0)...))), FormErr},
		{"a name of 255", raw(0, 1, 0, 0, 0, question(longName(255))), OK},
		{"a name of 256", raw(0, 1, 0, 0, 0, question(longName(256))), FormErr},
		{"the root", raw(0, 1, 0, 0, 0, question(root)), OK},
		{"a byte behind", raw(0, 1, 0, 0, 0, q, []byte{1}), OK},
		{"two answers", raw(0, 1, 2, 0, 0, q, rr, rr), FormErr},
		{"two authority records", raw(0, 1, 0, 2, 0, q, rr, rr), FormErr},
		{"three additional records", raw(0, 1, 0, 0, 3, q, rr, rr, rr), FormErr},
		{"a record missing", raw(0, 1, 0, 0, 1, q), FormErr},
		{"a record cut", raw(0, 1, 0, 0, 1, q, rr[:len(rr)-1]), FormErr},
		{"EDNS", raw(0, 1, 0, 0, 1, q, opt(root, 0)), OK},
		{"EDNS and another record", raw(0, 1, 0, 0, 2, q, opt(root, 0), rr), OK},
		{"EDNS version 1", raw(0, 1, 0, 0, 1, q, opt(root, 1)), BadVers},
		{"OPT in the answer section", raw(0, 1, 1, 0, 0, q, opt(root, 0)), FormErr},
		{"OPT in the authority section", raw(0, 1, 0, 1, 0, q, opt(root, 0)), FormErr},
		{"two OPT", raw(0, 1, 0, 0, 2, q, opt(root, 0), opt(root, 0)), FormErr},
		{"OPT with a name", raw(0, 1, 0, 0, 1, q, opt([]byte("\x01a\x00"), 0)), FormErr},
		{"OPT with a pointer for a name", raw(0, 1, 0, 0, 1, q, opt([]byte{0xc0, 12}, 0)), FormErr},
		{"an option", raw(0, 1, 0, 0, 1, q, opt(root, 0, 0, 10, 0, 2, 1, 2)), OK},
		{"an option longer than the record", raw(0, 1, 0, 0, 1, q, opt(root, 0, 0, 10, 0, 3, 1, 2)), FormErr},
		{"an option without its length", raw(0, 1, 0, 0, 1, q, opt(root, 0, 0, 10, 0)), FormErr},
		{"bytes behind an option", raw(0, 1, 0, 0, 1, q, opt(root, 0, 0, 10, 0, 1, 1, 2)), FormErr},
		{"version 1 with bad options", raw(0, 1, 0, 0, 1, q, opt(root, 1, 9)), FormErr},
	} {
		var got Query
		if v := Parse(test.pkt, &got); v != test.want {
			t.Errorf("%s: verdict %d, want %d", test.name, v, test.want)
		}
	}
}

// What is refused by its header is what miekg/dns refuses.
func TestParseAcceptsWhatMiekgAccepts(t *testing.T) {
	t.Parallel()
	verdicts := map[dns.MsgAcceptAction]Verdict{
		dns.MsgAccept: OK, dns.MsgReject: FormErr, dns.MsgIgnore: Drop, dns.MsgRejectNotImplemented: NotImp,
	}
	body := append(question([]byte{0}), bytes.Repeat([]byte{0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0}, 20)...)
	for flags := range 32 { // QR and opcode
		for qd := range 3 {
			for an := range 4 {
				for ns := range 4 {
					for ar := range 5 {
						h := dns.Header{Bits: uint16(flags << 11), Qdcount: uint16(qd), Ancount: uint16(an), Nscount: uint16(ns), Arcount: uint16(ar)}
						want := verdicts[dns.DefaultMsgAcceptFunc(h)]
						var q Query
						if got := Parse(raw(h.Bits, qd, an, ns, ar, body), &q); got != want {
							t.Fatalf("verdict %d, want %d for %+v", got, want, h)
						}
					}
				}
			}
		}
	}
}

func TestParseReadsTheQuestionAndEDNS(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		m := asked(randomName(rng), uint16(rng.Uint32()), 0)
		m.Question[0].Qclass = uint16(rng.Uint32())
		size, do := uint16(rng.Uint32()), rng.IntN(2) == 0
		if rng.IntN(2) == 0 {
			m.SetEdns0(size, do)
			if rng.IntN(2) == 0 {
				m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
			}
		}
		if m.Question[0].Qtype == dns.TypeOPT {
			continue
		}
		b := packed(t, m)
		var q Query
		if v := Parse(append(b, "rubbish"[:rng.IntN(7)]...), &q); v != OK {
			t.Fatalf("verdict %d for %v", v, m)
		}
		if q.Type != m.Question[0].Qtype || q.Class != m.Question[0].Qclass || q.End != len(b) || q.HasOPT() != (m.IsEdns0() != nil) {
			t.Fatalf("%+v of %d bytes for %v", q, len(b), m)
		}
		wantSize, wantDO := MinUDPSize, false
		if q.HasOPT() {
			wantSize, wantDO = max(int(size), MinUDPSize), do
			if q.OPTEnd != len(b) {
				t.Fatalf("the OPT ends at %d of %d", q.OPTEnd, len(b))
			}
		}
		if q.UDPSize != wantSize || q.DO != wantDO {
			t.Fatalf("size %d, DO %v, want %d, %v", q.UDPSize, q.DO, wantSize, wantDO)
		}
		if name, _, err := dns.UnpackDomainName(q.Name(b), 0); err != nil || name != m.Question[0].Name {
			t.Fatalf("name %q, %v, want %q", name, err, m.Question[0].Name)
		}
		var fold [MaxName]byte
		if got, want := q.Fold(fold[:], b), wireForm(t, strings.ToLower(m.Question[0].Name)); !bytes.Equal(got, want) {
			t.Fatalf("folded to %q, want %q", got, want)
		}
	}
}

func randomName(rng *rand.Rand) string {
	var labels []string
	for range rng.IntN(5) {
		b := make([]byte, 1+rng.IntN(12))
		for i := range b {
			b[i] = "abcXYZ019-_@[`{"[rng.IntN(15)]
		}
		labels = append(labels, strings.ReplaceAll(string(b), "@", `\@`))
	}
	return strings.Join(labels, ".") + "."
}

func TestFoldTouchesLettersOnly(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		want := byte(c)
		if c >= 'A' && c <= 'Z' {
			want += 'a' - 'A'
		}
		if got := lower(byte(c)); got != want {
			t.Errorf("%q folds to %q, want %q", byte(c), got, want)
		}
	}
}

func TestSameQuestion(t *testing.T) {
	t.Parallel()
	base := func() *dns.Msg { return asked("Web.Service.Consul", dns.TypeA, 1232) }
	cookie := &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}
	for name, test := range map[string]struct {
		change func(m *dns.Msg)
		same   bool
	}{
		"nothing":       {func(*dns.Msg) {}, true},
		"the id":        {func(m *dns.Msg) { m.Id++ }, true},
		"the case":      {func(m *dns.Msg) { m.Question[0].Name = "wEB.sERVICE.consul." }, true},
		"the name":      {func(m *dns.Msg) { m.Question[0].Name = "wab.service.consul." }, false},
		"a longer name": {func(m *dns.Msg) { m.Question[0].Name = "web1.service.consul." }, false},
		"the type":      {func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA }, false},
		"the class":     {func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassANY }, false},
		"RD":            {func(m *dns.Msg) { m.RecursionDesired = false }, false},
		"CD":            {func(m *dns.Msg) { m.CheckingDisabled = true }, false},
		"AD":            {func(m *dns.Msg) { m.AuthenticatedData = true }, false},
		"no EDNS":       {func(m *dns.Msg) { m.Extra = nil }, false},
		"the EDNS size": {func(m *dns.Msg) { m.IsEdns0().SetUDPSize(4096) }, false},
		"DO":            {func(m *dns.Msg) { m.IsEdns0().SetDo() }, false},
		"an option":     {func(m *dns.Msg) { m.IsEdns0().Option = []dns.EDNS0{cookie} }, false},
	} {
		a, qa := parsed(t, base())
		changed := base()
		changed.Id = 7
		test.change(changed)
		b, qb := parsed(t, changed)
		if got := SameQuestion(a, &qa, b, &qb); got != test.same {
			t.Errorf("%s changed: same %v, want %v", name, got, test.same)
		}
		if got := SameQuestion(b, &qb, a, &qa); got != test.same {
			t.Errorf("%s changed, the other way round: same %v, want %v", name, got, test.same)
		}
	}
}
