package conformance

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"panteras/internal/lab"
)

var update = flag.Bool("update", false, "write docs/conformance.md anew")

// Every case of the table holds.
func TestConformance(t *testing.T) {
	t.Parallel()
	scripts := map[string]func(*lab.Query) []lab.Action{}
	for _, suite := range suites() {
		for _, c := range suite.cases {
			label := suite.label(c)
			if _, twice := scripts[label]; twice {
				t.Fatalf("two cases are called %s", label)
			}
			if c.promises() == "" || c.sends == "" {
				t.Fatalf("%s says nothing", label)
			}
			if suite.sourceOf(c) == "" {
				t.Fatalf("%s does not say where it comes from; give it a source", label)
			}
			scripts[label] = c.script
		}
	}
	shared := newRig(t, scripts)
	stageOf := func(t *testing.T, s suite, c testCase, r *rig) *stage {
		under := c.under
		if under == "" {
			under = "example.org"
		}
		label := s.label(c)
		return &stage{T: t, rig: r, label: label, name: label + "." + under + ".", tcp: c.tcp}
	}
	late := map[string]func(*stage){}
	for _, suite := range suites() {
		for _, c := range suite.cases {
			if c.early != nil {
				late[suite.label(c)] = c.early(stageOf(t, suite, c, shared))
			}
		}
	}
	t.Run("cases", func(t *testing.T) { // returns when all of them are over
		for _, suite := range suites() {
			for _, c := range suite.cases {
				if c.early != nil {
					continue
				}
				t.Run(suite.label(c), func(t *testing.T) {
					t.Parallel()
					r := shared
					if c.alone || c.flags != nil {
						r = newRig(t, scripts, c.flags...)
					}
					s := stageOf(t, suite, c, r)
					if c.play != nil {
						c.play(s)
						return
					}
					s.try(c)
				})
			}
		}
	})
	for _, suite := range suites() {
		for _, c := range suite.cases {
			if play := late[suite.label(c)]; play != nil {
				t.Run(suite.label(c), func(t *testing.T) { play(stageOf(t, suite, c, shared)) })
			}
		}
	}
}

// try sends the query of a case and looks at what comes of it.
func (s *stage) try(c testCase) {
	m := ask(s.name)
	if c.query != nil {
		c.query(m)
	}
	query := s.pack(m)
	if c.raw != nil {
		query = c.raw(query)
	}
	x := &exchange{query: query}
	conn := s.dial(s.network())
	s.send(conn, query)
	if len(c.wants) > 0 && c.wants[0].says == silence().says {
		next := ask("next." + s.name)
		s.send(conn, s.pack(next))
		if reply := s.receive(conn); s.unpack(reply).Id != next.Id {
			x.reply = reply
		}
	} else {
		x.reply = s.receive(conn)
	}
	x.asked = s.seen(s.label)
	if x.reply != nil {
		x.msg = s.unpack(x.reply)
		if flagsOf(x.reply)&(1<<15) == 0 {
			s.Error("the reply is no reply: QR=0")
		}
	}
	for _, want := range c.wants {
		if err := want.holds(x); err != nil {
			s.Errorf("%s: %v\n%v", want.says, err, x.msg)
		}
	}
}

// namedRFCs are those that the server is to keep, as far as they say something of a forwarder.
var namedRFCs = []string{
	"1034", "1035", "2181", "2308", "2782", "3597", "4343", "5452", "5625", "6303", "6761", "6891", "7766", "7828", "7873", "8020", "8109", "8375", "8482", "8767",
	"8914", "9018", "9210", "9460", "9520", "9619", "9715",
}

// Each RFC that the server is to keep, and that a suite says it is about, has a case, or a word on why it has none.
func TestNamedRFCsHaveCases(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`\b\d{4}\b`)
	var all strings.Builder
	for _, s := range suites() {
		var has strings.Builder
		for _, c := range s.cases {
			fmt.Fprintln(&has, s.sourceOf(c))
		}
		for _, o := range s.omitted {
			fmt.Fprintln(&has, o.names)
		}
		all.WriteString(has.String())
		if !strings.Contains(s.about, "RFC") {
			continue
		}
		for _, number := range named.FindAllString(s.about, -1) {
			if !strings.Contains(has.String(), "RFC "+number) {
				t.Errorf("%q names RFC %s, of which it has no case", s.title, number)
			}
		}
	}
	for _, number := range namedRFCs {
		if !strings.Contains(all.String(), "RFC "+number) {
			t.Errorf("RFC %s has no case", number)
		}
	}
}

// docs/conformance.md is what the table says.
func TestConformanceDocument(t *testing.T) {
	t.Parallel()
	path := filepath.Join(lab.Root(t), "docs", "conformance.md")
	want := document()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/conformance.md is not what the table says; run: go test ./test/conformance -run Document -update\n%s", diff)
	}
}

// document is docs/conformance.md.
func document() string {
	var b strings.Builder
	total := 0
	for _, s := range suites() {
		total += len(s.cases)
	}
	fmt.Fprintf(&b, `# DNS conformance

<!-- Made by `+"`go test ./test/conformance -run Document -update`"+`; do not edit. -->

Each line is a test: `+"`go test ./test/conformance`"+` sends these packets to a running `+"`panteras dns`"+` (%d cases), with upstreams that do what the case needs.
[dns.md](dns.md) says how the server behaves. Unless a line says otherwise the query is A, RD=1, without EDNS, over UDP, for a name that recursors have.
The size in a client's OPT is cut to 1232 on its way (`+"`DNS_UDP_SIZE`"+`); "as it was sent" means everything else.
`, total)
	for _, s := range suites() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| case | source | the client sends | and gets |\n|---|---|---|---|\n", s.title, s.about)
		for _, c := range s.cases {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(c.name), cell(s.sourceOf(c)), cell(c.sends), cell(c.promises()))
		}
		if len(s.omitted) > 0 {
			b.WriteString("\nNot here:\n\n| what | why |\n|---|---|\n")
		}
		for _, o := range s.omitted {
			fmt.Fprintf(&b, "| %s | %s |\n", cell(o.names), cell(o.why))
		}
	}
	return b.String()
}

// cell is text within a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// Changes of a query that many cases share.

// typed asks for another type.
func typed(qtype uint16) func(*dns.Msg) { return func(m *dns.Msg) { m.Question[0].Qtype = qtype } }

// all makes one change of several.
func all(changes ...func(*dns.Msg)) func(*dns.Msg) {
	return func(m *dns.Msg) {
		for _, change := range changes {
			change(m)
		}
	}
}

// edns adds an OPT.
func edns(size uint16, do bool, options ...dns.EDNS0) func(*dns.Msg) {
	return func(m *dns.Msg) {
		m.SetEdns0(size, do)
		m.IsEdns0().Option = options
	}
}

// version sets the version of the OPT.
func version(v uint8) func(*dns.Msg) { return func(m *dns.Msg) { m.IsEdns0().SetVersion(v) } }

// flags sets bits of the header.
func flags(bits uint16) func([]byte) []byte {
	return func(b []byte) []byte {
		b[2], b[3] = b[2]|byte(bits>>8), b[3]|byte(bits)
		return b
	}
}

// counts overwrites the counts of the sections.
func counts(qd, an, ns, ar byte) func([]byte) []byte {
	return func(b []byte) []byte {
		copy(b[4:], []byte{0, qd, 0, an, 0, ns, 0, ar})
		return b
	}
}

// answer is an upstream that replies once, with edits.
func answer(edits ...lab.Edit) func(*lab.Query) []lab.Action {
	return func(*lab.Query) []lab.Action { return []lab.Action{lab.Reply(edits...)} }
}

// bytesOf is an upstream whose good reply is changed at the level of bytes.
func bytesOf(change func([]byte) []byte) func(*lab.Query) []lab.Action {
	return func(q *lab.Query) []lab.Action {
		m := new(dns.Msg).SetReply(q.Msg)
		rr, err := dns.NewRR(q.Msg.Question[0].Name + " 60 IN A 192.0.2.1")
		if err != nil {
			return nil
		}
		m.Answer = []dns.RR{rr}
		m.Compress = true
		raw, err := m.Pack()
		if err != nil {
			return nil
		}
		return []lab.Action{lab.Bytes(change(raw))}
	}
}
