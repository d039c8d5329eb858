package test

import (
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"

	"panteras/internal/lab"

	"github.com/miekg/dns"
)

// addDomain is the HAPROXY_ADD_DOMAIN of these tests, with the leading dot that operators write.
const addDomain = ".my.own.domain.com"

// recursor is a scripted recursor that remembers what it was asked. It fails
// the test if that was ever a name of Consul's.
type recursor struct {
	*lab.Upstream
	mu    sync.Mutex
	names []string
}

// newRecursor starts a recursor that does as handler says. forbidden are the
// domains that must never reach it; consul. always is one.
func newRecursor(t *testing.T, handler lab.Handler, forbidden ...string) *recursor {
	t.Helper()
	r := &recursor{}
	r.Upstream = lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if q.Msg != nil {
			r.mu.Lock()
			r.names = append(r.names, strings.ToLower(q.Msg.Question[0].Name))
			r.mu.Unlock()
		}
		return handler(q)
	})
	t.Cleanup(func() {
		for _, name := range r.asked() {
			for _, domain := range append(forbidden, "consul.") {
				if dns.IsSubDomain(domain, name) {
					t.Errorf("the recursor was asked for %s", name)
				}
			}
		}
	})
	return r
}

// asked lists the names that arrived, in lower case, without the probes for
// loops (something.test.) that a starting forwarder sends.
func (r *recursor) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, name := range r.names {
		if !dns.IsSubDomain("test.", name) {
			names = append(names, name)
		}
	}
	return names
}

// onlyExample answers A questions for example.com and knows no other name.
func onlyExample(q *lab.Query) []lab.Action {
	if q.Msg != nil && strings.EqualFold(q.Msg.Question[0].Name, "example.com.") {
		if q.Msg.Question[0].Qtype == dns.TypeA {
			return []lab.Action{lab.Reply(lab.Answers("@ 300 IN A 192.0.2.80"))}
		}
		return []lab.Action{lab.Reply()}
	}
	return []lab.Action{lab.Reply(lab.Rcode(dns.RcodeNameError), lab.Authority(". 60 IN SOA a.root. b.root. 1 1 1 1 60"))}
}

// forwarder is bin/panteras serving DNS.
type forwarder struct {
	*lab.Process
	Addr    netip.AddrPort
	Metrics string // its address; "" when they are off
}

// startForwarder runs `panteras dns` between a Consul and recursors. flags come last and win.
func startForwarder(t *testing.T, consul, recursors netip.AddrPort, flags ...string) *forwarder {
	t.Helper()
	return startForwarderOn(t, netip.MustParseAddr("127.0.0.1"), consul, recursors, flags...)
}

// startForwarderOn is startForwarder with the address to listen on.
func startForwarderOn(t *testing.T, on netip.Addr, consul, recursors netip.AddrPort, flags ...string) *forwarder {
	t.Helper()
	f := &forwarder{Addr: netip.AddrPortFrom(on, lab.Port(t))}
	args := []string{
		"dns", "--dns-listen=" + f.Addr.String(), "--consul-dns=" + consul.String(), "--dns-upstreams=" + recursors.String(),
		"--consul-domain=consul", "--haproxy-add-domain=" + addDomain, "--metrics-listen=off",
	}
	args = append(args, flags...)
	for _, flag := range flags {
		if address, ok := strings.CutPrefix(flag, "--metrics-listen="); ok {
			f.Metrics = address
		}
	}
	f.Process = lab.Panteras(t, lab.PanterasOptions{Args: args, ReadyDNS: f.Addr, ReadyLine: regexp.MustCompile("msg=listening")})
	return f
}

// eachConsul runs a test for each Consul in use, at the same time.
func eachConsul(t *testing.T, test func(t *testing.T, version string)) {
	t.Helper()
	for _, version := range []string{"1.14.4", "1.13.9"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(t, version)
		})
	}
}

// withMetrics is the flag that serves metrics on a port of the lab's.
func withMetrics(t *testing.T) string {
	t.Helper()
	return "--metrics-listen=" + netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), lab.Port(t)).String()
}
