package test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// From one address to all of the host and back, under load: no query is lost, and
// our own socket is not taken for somebody else's.
func TestReloadToTheWildcardAndBack(t *testing.T) {
	t.Parallel()
	recursor := scripted(t, always("192.0.2.1"))
	settings := func(listen string) string { return fmt.Sprintf("DNS_LISTEN=%s:PORT\n", listen) }
	d, replace := startRestricted(t, settings("127.0.0.1"), to("--dns-upstreams", recursor))
	load := startLoad(t, d.addr,
		asker{network: "udp", names: []string{"www.example.org", "a.example.org"}, address: "192.0.2.1"},
		asker{network: "udp", names: []string{"www.example.org", "b.example.org"}, address: "192.0.2.1"},
		asker{network: "tcp", names: []string{"www.example.org", "c.example.org"}, address: "192.0.2.1"})
	for range 3 {
		for _, listen := range []string{"0.0.0.0", "127.0.0.1"} {
			lab.Eventually(t, patience, "the load to go on", load.more(200))
			replace(strings.ReplaceAll(settings(listen), "PORT", fmt.Sprint(d.addr.Port())))
			d.reload(t, reloaded)
			wantAddress(t, d.ask(t, "udp", ednsQuery("www.example.org", dns.TypeA)), "192.0.2.1")
		}
	}
	load.stopAndCheck(t)
	if strings.Contains(d.Stderr(), "another server") {
		t.Errorf("our own socket is called another server's:\n%s", d.Stderr())
	}
}

// Queries that came in through an address which is given up are answered all the same,
// and from there.
func TestReloadListenKeepsQueriesInFlight(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	recursor := scripted(t, func(attempt) []lab.Action {
		return append([]lab.Action{lab.Until(answer)}, answerWith(trueAddress)...)
	})
	d, replace := startRestricted(t, "DNS_LISTEN=0.0.0.0:PORT\n", to("--dns-upstreams", recursor))
	udp, tcp := dial(t, "udp", d.addr), dial(t, "tcp", d.addr)
	const queries = 20
	for i := range queries {
		write(t, udp, pack(t, ednsQuery(fmt.Sprintf("u%d.example.org", i), dns.TypeA)))
		write(t, tcp, pack(t, ednsQuery(fmt.Sprintf("t%d.example.org", i), dns.TypeA)))
	}
	for i := range queries {
		for _, network := range []string{"u", "t"} {
			name := fmt.Sprintf("%s%d.example.org", network, i)
			lab.Eventually(t, patience, name+" to be on its way", func() bool { return recursor.Asked(name, dns.TypeA) > 0 })
		}
	}
	replace("DNS_LISTEN=" + loopback4(t).String())
	d.reload(t, reloaded)
	close(answer)
	for range queries {
		wantAddress(t, unpack(t, read(t, udp)), trueAddress)
		wantAddress(t, unpack(t, read(t, tcp)), trueAddress)
	}
	// Until then the address is ours; with the last answer it is free for others.
	lab.Eventually(t, patience, "the address to be free", func() bool {
		conn, err := net.ListenPacket("udp", d.addr.String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}
