package test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// Names matter more than figures that nobody asked for: where the default address of
// the metrics is taken, the server runs without them and says so. One that was asked
// for is an error.
func TestMetricsAddressIsTaken(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	metrics := netip.MustParseAddrPort("127.0.0.1:9153")
	first := &dnsd{addr: loopback4(t), metrics: metrics}
	start := func(addr netip.AddrPort) *lab.Process {
		return lab.Panteras(t, lab.PanterasOptions{Args: []string{"dns", "--dns-listen=" + addr.String()}, Env: dnsdEnv, ReadyDNS: addr})
	}
	first.Process = start(first.addr)
	if first.metric(t, "panteras_dns_queries_total") == 0 {
		t.Errorf("no metrics at %s", metrics)
	}
	second := &dnsd{addr: loopback4(t)}
	second.Process = start(second.addr)
	wantAddress(t, second.ask(t, "udp", ednsQuery("node-7", dns.TypeA)), "10.0.0.5")
	if !strings.Contains(second.Stderr(), "no metrics") || !strings.Contains(second.Stderr(), metrics.String()) {
		t.Errorf("the log does not say that there are no metrics:\n%s", second.Stderr())
	}
	third := lab.Panteras(t, lab.PanterasOptions{Args: []string{"dns", "--dns-listen=" + loopback4(t).String(), "--metrics-listen=" + metrics.String()}, Env: dnsdEnv})
	if code := third.Wait(t, patience); code != 1 || !strings.Contains(third.Stderr(), "METRICS_LISTEN") {
		t.Errorf("exit code %d, want 1 and the name of the setting:\n%s", code, third.Stderr())
	}
	if conn, err := net.DialTimeout("tcp", metrics.String(), patience); err != nil {
		t.Errorf("the first one's metrics are gone: %v", err)
	} else {
		_ = conn.Close()
	}
}
