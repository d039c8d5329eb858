package lab

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// DnsmasqServer is a running dnsmasq.
type DnsmasqServer struct {
	*Process
	Addr netip.AddrPort // where it answers, over UDP and TCP
}

// Dnsmasq starts Debian's dnsmasq with args, and nothing else of a
// configuration: no file of /etc is read, unless args say so. It returns when
// dnsmasq answers.
func Dnsmasq(t testing.TB, args ...string) *DnsmasqServer {
	t.Helper()
	path := system(t, "dnsmasq")
	for range startAttempts {
		if d := tryDnsmasq(t, path, args); d != nil {
			return d
		}
	}
	t.Fatalf("dnsmasq found its port taken %d times", startAttempts)
	return nil
}

// startAttempts is how often a program is started on fresh ports when
// somebody who does not reserve ports took the ones it was given.
const startAttempts = 4

// portTaken reports whether a program ended because its port was in use.
func portTaken(p *Process) bool {
	return p.ended() && strings.Contains(strings.ToLower(p.Stdout()+p.Stderr()), "address already in use")
}

// tryDnsmasq returns nil if the port was taken.
func tryDnsmasq(t testing.TB, path string, args []string) *DnsmasqServer {
	t.Helper()
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port(t))
	own := []string{
		"--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--pid-file",
		"--no-hosts", "--no-resolv", "--no-poll", "--bind-interfaces", "--listen-address=127.0.0.1",
		fmt.Sprintf("--port=%d", addr.Port()),
	}
	if os.Geteuid() == 0 {
		own = append(own, "--user=root", "--group=root") // stay who we are: temporary folders are ours
	}
	d := &DnsmasqServer{Process: start(t, command{path: path, args: append(own, args...), dir: t.TempDir()}), Addr: addr}
	poll(30*time.Second, func() bool {
		return d.ended() || answers(addr)
	})
	if portTaken(d.Process) {
		return nil
	}
	d.await(t, time.Second, "to answer", func() bool { return answers(addr) })
	return d
}
