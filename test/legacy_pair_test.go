package test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"

	"github.com/miekg/dns"
)

// pair is both servers in the same surroundings, each with a recursor of its own.
type pair struct {
	recursors map[netip.AddrPort]*recursor // by the server that asks them
	ours      netip.AddrPort
	dnsmasq   netip.AddrPort
}

// newPair starts both servers.
func newPair(t *testing.T, with surroundings, consul netip.AddrPort) *pair {
	t.Helper()
	closed := func() netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), lab.Port(t)) }
	if with == consulAway {
		consul = closed()
	}
	p := &pair{recursors: map[netip.AddrPort]*recursor{}}
	start := func(run func(recursors netip.AddrPort) netip.AddrPort) netip.AddrPort {
		r := newRecursor(t, anyExample)
		if with == recursorsAway {
			r.CloseUDP()
			r.CloseTCP()
		}
		server := run(r.Addr)
		p.recursors[server] = r
		return server
	}
	p.ours = start(func(r netip.AddrPort) netip.AddrPort { return startForwarder(t, consul, r, legacyFlags...).Addr })
	p.dnsmasq = start(func(r netip.AddrPort) netip.AddrPort { return startDnsmasq(t, consul, r).Addr })
	return p
}

// anyExample answers A questions for names under example.com, and knows no others.
func anyExample(q *lab.Query) []lab.Action {
	if q.Msg == nil || !dns.IsSubDomain("example.com.", strings.ToLower(q.Msg.Question[0].Name)) {
		return onlyExample(q)
	}
	return []lab.Action{lab.Reply(lab.Answers("@ 300 IN A 192.0.2.80"))}
}

// typed asks for a name over UDP without EDNS.
func typed(name string, qtype uint16) func(*pair, netip.AddrPort) string {
	return packet("udp", func(m *dns.Msg) { m.SetQuestion(dns.Fqdn(name), qtype) })
}

// packet asks what fill makes of a message, and says what came back in a few words.
func packet(network string, fill func(*dns.Msg)) func(*pair, netip.AddrPort) string {
	return func(p *pair, server netip.AddrPort) string {
		query := new(dns.Msg)
		fill(query)
		raw, err := query.Pack()
		if err != nil {
			return err.Error()
		}
		said := exchangeWords(server, network, raw)
		if slices.Contains(p.recursors[server].asked(), strings.ToLower(query.Question[0].Name)) {
			said += ", the recursor was asked"
		}
		return said
	}
}

// clientPatience is how long no answer means none: a client's resolver waits that long.
const clientPatience = 5 * time.Second

// exchangeWords sends a query and says what came back.
func exchangeWords(server netip.AddrPort, network string, raw []byte) string {
	conn, err := net.DialTimeout(network, server.String(), clientPatience)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(clientPatience))
	client := &dns.Conn{Conn: conn, UDPSize: dns.MaxMsgSize}
	if _, err := client.Write(raw); err != nil {
		return err.Error()
	}
	reply, err := client.ReadMsg()
	if err != nil {
		return "no answer"
	}
	if reply.Id != binary.BigEndian.Uint16(raw) {
		return "an answer to something else"
	}
	return words(reply)
}

// words says what an answer comes to.
func words(reply *dns.Msg) string {
	said := dns.RcodeToString[reply.Rcode]
	if opt := reply.IsEdns0(); opt != nil && opt.ExtendedRcode() == dns.RcodeBadVers {
		said = "BADVERS"
	}
	switch n := len(reply.Answer); {
	case reply.Rcode != dns.RcodeSuccess:
	case n == 0:
		said = "NODATA"
	case n == 1:
		said = dns.Type(reply.Answer[0].Header().Rrtype).String() + " " + data(reply.Answer)
	default:
		said = fmt.Sprintf("%d %s", n, dns.Type(reply.Answer[0].Header().Rrtype))
	}
	if reply.Truncated {
		said += " (TC)"
	}
	return said
}

// twice asks for one name twice and says what the recursor saw of it.
func (p *pair) twice(server netip.AddrPort) string {
	ask := typed("twice.example.com", dns.TypeA)
	if first, second := ask(p, server), ask(p, server); first != second {
		return first + ", then " + second
	}
	n := 0
	for _, name := range p.recursors[server].asked() {
		if name == "twice.example.com." {
			n++
		}
	}
	return "the recursor is asked " + map[int]string{1: "once", 2: "twice"}[n]
}
