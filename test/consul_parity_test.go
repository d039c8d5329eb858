package test

import (
	"strings"
	"testing"

	"panteras/internal/lab"

	"github.com/miekg/dns"
)

// Every form of name, of every type, over every transport, is answered as
// Consul itself answers it.
func TestAnswersAreConsuls(t *testing.T) {
	t.Parallel()
	eachConsul(t, func(t *testing.T, version string) {
		node := lab.Consul(t, lab.ConsulOptions{Version: version, Extra: meshConsul})
		fill(t, node)
		r := newRecursor(t, onlyExample)
		f := startForwarder(t, node.DNS, r.Addr, ptrFlag)
		for _, form := range append(serviceForms, moreForms...) {
			t.Run(form.what, func(t *testing.T) {
				all := whole(t, node.DNS, form.name, form.qtype)
				if len(all.Answer) != form.records {
					t.Fatalf("Consul has %d records for %s %s, the test means %d:\n%v",
						len(all.Answer), form.name, dns.Type(form.qtype), form.records, all)
				}
				for _, qtype := range askedTypes {
					all := whole(t, node.DNS, form.name, qtype)
					for _, over := range transports {
						compare(t, f, node.DNS, question{form.name, qtype, over}, all)
					}
				}
			})
		}
		if asked := r.asked(); len(asked) > 0 {
			t.Errorf("the recursor was asked for %q", asked)
		}
	})
}

// Consul takes the OPT record out when it trims an answer, and the forwarder
// puts one in again for the client: whatever the name's length leaves free,
// there is room for both.
func TestATrimmedAnswerHasRoomForEDNS(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{})
	var tags []string
	for n := range 20 {
		tags = append(tags, strings.Repeat("t", n+1))
	}
	node.Register(t, lab.Instances("many", 90, 90, tags...)...)
	f := startForwarder(t, node.DNS, newRecursor(t, onlyExample).Addr)
	for _, tag := range tags {
		name := tag + ".many.service.consul"
		all := whole(t, node.DNS, name, dns.TypeA)
		if len(all.Answer) != 90 {
			t.Fatalf("Consul has %d addresses for %s", len(all.Answer), name)
		}
		for _, size := range []uint16{512, 513, 600, 1231, udpSize, udpSize + 1} {
			compare(t, f, node.DNS, question{name, dns.TypeA, transport{"udp", size}}, all)
		}
	}
}

// Consul deals a client without EDNS three addresses of ten, and so do we.
func TestAClientWithoutEDNSGetsThreeAddresses(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{})
	node.Register(t, lab.Instances("web", 10, 10)...)
	f := startForwarder(t, node.DNS, newRecursor(t, onlyExample).Addr)
	seen := map[string]bool{}
	for range 100 {
		q := question{"web.service.consul", dns.TypeA, transport{"udp", 0}}
		direct, got := mustAsk(t, node.DNS, q), mustAsk(t, f.Addr, q)
		if len(direct.Answer) != 3 || len(got.Answer) != 3 || got.Truncated {
			t.Fatalf("Consul gave %d addresses, the forwarder %d (TC %v)", len(direct.Answer), len(got.Answer), got.Truncated)
		}
		for _, address := range addresses(got.Answer) {
			seen[address] = true
		}
	}
	if len(seen) != 10 {
		t.Errorf("a hundred answers named %d of ten addresses", len(seen))
	}
}
