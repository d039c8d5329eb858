package dnsserver

import (
	"strconv"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"panteras/dnsserver/route"
	"panteras/dnsserver/wire"
)

// The metrics. Their labels have a small fixed set of values, so a flood of names cannot blow them up; docs/dns.md lists them, and a test compares.
var (
	descQueries   = desc("queries_total", "Answered queries by route, transport and response code.", "route", "transport", "rcode")
	descLatency   = desc("latency_seconds", "Time from a query's arrival to its answer.", "route")
	descInFlight  = desc("in_flight", "Queries waiting for an upstream, by transport.", "transport")
	descShared    = desc("shared_total", "Queries that shared an upstream query sent after they came.")
	descDropped   = desc("dropped_total", "Queries without an answer, or without a part of it, by reason.", "reason")
	descTrimmed   = desc("trimmed_total", "Answers without some additional records, to fit (no TC).")
	descTruncated = desc("truncated_total", "Answers with TC=1, made here because of their size.")
	descFull      = desc("consul_full_total", "SRV answers as large as Consul makes any: instances may be missing.")
	descToTCP     = desc("moved_to_tcp_total", "Queries moved to TCP because an answer with a wrong id came.")
	descUp        = desc("upstream_up", "1 if the upstream answers, 0 if it counts as down.", "upstream", "role")
	descLoop      = desc("upstream_loop", "1 if queries to the upstream came back here; it is not used then.", "upstream", "role")
	descUpLatency = desc("upstream_latency_seconds", "Smoothed time to answer.", "upstream", "role")
	descEvents    = desc("upstream_events_total", "Answers, timeouts, mismatched answers and unreachable errors.", "upstream", "role", "event")
	descServices  = desc("lb_services", "Services whose names lead to HAProxy (DNS_MODE=lb).")
	descBalancers = desc("lb_balancers", "Hosts whose HAProxy is well (DNS_MODE=lb).")
	descLearning  = desc("lb_up", "1 if Consul tells of changes, 0 if what it said last stays in use (DNS_MODE=lb).")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("panteras_dns_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descQueries, descLatency, descInFlight, descShared, descDropped, descTrimmed, descTruncated,
		descFull, descToTCP, descUp, descLoop, descUpLatency, descEvents, descServices, descBalancers, descLearning,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	all := s.allStats()
	counter := func(d *prometheus.Desc, get func(*stats) uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(sum(all, get)), labels...)
	}
	for _, k := range kinds() {
		same := sameLabel(k)
		for t := range numTransports {
			for rcode := range numRcodes {
				get := func(s *stats) (n uint64) {
					for _, k := range same {
						n += s.answers[k][t][rcode].Load()
					}
					return n
				}
				if sum(all, get) > 0 {
					counter(descQueries, get, k.String(), t.String(), rcodeName(rcode))
				}
			}
		}
		s.collectLatency(ch, all, k, same)
	}
	for r := range numDrops {
		counter(descDropped, func(s *stats) uint64 { return s.drops[r].Load() }, r.String())
	}
	counter(descShared, func(s *stats) uint64 { return s.shared.Load() })
	counter(descTrimmed, func(s *stats) uint64 { return s.trimmed.Load() })
	counter(descTruncated, func(s *stats) uint64 { return s.cut.Load() })
	counter(descFull, func(s *stats) uint64 { return s.full.Load() })
	counter(descToTCP, func(s *stats) uint64 { return s.moved.Load() })
	for t, n := range s.inFlight() {
		ch <- prometheus.MustNewConstMetric(descInFlight, prometheus.GaugeValue, float64(n), transport(t).String())
	}
	s.collectUpstreams(ch)
	s.collectBalanced(ch)
}

func (s *Server) collectBalanced(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	view, learning := s.view, s.learning
	s.mu.Unlock()
	if learning == nil {
		return
	}
	for d, v := range map[*prometheus.Desc]float64{
		descServices: float64(view.Services()), descBalancers: float64(len(view.Balancers())), descLearning: oneIf(learning.learner.Up()),
	} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
}

func (s *Server) collectLatency(ch chan<- prometheus.Metric, all []*stats, k route.Kind, same []route.Kind) {
	buckets := map[float64]uint64{}
	var count uint64
	var total int64
	for b := range numBuckets + 1 {
		for _, st := range all {
			for _, k := range same {
				count += st.buckets[k][b].Load()
			}
		}
		if b < numBuckets {
			buckets[float64(int64(1)<<(b+firstBucket))/1e6] = count
		}
	}
	for _, st := range all {
		for _, k := range same {
			total += st.latency[k].Load()
		}
	}
	if count > 0 {
		ch <- prometheus.MustNewConstHistogram(descLatency, count, time.Duration(total).Seconds(), buckets, k.String())
	}
}

func (s *Server) collectUpstreams(ch chan<- prometheus.Metric) {
	for u := range s.cfg.Load().servers {
		addr, role := u.Addr.String(), "recursor"
		if u.Consul {
			role = "consul"
		}
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, addr, role)
		}
		gauge(descUp, oneIf(!u.Down()))
		gauge(descLoop, oneIf(u.Looping()))
		gauge(descUpLatency, time.Duration(u.Latency.Load()).Seconds())
		for event, n := range map[string]uint64{"answer": u.Answers.Load(), "timeout": u.Timeouts.Load(), "mismatch": u.Mismatches.Load(), "unreachable": u.Unreachable.Load()} {
			ch <- prometheus.MustNewConstMetric(descEvents, prometheus.CounterValue, float64(n), addr, role, event)
		}
	}
}

// kinds lists one kind per route label.
func kinds() (list []route.Kind) {
	seen := map[string]bool{}
	for k := range route.Kind(numKinds) {
		if !seen[k.String()] {
			seen[k.String()] = true
			list = append(list, k)
		}
	}
	return list
}

func sameLabel(k route.Kind) (list []route.Kind) {
	for o := range route.Kind(numKinds) {
		if o.String() == k.String() {
			list = append(list, o)
		}
	}
	return list
}

func sum(all []*stats, get func(*stats) uint64) (n uint64) {
	for _, s := range all {
		n += get(s)
	}
	return n
}

func rcodeName(rcode int) string {
	if rcode == wire.RcodeBadVers {
		return "BADVERS" // miekg/dns knows the number as BADSIG, which concerns TSIG only
	}
	if s, ok := dns.RcodeToString[rcode]; ok {
		return s
	}
	return strconv.Itoa(rcode)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
