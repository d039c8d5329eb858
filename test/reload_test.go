package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// startRestricted runs the server with a settings file, and returns a function
// that replaces it. In DNS_LISTEN, PORT stands for the port of a free address.
func startRestricted(t testing.TB, settings string, flags ...string) (*dnsd, func(settings string)) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restricted")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	replace := func(settings string) { put(t, filepath.Join(dir, "host"), settings) }
	d := &dnsd{addr: loopback4(t), metrics: loopback4(t)}
	if strings.Contains(settings, "DNS_LISTEN=") { // the test wants to change it
		settings = strings.ReplaceAll(settings, "PORT", fmt.Sprint(d.addr.Port()))
	} else {
		flags = append(flags, "--dns-listen="+d.addr.String())
	}
	replace(settings)
	d.Process = lab.Panteras(t, lab.PanterasOptions{
		Args: append([]string{"dns", "--restricted=" + dir, "--metrics-listen=" + d.metrics.String()}, flags...), Env: dnsdEnv, ReadyDNS: d.addr,
	})
	return d, replace
}

// reload sends SIGHUP and waits until the log has one more line that says how it
// went.
func (d *dnsd) reload(t testing.TB, outcome string) {
	t.Helper()
	before := strings.Count(d.Stderr(), outcome)
	d.Signal(syscall.SIGHUP)
	lab.Eventually(t, patience, "the log to say "+outcome, func() bool { return strings.Count(d.Stderr(), outcome) > before })
}

// How a reload ends, in the log.
const (
	reloaded     = `msg="settings reloaded"`
	reloadFailed = `level=ERROR msg="reload failed"`
)

// Reloads under load, good ones and bad ones, lose no query; what has changed is in
// force after a good one, and what was before a bad one stays.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	one, two := scripted(t, always("192.0.2.1")), scripted(t, always("192.0.2.2"))
	consul := scripted(t, always("192.0.2.3"))
	settings := func(u *lab.Upstream, more string) string { return fmt.Sprintf("DNS_UPSTREAMS=%s\n%s\n", u.Addr, more) }
	d, replace := startRestricted(t, settings(one, ""), to("--consul-dns", consul))
	either := func(name string, reply *dns.Msg) error {
		if hasAddress(reply, "192.0.2.1") == nil {
			return nil
		}
		return hasAddress(reply, "192.0.2.2")
	}
	load := startLoad(t, d.addr,
		asker{network: "udp", names: []string{"www.example.org", "a.example.org"}, check: either},
		asker{network: "udp", names: []string{"www.example.org", "b.example.org"}, check: either},
		asker{network: "tcp", names: []string{"www.example.org", "c.example.org"}, check: either},
		asker{network: "udp", names: []string{"web.service.consul"}, address: "192.0.2.3"},
		asker{network: "tcp", names: []string{"web.service.consul"}, address: "192.0.2.3"},
		asker{network: "udp", names: []string{"node-7"}, address: "10.0.0.5"})
	for range 5 {
		for _, step := range []struct {
			settings, outcome, now string
		}{
			{settings(two, "DNS_UDP_SIZE=4096"), reloaded, "192.0.2.2"},
			{settings(one, "DNS_UDP_SIZE=99999"), reloadFailed, "192.0.2.2"},
			{settings(one, `FQDN=$(hostname)`), reloadFailed, "192.0.2.2"},
			{fmt.Sprintf("DNS_UPSTREAMS=%s", d.addr), reloadFailed, "192.0.2.2"},
			{settings(one, ""), reloaded, "192.0.2.1"},
		} {
			lab.Eventually(t, patience, "the load to go on", load.more(200))
			replace(step.settings)
			d.reload(t, step.outcome)
			wantAddress(t, d.ask(t, "udp", ednsQuery("www.example.org", dns.TypeA)), step.now)
			wantAddress(t, d.ask(t, "tcp", ednsQuery("www.example.org", dns.TypeA)), step.now)
		}
	}
	if !strings.Contains(d.Stderr(), "host:2") {
		t.Errorf("the log does not say where the mistake is:\n%s", d.Stderr())
	}
	load.stopAndCheck(t)
}

// A query that is on its way to a server which the new settings do not have is
// still answered.
func TestReloadKeepsQueriesInFlight(t *testing.T) {
	t.Parallel()
	for _, v := range bothRoutes {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(v.route+"/"+network, func(t *testing.T) {
				t.Parallel()
				answer := make(chan struct{})
				old := scripted(t, func(attempt) []lab.Action {
					return append([]lab.Action{lab.Until(answer)}, answerWith(trueAddress)...)
				})
				setting := strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(v.flag, "--"), "-", "_"))
				d, replace := startRestricted(t, setting+"="+old.Addr.String())
				conn := dial(t, network, d.addr)
				for i := range 20 {
					query := ednsQuery(fmt.Sprintf("n%d.%s", i, v.name), dns.TypeA)
					query.Id = uint16(i)
					write(t, conn, pack(t, query))
				}
				lab.Eventually(t, patience, "the queries to be on their way", func() bool {
					return old.Asked("n19."+v.name, dns.TypeA) > 0 && old.Asked("n0."+v.name, dns.TypeA) > 0
				})
				replace(setting + "=" + scripted(t, always("192.0.2.2")).Addr.String())
				d.reload(t, reloaded)
				close(answer)
				for range 20 {
					wantAddress(t, unpack(t, read(t, conn)), trueAddress)
				}
				wantAddress(t, d.ask(t, network, ednsQuery(v.name, dns.TypeA)), "192.0.2.2")
			})
		}
	}
}
