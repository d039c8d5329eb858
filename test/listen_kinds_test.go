package test

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// nobody is an upstream that fails the test when it is asked for anything.
func nobody(t testing.TB) *lab.Upstream {
	t.Helper()
	return scripted(t, func(a attempt) []lab.Action {
		t.Errorf("a query leaked upstream: %s %s", a.name(), dns.TypeToString[a.qtype()])
		return nil
	})
}

// sealed starts a server whose upstreams must not be asked.
func sealed(t testing.TB, flags ...string) *dnsd {
	t.Helper()
	u := nobody(t)
	return startDNSD(t, append([]string{to("--consul-dns", u), to("--dns-upstreams", u)}, flags...)...)
}

// ANY gets the minimal answer of RFC 8482, over TCP too.
func TestANY(t *testing.T) {
	t.Parallel()
	d := sealed(t)
	for _, name := range []string{"web.service.consul", "www.example.org", "node-7", "localhost", "1.0.0.10.in-addr.arpa"} {
		eachNetwork(t, func(t *testing.T, network string) {
			reply := d.ask(t, network, ednsQuery(name, dns.TypeANY))
			if h, ok := first[*dns.HINFO](reply.Answer); !ok || len(reply.Answer) != 1 || h.Cpu != "RFC8482" || h.Hdr.Name != name+"." || reply.Rcode != dns.RcodeSuccess {
				t.Errorf("%s: want HINFO \"RFC8482\", got:\n%v", name, reply)
			}
		})
	}
}

// first is the first record, if it is of the type.
func first[T dns.RR](records []dns.RR) (T, bool) {
	if len(records) == 0 {
		var none T
		return none, false
	}
	rr, ok := records[0].(T)
	return rr, ok
}

// What no proxy should hand on is refused.
func TestRefusedKinds(t *testing.T) {
	t.Parallel()
	d := sealed(t)
	chaos := ednsQuery("version.bind", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	for _, query := range []*dns.Msg{
		chaos,
		ednsQuery("example.org", dns.TypeAXFR), ednsQuery("example.org", dns.TypeIXFR),
		ednsQuery("consul", dns.TypeAXFR), ednsQuery("node-7", dns.TypeAXFR),
	} {
		eachNetwork(t, func(t *testing.T, network string) {
			reply := d.ask(t, network, query)
			wantRcode(t, reply, dns.RcodeRefused)
			if len(reply.Answer)+len(reply.Ns) != 0 {
				t.Errorf("REFUSED with records:\n%v", reply)
			}
		})
	}
}

// Routed zones are not signed: there is no DS, and asking for one must not go
// round through Consul's recursors.
func TestDSOfRoutedZones(t *testing.T) {
	t.Parallel()
	u := nobody(t)
	d := sealed(t, "--consul-domain=dc.example.net", to("--dns-routes=corp.example", u))
	for name, zone := range map[string]string{
		"consul": "consul.", "web.service.consul": "consul.", "service.consul": "consul.",
		"dc.example.net": "dc.example.net.", "web.service.dc.example.net": "dc.example.net.", "corp.example": "corp.example.",
	} {
		eachNetwork(t, func(t *testing.T, network string) {
			reply := d.ask(t, network, ednsQuery(name, dns.TypeDS))
			soa, ok := first[*dns.SOA](reply.Ns)
			if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 0 || !ok || soa.Hdr.Name != zone {
				t.Errorf("DS of %s: want NODATA with the SOA of %s, got:\n%v", name, zone, reply)
			}
		})
	}
}

// What is wrong in the header or in the OPT is told with the code for it.
func TestMalformedQueriesAreAnswered(t *testing.T) {
	t.Parallel()
	d := sealed(t)
	const question = "0377777707657861 6d706c65036f726700 0001 0001" // www.example.org A
	const opt = "00 0029 04d0 00000000 0000"
	for what, test := range map[string]struct {
		query string
		rcode int
	}{
		"opcode UPDATE":         {"2800 0001 0000 0000 0000" + question, dns.RcodeNotImplemented},
		"opcode STATUS":         {"1000 0001 0000 0000 0000" + question, dns.RcodeNotImplemented},
		"opcode 15":             {"7800 0001 0000 0000 0000" + question, dns.RcodeNotImplemented},
		"no question":           {"0100 0000 0000 0000 0000", dns.RcodeFormatError},
		"two questions":         {"0100 0002 0000 0000 0000" + question + question, dns.RcodeFormatError},
		"a question that lacks": {"0100 0001 0000 0000 0000", dns.RcodeFormatError},
		"a name that is cut":    {"0100 0001 0000 0000 0000 0377", dns.RcodeFormatError},
		"a name that points":    {"0100 0001 0000 0000 0000 c00c 0001 0001", dns.RcodeFormatError},
		"a reserved label":      {"0100 0001 0000 0000 0000 41" + strings.Repeat("61", 65) + "00 0001 0001", dns.RcodeFormatError},
		"a name of 256 bytes":   {"0100 0001 0000 0000 0000" + strings.Repeat("3f"+strings.Repeat("61", 63), 4) + "00 0001 0001", dns.RcodeFormatError},
		"a record that is cut":  {"0100 0001 0000 0000 0001" + question + "00 0029 04d0", dns.RcodeFormatError},
		"two OPTs":              {"0100 0001 0000 0000 0002" + question + opt + opt, dns.RcodeFormatError},
		"an OPT with a name":    {"0100 0001 0000 0000 0001" + question + "0161" + opt, dns.RcodeFormatError},
		"options that are cut":  {"0100 0001 0000 0000 0001" + question + "00 0029 04d0 00000000 0003 000a00", dns.RcodeFormatError},
		"an OPT as an answer":   {"0100 0001 0001 0000 0000" + question + opt, dns.RcodeFormatError},
	} {
		eachNetwork(t, func(t *testing.T, network string) {
			raw := d.askRaw(t, network, message(t, test.query))
			if len(raw) < 12 || raw[0] != 0x4e || raw[1] != 0x57 || raw[2]&0x80 == 0 || int(raw[3]&15) != test.rcode {
				t.Errorf("%s: want %s under our id, got %x", what, dns.RcodeToString[test.rcode], raw)
			}
			if query := message(t, test.query); raw[2]&0x78 != query[2]&0x78 {
				t.Errorf("%s: the opcode did not come back: %x", what, raw)
			}
		})
	}
}

// An EDNS version that is not known yet is BADVERS, with an OPT that says which is.
func TestUnknownEDNSVersion(t *testing.T) {
	t.Parallel()
	d := sealed(t)
	eachNetwork(t, func(t *testing.T, network string) {
		query := ednsQuery("www.example.org", dns.TypeA)
		query.IsEdns0().SetVersion(1)
		reply := unpack(t, d.askRaw(t, network, pack(t, query)))
		opt := reply.IsEdns0()
		if reply.Rcode != dns.RcodeBadVers || opt == nil || opt.Version() != 0 || len(reply.Question) != 1 {
			t.Errorf("want BADVERS with an OPT of version 0, got:\n%v", reply)
		}
	})
}

// Replies and fragments get no answer: answering a reply could go on for ever.
func TestDroppedPackets(t *testing.T) {
	t.Parallel()
	d := sealed(t)
	reply := pack(t, new(dns.Msg).SetReply(ednsQuery("www.example.org", dns.TypeA)))
	conn := dial(t, "udp", d.addr)
	for _, packet := range [][]byte{{}, {1}, reply[:11], reply, reply[:12]} {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	// Answered in order on one socket: whatever came for those came before this.
	probe := ednsQuery("localhost", dns.TypeA)
	write(t, conn, pack(t, probe))
	if got := unpack(t, read(t, conn)); got.Id != probe.Id {
		t.Errorf("an answer to what should be dropped:\n%v", got)
	}
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if got, err := tryRead(conn); err == nil {
		t.Errorf("an answer too much: %x", got)
	}
	if n := d.metric(t, "panteras_dns_dropped_total", `reason="malformed"`); n != 5 {
		t.Errorf("%v malformed packets counted, want 5", n)
	}
}
