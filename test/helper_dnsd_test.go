package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// patience is how long a client waits for an answer, and a test for what comes soon
// on any machine: the 5 s of a stub resolver (resolv.conf(5)), and much room for a busy one.
const patience = 20 * time.Second

// dnsd is a running `panteras dns`.
type dnsd struct {
	*lab.Process
	addr    netip.AddrPort // where it listens
	metrics netip.AddrPort // where its metrics are
	dir     string         // its working folder; restricted/ in it holds the settings files
}

// panterasPath is the path of what `make build` made.
func panterasPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(lab.Root(t), "bin", "panteras")
}

// loopback4 is an address and port of 127.0.0.1 that is free for this test.
func loopback4(t testing.TB) netip.AddrPort {
	t.Helper()
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), lab.Port(t))
}

// dnsdEnv is the environment of every server here, so that nothing depends on
// the machine's own name and addresses.
var dnsdEnv = []string{"IP=10.0.0.5", "HOSTNAME=node-7", "FQDN=node-7.example.net"}

// startDNSD runs the server on a free port of 127.0.0.1 with more flags, and
// returns when it answers.
func startDNSD(t testing.TB, flags ...string) *dnsd {
	t.Helper()
	return startDNSDAt(t, loopback4(t), flags...)
}

// startDNSDAt is startDNSD on an address that the test chose.
func startDNSDAt(t testing.TB, addr netip.AddrPort, flags ...string) *dnsd {
	t.Helper()
	d := &dnsd{addr: addr, metrics: loopback4(t), dir: t.TempDir()}
	args := append([]string{"dns", "--dns-listen=" + addr.String(), "--metrics-listen=" + d.metrics.String()}, flags...)
	if !slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, "--consul-dns=") }) {
		args = append(args, "--consul-dns="+unusedServer(t).String())
	}
	d.Process = lab.Panteras(t, lab.PanterasOptions{Args: args, Env: dnsdEnv, Dir: d.dir, ReadyDNS: addr})
	return d
}

// unusedServer is a port where nobody listens: what a server is told of that a
// test does not want to be used.
func unusedServer(t testing.TB) netip.AddrPort { return loopback4(t) }

// to makes a flag that lists servers.
func to(flag string, upstreams ...*lab.Upstream) string {
	list := make([]string, len(upstreams))
	for i, u := range upstreams {
		list[i] = u.Addr.String()
	}
	return flag + "=" + strings.Join(list, ",")
}

// plainQuery is a question without EDNS.
func plainQuery(name string, qtype uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
}

// ednsQuery is a question with EDNS, as today's clients ask.
func ednsQuery(name string, qtype uint16) *dns.Msg {
	return plainQuery(name, qtype).SetEdns0(1232, false)
}

// ask asks the server and fails the test if it does not answer.
func (d *dnsd) ask(t testing.TB, network string, query *dns.Msg) *dns.Msg {
	t.Helper()
	reply, err := exchange(network, d.addr, query)
	if err != nil {
		t.Fatalf("%s %s over %s: %v", query.Question[0].Name, dns.TypeToString[query.Question[0].Qtype], network, err)
	}
	return reply
}

// exchange asks any server once.
func exchange(network string, server netip.AddrPort, query *dns.Msg) (*dns.Msg, error) {
	client := &dns.Client{Net: network, Timeout: patience, UDPSize: dns.MaxMsgSize}
	reply, _, err := client.Exchange(query, server.String())
	return reply, err
}

// wantAddress fails the test unless the answer is one A record with the address.
func wantAddress(t testing.TB, reply *dns.Msg, address string) {
	t.Helper()
	if err := hasAddress(reply, address); err != nil {
		t.Fatal(err)
	}
}

// hasAddress says what is wrong with an answer that should be one A record.
func hasAddress(reply *dns.Msg, address string) error {
	if reply.Rcode == dns.RcodeSuccess && len(reply.Answer) == 1 {
		if a, ok := reply.Answer[0].(*dns.A); ok && a.A.String() == address {
			return nil
		}
	}
	return fmt.Errorf("want one A record %s, got:\n%v", address, reply)
}

// wantRcode fails the test unless the answer has the code.
func wantRcode(t testing.TB, reply *dns.Msg, rcode int) {
	t.Helper()
	if reply.Rcode != rcode {
		t.Fatalf("want %s, got:\n%v", dns.RcodeToString[rcode], reply)
	}
}

// extendedError is the code of the extended DNS error (RFC 8914), -1 for none.
func extendedError(reply *dns.Msg) int {
	if opt := reply.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				return int(e.InfoCode)
			}
		}
	}
	return -1
}

// metric adds up the samples of a metric whose labels contain all the pieces.
func (d *dnsd) metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	sum := 0.0
	for line := range strings.Lines(d.readMetrics(t)) {
		sample, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		base, set, _ := strings.Cut(sample, "{")
		if !ok || base != name || slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(set, l) }) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("metric %q: %v", line, err)
		}
		sum += n
	}
	return sum
}

// readMetrics asks for the metrics on a connection made by this goroutine, which
// may be in a network namespace of its own; http.Client would use another one.
func (d *dnsd) readMetrics(t testing.TB) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", d.metrics.String(), patience)
	if err != nil {
		t.Fatalf("metrics: %v", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	request, _ := http.NewRequest(http.MethodGet, "http://"+d.metrics.String()+"/metrics", nil)
	request.Close = true
	if err := request.Write(conn); err != nil {
		t.Fatalf("metrics: %v", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		t.Fatalf("metrics: %v", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("metrics: %v", err)
	}
	return string(body)
}

// events counts what happened with an upstream: answer, timeout, mismatch or
// unreachable.
func (d *dnsd) events(t testing.TB, u *lab.Upstream, event string) int {
	t.Helper()
	return int(d.metric(t, "panteras_dns_upstream_events_total", `event="`+event+`"`, `upstream="`+u.Addr.String()+`"`))
}

// up says whether the server counts an upstream as alive.
func (d *dnsd) up(t testing.TB, u *lab.Upstream) bool {
	t.Helper()
	return d.metric(t, "panteras_dns_upstream_up", `upstream="`+u.Addr.String()+`"`) == 1
}
