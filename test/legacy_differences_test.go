package test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"panteras/internal/lab"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// surroundings are what a difference needs around the two servers.
type surroundings int

const (
	allWell surroundings = iota
	consulAway
	recursorsAway
	numSurroundings
)

// difference is a query that panteras in legacy mode answers otherwise than
// dnsmasq 2.90 with PanteraS's flags, and why.
type difference struct {
	query         string // as the documentation shows it
	with          surroundings
	ask           func(*pair, netip.AddrPort) string
	dnsmasq, ours string
	why           string
}

// differences is the whole table. It is part of docs/dns.md.
var differences = []difference{
	{
		"`node1` (the host's name) AAAA, SRV, …", allWell, typed("node1", dns.TypeAAAA),
		"NODATA, the recursor was asked", "NODATA",
		"Names of this host are nobody else's business.",
	},
	{
		"`x.localhost` A", allWell, typed("x.localhost", dns.TypeA),
		"NXDOMAIN, the recursor was asked", "A 127.0.0.1",
		"RFC 6761: all of localhost is this host.",
	},
	{
		"`x.invalid` A", allWell, typed("x.invalid", dns.TypeA),
		"NXDOMAIN, the recursor was asked", "NXDOMAIN",
		"RFC 6761: such a name exists nowhere.",
	},
	{
		"`9.2.0.10.in-addr.arpa` PTR", allWell, typed("9.2.0.10.in-addr.arpa", dns.TypePTR),
		"NXDOMAIN, the recursor was asked", "NXDOMAIN",
		"RFC 6303: the Internet knows nothing of private addresses. `DNS_ROUTES` and `DNS_PTR` name who does.",
	},
	{
		"a service's SRV records, over UDP without EDNS", allWell, typed("python.service.consul", dns.TypeSRV),
		"3 SRV", "4 SRV",
		"Consul leaves records out without a word; the whole set is fetched, and TC set where it does not fit.",
	},
	{
		"ANY of any other name", allWell, typed("any.example.com", dns.TypeANY),
		"A 192.0.2.80, the recursor was asked", "HINFO \"RFC8482\" \"\"",
		"RFC 8482.",
	},
	{
		"`version.bind` TXT of class CHAOS", allWell, packet("udp", func(m *dns.Msg) {
			m.SetQuestion("version.bind.", dns.TypeTXT)
			m.Question[0].Qclass = dns.ClassCHAOS
		}),
		"TXT \"dnsmasq-2.90\"", "REFUSED",
		"Not for everybody to know.",
	},
	{
		"a zone transfer (AXFR)", allWell, packet("tcp", func(m *dns.Msg) { m.SetAxfr("consul.") }),
		"NOTIMP", "REFUSED",
		"It is the policy, not the program, that does not allow it.",
	},
	{
		"EDNS of version 1", allWell, packet("udp", func(m *dns.Msg) {
			m.SetQuestion("version1.example.com.", dns.TypeA)
			m.SetEdns0(udpSize, false)
			m.IsEdns0().SetVersion(1)
		}),
		"A 192.0.2.80, the recursor was asked", "BADVERS",
		"RFC 6891.",
	},
	{
		"two questions in one query", allWell, packet("udp", func(m *dns.Msg) {
			m.SetQuestion("two.example.com.", dns.TypeA)
			m.Question = append(m.Question, m.Question[0])
		}),
		"no answer", "FORMERR",
		"RFC 9619.",
	},
	{
		"opcode STATUS", allWell, packet("udp", func(m *dns.Msg) {
			m.SetQuestion("status.example.com.", dns.TypeA)
			m.Opcode = dns.OpcodeStatus
		}),
		"A 192.0.2.80, the recursor was asked", "NOTIMP",
		"Only QUERY and NOTIFY are forwarded.",
	},
	{
		"the same name of a recursor twice", allWell, (*pair).twice,
		"the recursor is asked once", "the recursor is asked twice",
		"Nothing is cached here: the recursors do that.",
	},
	{
		"a service's SRV records, Consul away", consulAway, typed("python.service.consul", dns.TypeSRV),
		"no answer", "SERVFAIL",
		"At once, and with the reason (RFC 8914).",
	},
	{
		"any other name, the recursors away", recursorsAway, typed("away.example.com", dns.TypeA),
		"no answer", "SERVFAIL",
		"At once, and with the reason (RFC 8914).",
	},
}

// The table of differences is true of both servers, row by row.
func TestDifferencesFromDnsmasq(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{})
	node.Register(t, lab.Instances("python", 4, 4)...)
	var pairs [numSurroundings]*pair
	for with := range numSurroundings {
		pairs[with] = newPair(t, with, node.DNS)
	}
	for _, d := range differences {
		t.Run(d.query, func(t *testing.T) {
			t.Parallel()
			p := pairs[d.with]
			if got := d.ask(p, p.dnsmasq); got != d.dnsmasq {
				t.Errorf("dnsmasq: %s; the table says: %s", got, d.dnsmasq)
			}
			if got := d.ask(p, p.ours); got != d.ours {
				t.Errorf("panteras: %s; the table says: %s", got, d.ours)
			}
			if d.dnsmasq == d.ours {
				t.Error("that is no difference")
			}
		})
	}
}

// docs/dns.md has the table. PANTERAS_UPDATE_DOCS=1 writes it there.
func TestDocsHoldTheDifferences(t *testing.T) {
	t.Parallel()
	page := filepath.Join(lab.Root(t), "docs", "dns.md")
	const begin, end = "<!-- dnsmasq-differences:begin -->\n", "<!-- dnsmasq-differences:end -->"
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(content), begin)
	documented, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the markers %q and %q", page, begin, end)
	}
	var table strings.Builder
	table.WriteString("| query | dnsmasq 2.90 | panteras | why |\n|---|---|---|---|\n")
	for _, d := range differences {
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", d.query, d.dnsmasq, d.ours, d.why)
	}
	if os.Getenv("PANTERAS_UPDATE_DOCS") != "" {
		if err := os.WriteFile(page, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table.String(), documented); diff != "" {
		t.Errorf("%s differs from the table in code (-code +page):\n%s\nrun PANTERAS_UPDATE_DOCS=1 go test ./test -run TestDocsHoldTheDifferences", page, diff)
	}
}
