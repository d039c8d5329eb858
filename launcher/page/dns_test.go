package page

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// histogramOf has two bounds: n1 of all came within the first, all within the second.
func histogramOf(bound1 float64, n1 uint64, bound2 float64, all uint64) histogram {
	return histogram{bound1: n1, bound2: all, math.Inf(1): all}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	older := histogram{0.001: 50, 0.01: 90, 0.1: 100, math.Inf(1): 100}
	newer := histogram{0.001: 150, 0.01: 280, 0.1: 299, math.Inf(1): 300} // 100, 190, 199 of 200 since
	for _, test := range []struct {
		what         string
		newer, older histogram
		q, want      float64
	}{
		{"just half", newer, older, 0.5, 0.001},
		{"a little more than half", newer, older, 0.51, 0.01},
		{"99 of 100", newer, older, 0.99, 0.1},
		{"all, one of which was beyond every bound", newer, older, 1, 0.1},
		{"since the start", newer, nil, 0.5, 0.001},
		{"since the start, a little more than half", newer, nil, 0.51, 0.01},
		{"nothing new", newer, newer, 0.5, 0},
		{"nothing at all", nil, nil, 0.5, 0},
		{"a server that has started anew", older, newer, 0.5, 0},
	} {
		if got := test.newer.quantile(test.older, test.q); got != test.want {
			t.Errorf("%s: %g is at %g, want %g", test.what, test.q, got, test.want)
		}
	}
}

// TestDNSHistory takes samples at seconds, and compares the newest with the oldest that
// counts.
func TestDNSHistory(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	type count struct{ second, answers, failures float64 }
	for _, test := range []struct {
		what    string
		samples []count
		ok      bool
		want    routeRate
	}{
		{"one sample", []count{{0, 1000, 5}}, false, routeRate{Route: "consul", Total: 1000}},
		{"two", []count{{0, 1000, 5}, {2, 1500, 6}}, true, routeRate{"consul", 250, 0.5, 0.001, 0.01, 1500}},
		{"no query", []count{{0, 1000, 5}, {2, 1000, 5}}, true, routeRate{Route: "consul", Total: 1000}},
		{"more than the window", []count{{0, 0, 0}, {6, 6000, 0}, {12, 6600, 0}, {16, 7000, 10}}, true, routeRate{"consul", 100, 1, 0.001, 0.01, 7000}},
		{"a server that has started anew", []count{{0, 1000, 5}, {2, 1500, 5}, {4, 100, 0}, {6, 300, 0}}, true, routeRate{"consul", 100, 0, 0.001, 0.01, 300}},
		{"a gap", []count{{0, 1000, 5}, {31, 1500, 5}}, false, routeRate{Route: "consul", Total: 1500}},
		{"just no gap", []count{{0, 1000, 5}, {30, 1600, 5}}, true, routeRate{"consul", 20, 0, 0.001, 0.01, 1600}},
	} {
		var h dnsHistory
		for _, c := range test.samples {
			n := uint64(c.answers)
			h = h.add(dnsSample{at: start.Add(time.Duration(c.second) * time.Second), routes: map[string]routeCount{
				"consul": {c.answers, c.failures, histogramOf(0.001, n*6/10, 0.01, n)},
			}})
		}
		got, ok := h.rates()
		if diff := cmp.Diff([]routeRate{test.want}, got); diff != "" || ok != test.ok {
			t.Errorf("%s: %v, want %v\n%s", test.what, ok, test.ok, diff)
		}
	}
	if got, ok := (dnsHistory{}).rates(); ok || got != nil {
		t.Errorf("of no sample: %v, %v", got, ok)
	}
}
