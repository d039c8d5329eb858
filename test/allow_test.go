package test

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// Who is not in DNS_ALLOW gets nothing over UDP, where the address of the sender may
// be a lie, and REFUSED over TCP. The host itself may always ask.
func TestWhoMayAsk(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	client := newNeighbour(t)
	for _, a := range []string{"10.9.1.1/24", "203.0.113.1/24", "fd00:9:1::1/64", "2001:db8:9::1/64"} {
		addAddress(t, "wire", a)
	}
	for _, a := range []string{"10.9.1.100/24", "10.9.1.101/24", "203.0.113.100/24", "fd00:9:1::100/64", "2001:db8:9::100/64"} {
		client.add(t, a)
	}
	u := scripted(t, always(trueAddress))
	for what, test := range map[string]struct {
		flags           []string
		allowed, denied [][2]string // from, to
	}{
		"by default private networks": {
			nil,
			[][2]string{{"10.9.1.100", "10.9.1.1"}, {"fd00:9:1::100", "fd00:9:1::1"}},
			[][2]string{{"203.0.113.100", "203.0.113.1"}, {"2001:db8:9::100", "2001:db8:9::1"}},
		},
		"a list of our own": {
			[]string{"--dns-allow=203.0.113.0/24,2001:db8:9::100,10.9.1.101"},
			[][2]string{{"203.0.113.100", "203.0.113.1"}, {"2001:db8:9::100", "2001:db8:9::1"}, {"10.9.1.101", "10.9.1.1"}},
			[][2]string{{"10.9.1.100", "10.9.1.1"}, {"fd00:9:1::100", "fd00:9:1::1"}},
		},
	} {
		d := startWild(t, "127.0.0.1", append(test.flags, to("--dns-upstreams", u), to("--consul-dns", u))...)
		lab.Eventually(t, patience, "every address to be listened on", func() bool { return serving("::1") })
		for _, pair := range test.allowed {
			for _, network := range []string{"udp", "tcp"} {
				reply, err := exchangeOver(client.dial(t, network, pair[0], port53(pair[1])), ednsQuery("www.example.org", dns.TypeA))
				if err == nil {
					err = hasAddress(reply, trueAddress)
				}
				if err != nil {
					t.Errorf("%s: %s over %s: %v", what, pair[0], network, err)
				}
			}
		}
		for _, pair := range test.denied {
			before := d.metric(t, "panteras_dns_dropped_total", `reason="not_allowed"`)
			conn := client.dial(t, "udp", pair[0], port53(pair[1]))
			queries := []*dns.Msg{ednsQuery("www.example.org", dns.TypeA), ednsQuery("node-7", dns.TypeA), ednsQuery("x.org", dns.TypeANY)}
			for _, query := range queries {
				write(t, conn, pack(t, query))
			}
			write(t, conn, []byte("not even a query"))
			lab.Eventually(t, patience, "the queries to be seen", func() bool {
				return d.metric(t, "panteras_dns_dropped_total", `reason="not_allowed"`) >= before+4
			})
			_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if got, err := tryRead(conn); err == nil {
				t.Errorf("%s: %s got an answer over UDP: %x", what, pair[0], got)
			}
			reply, err := exchangeOver(client.dial(t, "tcp", pair[0], port53(pair[1])), ednsQuery("www.example.org", dns.TypeA))
			if err != nil || reply.Rcode != dns.RcodeRefused || len(reply.Answer) != 0 {
				t.Errorf("%s: %s over TCP: want REFUSED, got %v, %v", what, pair[0], reply, err)
			}
		}
		for _, own := range []string{"127.0.0.1", "::1", "10.9.1.1", "203.0.113.1", "2001:db8:9::1"} { // to itself from itself
			serves(t, own)
		}
		if code := d.Stop(t); code != 0 {
			t.Errorf("%s: exit code %d", what, code)
		}
	}
}

// For peers of the tunnel, an answer from the Internet must not point at a host
// inside (DNS rebinding): such addresses are dropped, and only such. Names of Consul
// are what the tunnel is for, and clients outside it are nobody's target.
func TestRebindingFilter(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	client := newNeighbour(t)
	addAddress(t, "wire", "10.99.0.1/24")
	addAddress(t, "wire", "10.9.1.1/24")
	client.add(t, "10.99.0.7/24")
	client.add(t, "10.9.1.100/24")
	mixed := func(attempt) []lab.Action {
		return []lab.Action{lab.Reply(lab.Answers("@ 0 IN A 192.0.2.1", "@ 0 IN A 10.1.2.3", "@ 0 IN A 127.0.0.1", "@ 0 IN A 169.254.1.1", "@ 0 IN A 192.168.1.1", "@ 0 IN A 172.20.0.1"))}
	}
	mixed6 := lab.Answers("@ 0 IN AAAA 2001:db8::1", "@ 0 IN AAAA fd00::1", "@ 0 IN AAAA fe80::1", "@ 0 IN AAAA ::1", "@ 0 IN AAAA ::ffff:10.1.2.3")
	recursor := scripted(t, func(a attempt) []lab.Action {
		if a.qtype() == dns.TypeAAAA {
			return []lab.Action{lab.Reply(mixed6)}
		}
		return mixed(a)
	})
	d := startWild(t, "127.0.0.1", to("--dns-upstreams", recursor), to("--consul-dns", scripted(t, mixed)), to("--dns-routes=corp.example", scripted(t, mixed)),
		"--tunnel-endpoint=vpn.example.net", "--tunnel-cidr=10.99.0.0/24")
	lab.Eventually(t, patience, "every address to be listened on", func() bool { return serving("::1") })
	for _, test := range []struct {
		from, to, name string
		qtype          uint16
		records        int
	}{
		{"10.99.0.7", "10.99.0.1", "www.example.org", dns.TypeA, 1},
		{"10.99.0.7", "10.99.0.1", "www.example.org", dns.TypeAAAA, 1},
		{"10.99.0.7", "10.99.0.1", "web.service.consul", dns.TypeA, 6},
		{"10.99.0.7", "10.99.0.1", "www.corp.example", dns.TypeA, 6},
		{"10.9.1.100", "10.9.1.1", "www.example.org", dns.TypeA, 6},
		{"10.9.1.100", "10.9.1.1", "www.example.org", dns.TypeAAAA, 5},
	} {
		for _, network := range []string{"udp", "tcp"} {
			reply, err := exchangeOver(client.dial(t, network, test.from, port53(test.to)), ednsQuery(test.name, test.qtype))
			if err != nil {
				t.Errorf("%s asks %s over %s: %v", test.from, test.name, network, err)
				continue
			}
			if len(reply.Answer) != test.records || reply.Rcode != dns.RcodeSuccess {
				t.Errorf("%s asks %s over %s: want %d records, got:\n%v", test.from, test.name, network, test.records, reply)
			}
			if test.records > 1 {
				continue
			}
			for _, rr := range reply.Answer {
				switch rr := rr.(type) {
				case *dns.A:
					if !rr.A.Equal(net.IPv4(192, 0, 2, 1)) {
						t.Errorf("%s got %v", test.from, rr)
					}
				case *dns.AAAA:
					if rr.AAAA.String() != "2001:db8::1" {
						t.Errorf("%s got %v", test.from, rr)
					}
				}
			}
		}
	}
	if n := d.metric(t, "panteras_dns_dropped_total", `reason="private_address"`); n != 4 {
		t.Errorf("%v filtered answers counted, want 4", n)
	}
}
