package test

import (
	"fmt"
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
