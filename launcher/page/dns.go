package page

import (
	"cmp"
	"math"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
)

const (
	// dnsWindow is over how long queries a second and latencies are taken.
	dnsWindow = 10 * time.Second
	// dnsGap is how far apart two samples may be to be compared.
	dnsGap = 30 * time.Second
)

// dnsSample is what the DNS server had counted at one moment.
type dnsSample struct {
	at        time.Time
	routes    map[string]routeCount
	upstreams []upstream
	dropped   float64
}

type routeCount struct {
	answers, failures float64
	latency           histogram
}

// histogram counts, for each bound in seconds, what was not longer.
type histogram map[float64]uint64

// upstream is a server that queries are forwarded to.
type upstream struct {
	Address, Role               string
	Up, Loop                    bool
	Latency                     float64
	Answers, Timeouts, NoAnswer float64
}

// readDNS picks the figures that are shown out of the metrics.
func readDNS(at time.Time, m Metrics) dnsSample {
	s := dnsSample{at: at, routes: map[string]routeCount{}}
	each(m, "panteras_dns_queries_total", func(labels map[string]string, value *dto.Metric) {
		r := s.routes[labels["route"]]
		n := value.GetCounter().GetValue()
		r.answers += n
		if labels["rcode"] == "SERVFAIL" {
			r.failures += n
		}
		s.routes[labels["route"]] = r
	})
	each(m, "panteras_dns_latency_seconds", func(labels map[string]string, value *dto.Metric) {
		r := s.routes[labels["route"]]
		r.latency = histogram{math.Inf(1): value.GetHistogram().GetSampleCount()}
		for _, b := range value.GetHistogram().GetBucket() {
			r.latency[b.GetUpperBound()] = b.GetCumulativeCount()
		}
		s.routes[labels["route"]] = r
	})
	each(m, "panteras_dns_dropped_total", func(_ map[string]string, value *dto.Metric) { s.dropped += value.GetCounter().GetValue() })
	s.upstreams = readUpstreams(m)
	return s
}

func readUpstreams(m Metrics) []upstream {
	type key struct{ address, role string }
	all := map[key]*upstream{}
	read := func(name string, set func(*upstream, map[string]string, *dto.Metric)) {
		each(m, name, func(labels map[string]string, value *dto.Metric) {
			k := key{labels["upstream"], labels["role"]}
			if all[k] == nil {
				all[k] = &upstream{Address: k.address, Role: k.role}
			}
			set(all[k], labels, value)
		})
	}
	read("panteras_dns_upstream_up", func(u *upstream, _ map[string]string, v *dto.Metric) { u.Up = v.GetGauge().GetValue() == 1 })
	read("panteras_dns_upstream_loop", func(u *upstream, _ map[string]string, v *dto.Metric) { u.Loop = v.GetGauge().GetValue() == 1 })
	read("panteras_dns_upstream_latency_seconds", func(u *upstream, _ map[string]string, v *dto.Metric) { u.Latency = v.GetGauge().GetValue() })
	read("panteras_dns_upstream_events_total", func(u *upstream, labels map[string]string, v *dto.Metric) {
		switch n := v.GetCounter().GetValue(); labels["event"] {
		case "answer":
			u.Answers = n
		case "timeout":
			u.Timeouts = n
		default:
			u.NoAnswer += n
		}
	})
	list := make([]upstream, 0, len(all))
	for _, u := range all {
		list = append(list, *u)
	}
	slices.SortFunc(list, func(x, y upstream) int {
		return cmp.Or(cmp.Compare(x.Role, y.Role), cmp.Compare(x.Address, y.Address))
	})
	return list
}

// each calls f with every metric of a family.
func each(m Metrics, name string, f func(labels map[string]string, value *dto.Metric)) {
	family, ok := m[name]
	if !ok {
		return
	}
	for _, value := range family.GetMetric() {
		labels := map[string]string{}
		for _, l := range value.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		f(labels, value)
	}
}

// dnsHistory are samples, the oldest first, of the last dnsWindow.
type dnsHistory []dnsSample

// add returns the history with one sample more. What a server that has started anew has
// counted is not compared with what its predecessor had.
func (h dnsHistory) add(s dnsSample) dnsHistory {
	if len(h) > 0 {
		last := h[len(h)-1]
		if s.at.Sub(last.at) > dnsGap || s.total() < last.total() {
			h = nil
		}
	}
	h = append(slices.Clone(h), s)
	for len(h) > 2 && s.at.Sub(h[1].at) >= dnsWindow {
		h = h[1:]
	}
	return h
}

func (s dnsSample) total() (n float64) {
	for _, r := range s.routes {
		n += r.answers
	}
	return n
}

// routeRate is how a route was in the last dnsWindow.
type routeRate struct {
	Route             string
	PerSecond, Failed float64 // queries
	P50, P99          float64 // seconds; 0 if there were none
	Total             float64
}

// rates compares the newest sample with the oldest. With one only, nothing a second is
// known; ok is false then.
func (h dnsHistory) rates() (list []routeRate, ok bool) {
	if len(h) == 0 {
		return nil, false
	}
	first, last := h[0], h[len(h)-1]
	seconds := last.at.Sub(first.at).Seconds()
	for route, now := range last.routes {
		r := routeRate{Route: route, Total: now.answers}
		if seconds > 0 {
			before := first.routes[route]
			r.PerSecond, r.Failed = (now.answers-before.answers)/seconds, (now.failures-before.failures)/seconds
			r.P50, r.P99 = now.latency.quantile(before.latency, 0.5), now.latency.quantile(before.latency, 0.99)
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(x, y routeRate) int { return cmp.Compare(x.Route, y.Route) })
	return list, seconds > 0
}

// quantile is the bound below which the share q of what came after an older histogram
// lies: an upper estimate, in seconds; 0 if nothing came.
func (h histogram) quantile(older histogram, q float64) float64 {
	bounds := make([]float64, 0, len(h))
	for bound := range h {
		bounds = append(bounds, bound)
	}
	slices.Sort(bounds)
	since := func(bound float64) float64 { return float64(h[bound]) - float64(older[bound]) }
	all := since(math.Inf(1))
	if all <= 0 {
		return 0
	}
	largest := 0.0
	for _, bound := range bounds {
		if !math.IsInf(bound, 1) {
			largest = bound
		}
		if since(bound) >= q*all {
			return largest
		}
	}
	return largest
}
