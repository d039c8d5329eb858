package dnsserver

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"panteras/configs"
	"panteras/dnsserver/wire"
	"panteras/internal/lab"
)

func packed(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func loopbackPort(t testing.TB) netip.AddrPort {
	t.Helper()
	return netip.AddrPortFrom(loopback, lab.Port(t))
}

// extendedCode is that of the extended DNS error (RFC 8914), -1 for none.
func extendedCode(m *dns.Msg) int {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				return int(e.InfoCode)
			}
		}
	}
	return -1
}

// askBytes sends a query that need not be one, and returns what comes back.
func (r *running) askBytes(t *testing.T, network string, b []byte) *dns.Msg {
	t.Helper()
	conn, err := net.Dial(network, r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	got := make([]byte, wire.MaxMessage)
	n := 0
	if network == "tcp" {
		if _, err = conn.Write(framed(b)); err == nil {
			if _, err = io.ReadFull(conn, got[:2]); err == nil {
				n, err = io.ReadFull(conn, got[:int(got[0])<<8|int(got[1])])
			}
		}
	} else if _, err = conn.Write(b); err == nil {
		n, err = conn.Read(got)
	}
	m := new(dns.Msg)
	if err == nil {
		err = m.Unpack(got[:n])
	}
	if err != nil {
		t.Fatalf("over %s: %v", network, err)
	}
	return m
}

// Options that we do not act upon are none of our business, however odd they are: a proxy would hand them on (RFC 5625 section 4.4).
// TestLocalAnswersAreOfTheClassThatWasAskedFor: resolvers throw away an answer whose records are of another class.
func TestLocalAnswersAreOfTheClassThatWasAskedFor(t *testing.T) {
	t.Parallel()
	up := lab.NewUpstream(t, lab.Script(lab.Reply()))
	r := run(t, up.Addr, up.Addr, nil)
	for _, question := range []dns.Question{
		{Name: "localhost.", Qtype: dns.TypeA}, {Name: "x.invalid.", Qtype: dns.TypeA}, {Name: "any.example.", Qtype: dns.TypeANY}, {Name: "web.service.consul.", Qtype: dns.TypeDS},
	} {
		for _, class := range []uint16{dns.ClassHESIOD, dns.ClassINET} {
			question.Qclass = class
			m := r.askBytes(t, "udp", packed(t, &dns.Msg{MsgHdr: dns.MsgHdr{Id: 7}, Question: []dns.Question{question}}))
			if records := len(m.Answer) + len(m.Ns); m.Question[0] != question || (records > 0) != (class == dns.ClassINET) {
				t.Errorf("%v: %v", question, m)
			}
		}
	}
}

func TestOddOptionsDoNotSpoilLocalAnswers(t *testing.T) {
	t.Parallel()
	up := lab.NewUpstream(t, lab.Script(lab.Reply()))
	r := run(t, up.Addr, up.Addr, nil)
	for name, option := range map[string][]byte{
		"a client subnet of no family":  {0, 8, 0, 6, 0, 9, 24, 0, 10, 1},
		"a client subnet without rest":  {0, 8, 0, 1, 0},
		"a client subnet too long":      {0, 8, 0, 9, 0, 1, 99, 0, 1, 2, 3, 4, 5},
		"a keepalive of one byte":       {0, 11, 0, 1, 7},
		"a cookie that is too short":    {0, 10, 0, 3, 1, 2, 3},
		"an option nobody knows":        {0xfd, 0xe9, 0, 2, 1, 2},
		"an extended error of one byte": {0, 15, 0, 1, 1},
	} {
		for question, typ := range map[string]uint16{"node1.": dns.TypeA, "localhost.": dns.TypeA, "1.0.0.10.in-addr.arpa.": dns.TypePTR, "any.example.": dns.TypeANY} {
			q := new(dns.Msg).SetQuestion(question, typ)
			b := append(packed(t, q), 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, byte(len(option)))
			b = append(b, option...)
			b[11] = 1
			var texts []string
			for _, network := range []string{"udp", "tcp"} {
				m := r.askBytes(t, network, b)
				if m.Id != q.Id || m.Question[0] != q.Question[0] || m.IsEdns0() == nil || (m.Rcode != 0 && m.Rcode != dns.RcodeNameError) || len(m.Answer)+len(m.Ns) == 0 {
					t.Errorf("%s, %s over %s: %v", name, question, network, m)
				}
				texts = append(texts, m.String())
			}
			if texts[0] != texts[1] {
				t.Errorf("%s, %s: over UDP %s\nover TCP %s", name, question, texts[0], texts[1])
			}
		}
	}
}

// The rcode of an answer is counted, not the four bits of it that stand in the header.
func TestBadVersIsCounted(t *testing.T) {
	t.Parallel()
	up := lab.NewUpstream(t, lab.Script(lab.Reply()))
	r := run(t, up.Addr, up.Addr, nil)
	q := new(dns.Msg).SetQuestion("www.example.", dns.TypeA).SetEdns0(1232, false)
	q.IsEdns0().SetVersion(1)
	for i, network := range []string{"udp", "tcp"} {
		for range 2 + i {
			if m := r.askBytes(t, network, packed(t, q)); m.Rcode != dns.RcodeBadVers {
				t.Errorf("over %s: %v", network, m)
			}
		}
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(r.Server); err != nil {
		t.Fatal(err)
	}
	values := gathered(t, registry)
	for i, network := range []string{"udp", "tcp"} {
		name := fmt.Sprintf("panteras_dns_queries_total{rcode=BADVERS,route=recursor,transport=%s}", network)
		if values[name] != float64(2+i) {
			t.Errorf("%s is %v, want %d", name, values[name], 2+i)
		}
		if v, ok := values[fmt.Sprintf("panteras_dns_queries_total{rcode=NOERROR,route=recursor,transport=%s}", network)]; ok {
			t.Errorf("%v counted as NOERROR over %s", v, network)
		}
	}
}

// An OPT belongs to the root (RFC 6891 section 6.1.2). One that does not is taken for what the whole reply then is: broken.
func TestAnOPTThatIsNotOfTheRoot(t *testing.T) {
	t.Parallel()
	second := newFakeServer(t)
	r := newRig(t, func(s *configs.Settings) { s.DNSUpstreams = append(s.DNSUpstreams, second.addr) })
	c := r.client()
	for _, edns := range []uint16{0, 1232} {
		q := c.ask("a.example.", dns.TypeA, edns)
		r.step()
		arrived, good := r.rec.next(), second
		if arrived == nil { // the second one is preferred by now
			arrived, good = second.want(), r.rec
		}
		odd := packed(t, new(dns.Msg).SetReply(arrived.Msg))
		odd = append(odd, 1, 'x', 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0)
		odd[11] = 1
		arrived.raw(odd)
		r.step()
		good.want().reply(0, "@ 0 IN A 192.0.2.1")
		r.step()
		if m := c.answers(q); len(m.Answer) != 1 {
			t.Errorf("got %v", m)
		}
	}
	if got := r.w.stats.drops[dropBrokenAnswer].Load(); got != 2 {
		t.Errorf("%d broken answers counted, want 2", got)
	}
	r.idle()
}

// Who asks for what is not served at all is told so, rather than left to think that it may not ask.
func TestWhatIsNotServedIsSaid(t *testing.T) {
	t.Parallel()
	up := lab.NewUpstream(t, lab.Script(lab.Reply()))
	r := run(t, up.Addr, up.Addr, nil)
	for _, edns := range []bool{true, false} {
		for _, q := range []dns.Question{{Name: "version.bind.", Qtype: dns.TypeTXT, Qclass: dns.ClassCHAOS}, {Name: "example.", Qtype: dns.TypeAXFR, Qclass: dns.ClassINET}} {
			m := new(dns.Msg)
			m.Id, m.Question = dns.Id(), []dns.Question{q}
			want := -1
			if edns {
				m.SetEdns0(1232, false)
				want = int(dns.ExtendedErrorCodeNotSupported)
			}
			for _, network := range []string{"udp", "tcp"} {
				got := r.askBytes(t, network, packed(t, m))
				if got.Rcode != dns.RcodeRefused || extendedCode(got) != want || (got.IsEdns0() != nil) != edns {
					t.Errorf("%s over %s: %v", q.String(), network, got)
				}
			}
		}
	}
}
