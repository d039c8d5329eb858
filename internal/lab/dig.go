package lab

import (
	"bytes"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// RunDig runs dig, the client that people use, and returns what it printed.
// The test fails when dig does, as it does when it gets no reply; an NXDOMAIN
// is a reply. The user's ~/.digrc is not read.
func RunDig(t testing.TB, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(system(t, "dig"), append([]string{"-r"}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("dig %q: %v\n%s%s", args, err, out, &stderr)
	}
	return string(out)
}

// Ask sends one query over network ("udp" or "tcp") to server and returns the
// reply. It does not retry, and gives up after two seconds.
func Ask(server netip.AddrPort, network, name string, qtype uint16) (*dns.Msg, error) {
	return exchange(server, network, name, qtype, 2*time.Second)
}

// exchange is Ask with a choice of timeout.
func exchange(server netip.AddrPort, network, name string, qtype uint16, timeout time.Duration) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	client := &dns.Client{Net: network, Timeout: timeout, UDPSize: dns.MaxMsgSize}
	reply, _, err := client.Exchange(query, server.String())
	return reply, err
}

// answers reports whether server replies at all, whatever it says, over UDP. It
// asks what a server answers by itself (CHAOS TXT version.bind), so that no
// upstream of the server sees a query that the test did not send.
func answers(server netip.AddrPort) bool {
	query := new(dns.Msg).SetQuestion("version.bind.", dns.TypeTXT)
	query.Question[0].Qclass = dns.ClassCHAOS
	client := &dns.Client{Timeout: 200 * time.Millisecond}
	_, _, err := client.Exchange(query, server.String())
	return err == nil
}
