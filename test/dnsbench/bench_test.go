// Package dnsbench measures the DNS server beside dnsmasq, dnsdist, unbound and CoreDNS,
// all in front of the same upstreams on the same machine: `make bench-dns`. How to read
// what it prints is said in docs/performance.md.
package dnsbench

import (
	"flag"
	"regexp"
	"testing"

	"panteras/internal/lab"
)

// Flags, given as: make bench-dns BENCHFLAGS='-rounds 3'.
var (
	rounds  = flag.Int("rounds", 5, "how often each figure is taken")
	seconds = flag.Int("seconds", 3, "how long a run takes")
	only    = flag.String("only", "", "a regular expression: the works to do")
	peers   = flag.String("peers", "", "a regular expression: the servers beside ours")
	results = flag.String("results", "", "the file to write the figures to (default var/bench-dns.json)")
)

// BenchmarkDNS asks all servers the same, one after the other in each round, so that what
// else the machine does falls on all of them.
func BenchmarkDNS(b *testing.B) {
	r := newReport()
	for range b.N {
		r.clear()
		upstream := nsd(b)
		r.starts(b, upstream)
		// What overruns an upstream comes last, because dnsdist takes such a one for dead.
		run(b, r, upstream, upstream, func(q questions) []work {
			return []work{
				{"nsd, UDP, 5,000 queries/s", q.distinct, overUDP, 5000},
				{"nsd, UDP, 20,000 queries/s", q.distinct, overUDP, 20000},
				{"nsd, UDP, 50,000 queries/s", q.distinct, overUDP, 50000},
				{"nsd, UDP, distinct names", q.distinct, overUDP, 0},
				{"nsd, UDP, one hot name", q.hot, overUDP, 0},
				{"nsd, TCP, pipelined", q.distinct, pipelined, 0},
				{"nsd, TCP, one query each", q.distinct, oneByOne, 0},
			}
		}, zoneName)

		node := lab.Consul(b, lab.ConsulOptions{})
		node.Register(b, catalogue()...)
		consul := &server{name: direct, addr: node.DNS, process: node.Process()}
		run(b, r, consul, upstream, func(q questions) []work {
			return []work{
				{"Consul, UDP, 1,000 queries/s", q.distinct, overUDP, 1000},
				{"Consul, UDP, 5,000 queries/s", q.distinct, overUDP, 5000},
				{"Consul, UDP, distinct names", q.distinct, overUDP, 0},
				{"Consul, UDP, one hot name", q.hot, overUDP, 0},
				{"Consul, UDP, 90 % Consul 10 % recursor", q.mix, overUDP, 0},
				{"Consul, UDP, SRV of 300 instances", q.crowd, overUDP, 0},
				{"Consul, UDP, 20,000 queries/s", q.distinct, overUDP, 20000},
			}
		}, tagName)
	}
	b.ReportMetric(0, "ns/op")
	r.print(b)
}

// run starts every server in front of the upstreams and gives them the works.
func run(b *testing.B, r *report, consul, recursor *server, works func(questions) []work, name func(int) string) {
	b.Helper()
	all := []*server{}
	for i := range kinds {
		if wanted(*peers, kinds[i].name) || kinds[i].name == ours {
			all = append(all, kinds[i].start(b, consul.addr, recursor.addr))
		}
	}
	all = append(all, consul)
	for _, w := range works(questionsFor(b, name)) {
		if !wanted(*only, w.name) {
			continue
		}
		for round := range *rounds {
			for i := range all {
				s := all[(i+round)%len(all)] // nobody is always the first
				r.note(w.name, s.name, s.measure(b, &w, *seconds))
			}
		}
	}
	for _, s := range all {
		if s != consul {
			s.process.Kill()
		}
	}
}

func wanted(expression, name string) bool {
	return expression == "" || regexp.MustCompile(expression).MatchString(name)
}
