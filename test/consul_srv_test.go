package test

import (
	"fmt"
	"testing"

	"panteras/internal/lab"

	"github.com/miekg/dns"
)

// Consul trims SRV answers over UDP without a word. Ours are whole, or say TC.
func TestSRVIsNeverSilentlyIncomplete(t *testing.T) {
	t.Parallel()
	eachConsul(t, func(t *testing.T, version string) {
		node := lab.Consul(t, lab.ConsulOptions{Version: version})
		instances := lab.Instances("python", 300, 50)
		names := map[string]int{"python.service.consul": 300, "nothere.service.consul": 0}
		for n := 1; n <= 40; n++ { // names with so few instances that each size is passed by one of them
			tag := fmt.Sprintf("first-%d", n)
			names[tag+".python.service.consul"] = n
			for i := range n {
				instances[i].Tags = append(instances[i].Tags, tag)
			}
		}
		node.Register(t, instances...)
		r := newRecursor(t, onlyExample)
		sizes := map[int]*forwarder{
			1232: startForwarder(t, node.DNS, r.Addr),
			512:  startForwarder(t, node.DNS, r.Addr, "--dns-udp-size=512"),
			4096: startForwarder(t, node.DNS, r.Addr, "--dns-udp-size=4096"),
		}
		wholes, trimmed, truncated := 0, 0, 0
		for name, n := range names {
			all := whole(t, node.DNS, name, dns.TypeSRV)
			if len(all.Answer) != n {
				t.Fatalf("Consul has %d SRV records for %s, not %d", len(all.Answer), name, n)
			}
			for most, f := range sizes {
				for _, over := range append([]transport{{"udp", 600}, {"udp", 65535}}, transports...) {
					q := question{name, dns.TypeSRV, over}
					got := mustAsk(t, f.Addr, q)
					if !checkFrame(t, q, got, most) {
						continue
					}
					checkSRV(t, q, got, all, most)
					switch {
					case got.Truncated:
						truncated++
					case len(addresses(got.Extra)) < n:
						trimmed++
					default:
						wholes++
					}
				}
			}
		}
		t.Logf("%d whole, %d without some additional records, %d truncated", wholes, trimmed, truncated)
		if min(wholes, trimmed, truncated) < 20 {
			t.Error("that is too few of a kind to prove anything")
		}

		// What the sizes above come to, in figures.
		q := question{"python.service.consul", dns.TypeSRV, transport{"udp", 4096}}
		if got := mustAsk(t, sizes[4096].Addr, q); !got.Truncated || len(got.Answer) < 80 {
			t.Errorf("%v: TC is %v with %d of 300 SRV records", q, got.Truncated, len(got.Answer))
		}
		q = question{"python.service.consul", dns.TypeSRV, transport{"tcp", 0}}
		if got := mustAsk(t, sizes[1232].Addr, q); got.Truncated || len(got.Answer) != 300 || len(addresses(got.Extra)) != 300 {
			t.Errorf("%v: TC is %v with %d SRV records and %d addresses", q, got.Truncated, len(got.Answer), len(got.Extra))
		}
	})
}

// A thousand instances are more than Consul puts into a message. Over TCP the
// client gets just what Consul gives, and the operator is told.
func TestSRVAtConsulsLimit(t *testing.T) {
	t.Parallel()
	eachConsul(t, func(t *testing.T, version string) {
		node := lab.Consul(t, lab.ConsulOptions{Version: version})
		instances := lab.Instances("python", 1000, 1000)
		for i := range instances {
			instances[i].Address = fmt.Sprintf("10.7.%d.%d", i/250, i%250+1) // a target of its own for each
		}
		node.Register(t, instances...)
		f := startForwarder(t, node.DNS, newRecursor(t, onlyExample).Addr, withMetrics(t))
		const name = "python.service.consul"

		direct := whole(t, node.DNS, name, dns.TypeSRV)
		if n := len(direct.Answer); n < 500 || n >= 1000 {
			t.Fatalf("Consul gives %d of 1000 SRV records: this is not its limit", n)
		}
		if before := metric(t, f, "panteras_dns_consul_full_total"); before != 0 {
			t.Errorf("before any answer, %d were at Consul's limit", before)
		}
		plain := mustAsk(t, f.Addr, question{name, dns.TypeSRV, transport{"tcp", 0}})
		if plain.Truncated || len(plain.Answer) != len(direct.Answer) || len(plain.Extra) != len(direct.Extra) {
			t.Errorf("Consul gives %d SRV and %d additional records, the forwarder %d and %d (TC %v)",
				len(direct.Answer), len(direct.Extra), len(plain.Answer), len(plain.Extra), plain.Truncated)
		}
		targets := map[string]bool{}
		for _, rr := range plain.Answer {
			targets[rr.String()] = true
		}
		if len(targets) != len(plain.Answer) {
			t.Errorf("%d of %d SRV records are different", len(targets), len(plain.Answer))
		}
		if got := metric(t, f, "panteras_dns_consul_full_total"); got != 1 {
			t.Errorf("one answer at Consul's limit was counted %d times", got)
		}
		withEDNS := mustAsk(t, f.Addr, question{name, dns.TypeSRV, transport{"tcp", udpSize}})
		if n := len(withEDNS.Answer); n < len(direct.Answer)-1 {
			t.Errorf("with EDNS there are %d SRV records, Consul gives %d", n, len(direct.Answer))
		}
		if !tellsMissing(withEDNS) {
			t.Errorf("the answer at Consul's limit does not say so (EDE): %v", withEDNS.IsEdns0())
		}
		udp := mustAsk(t, f.Addr, question{name, dns.TypeSRV, transport{"udp", udpSize}})
		if !udp.Truncated || len(udp.Answer) == 0 {
			t.Errorf("over UDP: TC is %v with %d SRV records", udp.Truncated, len(udp.Answer))
		}

		node.Register(t, lab.Instances("less", 600, 50)...)
		before := metric(t, f, "panteras_dns_consul_full_total")
		less := mustAsk(t, f.Addr, question{"less.service.consul", dns.TypeSRV, transport{"tcp", udpSize}})
		if len(less.Answer) != 600 || tellsMissing(less) {
			t.Errorf("%d of 600 SRV records, with EDE %v", len(less.Answer), tellsMissing(less))
		}
		if got := metric(t, f, "panteras_dns_consul_full_total"); got != before {
			t.Error("600 instances, which Consul gives all, were counted as its limit")
		}
	})
}

// tellsMissing says whether an answer has the extended error of Consul's limit.
func tellsMissing(a answer) bool {
	opt := a.IsEdns0()
	if opt == nil {
		return false
	}
	for _, option := range opt.Option {
		if ede, ok := option.(*dns.EDNS0_EDE); ok && ede.InfoCode == dns.ExtendedErrorCodeOther {
			return true
		}
	}
	return false
}
