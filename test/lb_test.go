package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// addressesOf are the addresses in an answer, sorted.
func addressesOf(reply *dns.Msg) string {
	var list []string
	for _, rr := range reply.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			list = append(list, rr.A.String())
		case *dns.AAAA:
			list = append(list, rr.AAAA.String())
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// becomes waits until a name has addresses.
func (d *dnsd) becomes(t *testing.T, name, want string) {
	t.Helper()
	got := ""
	lab.Eventually(t, patience, name+" becomes "+want, func() bool {
		got = addressesOf(d.ask(t, "udp", ednsQuery(name, dns.TypeA)))
		return got == want
	})
}

// The HAProxies and services of these tests. Nodes that are not this host are 10.2.0.N.
func balancerOn(n int, status string) lab.Service {
	return lab.Service{Name: "haproxy", Node: fmt.Sprint("edge-", n), NodeIP: fmt.Sprint("10.2.0.", n), Port: 80, Status: status}
}

func behind(status string, tags ...string) lab.Service {
	return lab.Service{Name: "web", NodeIP: "10.1.0.1", Port: 31000, Status: status, Tags: tags}
}

// TestBalanced asks a server with DNS_MODE=lb and a real Consul.
func TestBalanced(t *testing.T) {
	t.Parallel()
	consul := lab.Consul(t, lab.ConsulOptions{})
	recursor := scripted(t, always("198.51.100.1"))
	consul.Register(t, behind("passing", "haproxy"), balancerOn(1, "passing"), balancerOn(2, "passing"), balancerOn(3, "critical"),
		lab.Service{Name: "plain", Node: "node-2", NodeIP: "10.1.0.2", Port: 31001})
	d := startDNSD(t, "--dns-mode=lb", "--consul-dns="+consul.DNS.String(), "--consul-http-addr="+consul.HTTPAddr.String(),
		"--haproxy-add-domain=acme.test", to("--dns-upstreams", recursor))
	const both = "10.2.0.1 10.2.0.2"
	for _, network := range []string{"udp", "tcp"} { // from the first answer on
		for _, name := range []string{"web.service.consul", "WEB.service.dc1.consul", "web.acme.test"} {
			reply := d.ask(t, network, ednsQuery(name, dns.TypeA))
			if got := addressesOf(reply); got != both {
				t.Errorf("%s over %s: %s", name, network, got)
			}
			for _, rr := range reply.Answer {
				if rr.Header().Ttl != 0 || rr.Header().Name != dns.Fqdn(name) {
					t.Errorf("%s over %s: %s", name, network, rr)
				}
			}
			reply = d.ask(t, network, ednsQuery(name, dns.TypeAAAA))
			if len(reply.Answer) != 0 || reply.Rcode != dns.RcodeSuccess || len(reply.Ns) != 1 {
				t.Errorf("%s AAAA over %s: %s", name, network, reply)
			}
		}
	}
	first := map[string]int{}
	for range 200 {
		first[d.ask(t, "udp", ednsQuery("web.service.consul", dns.TypeA)).Answer[0].(*dns.A).A.String()]++
	}
	if first["10.2.0.1"] < 50 || first["10.2.0.2"] < 50 {
		t.Errorf("the first address was %v", first)
	}

	// All else is Consul's own answer.
	wantAddress(t, d.ask(t, "udp", ednsQuery("plain.service.consul", dns.TypeA)), "10.1.0.2")
	wantAddress(t, d.ask(t, "udp", ednsQuery("edge-3.node.consul", dns.TypeA)), "10.2.0.3")
	wantAddress(t, d.ask(t, "udp", ednsQuery("haproxy.web.service.consul", dns.TypeA)), "10.1.0.1")
	for _, name := range []string{"nobody.service.consul", "nobody.service.dc1.consul", "nothing.consul"} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV} {
			wantRcode(t, d.ask(t, "udp", ednsQuery(name, qtype)), dns.RcodeNameError)
		}
	}
	srv := d.ask(t, "udp", ednsQuery("web.service.consul", dns.TypeSRV))
	if len(srv.Answer) != 1 || srv.Answer[0].(*dns.SRV).Port != 31000 {
		t.Errorf("SRV: %s", srv)
	}
	wantAddress(t, d.ask(t, "udp", ednsQuery("other.acme.test", dns.TypeA)), "198.51.100.1")
	if n := d.metric(t, "panteras_dns_lb_balancers"); n != 2 {
		t.Errorf("panteras_dns_lb_balancers is %v", n)
	}

	// It follows what happens.
	consul.Register(t, balancerOn(2, "critical"))
	d.becomes(t, "web.service.consul", "10.2.0.1")
	consul.Register(t, balancerOn(1, "critical"))
	d.becomes(t, "web.service.consul", "10.1.0.1") // no HAProxy is well: Consul's answer
	consul.Register(t, balancerOn(2, "passing"), lab.Service{Name: "haproxy", Node: "edge-0", NodeIP: "10.0.0.5", Port: 80})
	d.becomes(t, "web.service.consul", "10.0.0.5") // IP of this host
	consul.Register(t, behind("critical", "haproxy"))
	lab.Eventually(t, patience, "the last instance is gone", func() bool {
		return d.ask(t, "udp", ednsQuery("web.service.consul", dns.TypeA)).Rcode == dns.RcodeNameError
	})
	consul.Register(t, behind("passing", "webapp"))
	d.becomes(t, "web.service.consul", "10.0.0.5")

	// Without Consul what it said last stays; all else fails as it always does.
	consul.Kill()
	lab.Eventually(t, patience, "the loss is noticed", func() bool { return d.metric(t, "panteras_dns_lb_up") == 0 })
	wantAddress(t, d.ask(t, "udp", ednsQuery("web.service.consul", dns.TypeA)), "10.0.0.5")
	wantRcode(t, d.ask(t, "udp", ednsQuery("plain.service.consul", dns.TypeA)), dns.RcodeServerFailure)
	if !strings.Contains(d.Stderr(), "what it said last stays in use") {
		t.Errorf("the log does not tell: %s", d.Stderr())
	}
	if d.Stop(t) != 0 {
		t.Error("it does not stop well")
	}
}

// TestBalancedReload changes the mode of a running server, and its Consul.
func TestBalancedReload(t *testing.T) {
	t.Parallel()
	consul := lab.Consul(t, lab.ConsulOptions{})
	consul.Register(t, behind("passing", "haproxy"), balancerOn(1, "passing"))
	settings := func(lines ...string) string {
		return strings.Join(append(lines, "CONSUL_DNS="+consul.DNS.String(), "DNS_UPSTREAMS="+unusedServer(t).String()), "\n") + "\n"
	}
	api := "CONSUL_HTTP_ADDR=" + consul.HTTPAddr.String()
	d, replace := startRestricted(t, settings(api))
	const name = "web.service.consul"
	d.becomes(t, name, "10.1.0.1")
	replace(settings(api, "DNS_MODE=lb"))
	d.reload(t, reloaded)
	d.becomes(t, name, "10.2.0.1")

	// A Consul that is not there does not take away what is known.
	replace(settings("CONSUL_HTTP_ADDR="+unusedServer(t).String(), "DNS_MODE=lb"))
	d.reload(t, reloaded)
	lab.Eventually(t, patience, "the loss is noticed", func() bool { return d.metric(t, "panteras_dns_lb_up") == 0 })
	d.becomes(t, name, "10.2.0.1")
	replace(settings(api, "DNS_MODE=lb"))
	d.reload(t, reloaded)
	consul.Register(t, balancerOn(2, "passing"))
	d.becomes(t, name, "10.2.0.1 10.2.0.2")

	replace(settings(api, "DNS_MODE=direct"))
	d.reload(t, reloaded)
	wantAddress(t, d.ask(t, "udp", ednsQuery(name, dns.TypeA)), "10.1.0.1")
}
