package dnsserver

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"panteras/internal/lab"
)

var descText = regexp.MustCompile(`fqName: "([^"]*)", help: "([^"]*)",(?: unit: "[^"]*",)? constLabels: \{\}, variableLabels: \{([^}]*)\}`)

// described is the table of metrics as docs/dns.md shows it, made of what Describe gives.
func described(t *testing.T, s *Server) string {
	t.Helper()
	ch := make(chan *prometheus.Desc, 100)
	s.Describe(ch)
	close(ch)
	var b strings.Builder
	b.WriteString("| metric | labels | meaning |\n|---|---|---|\n")
	for d := range ch {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		labels := ""
		if m[3] != "" {
			labels = "`" + strings.ReplaceAll(m[3], ",", "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m[1], labels, m[2])
	}
	return b.String()
}

func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(lab.Root(t), "docs", "dns.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begin := strings.Cut(string(text), "<!-- metrics:begin -->\n")
	got, _, end := strings.Cut(rest, "<!-- metrics:end -->")
	if !begin || !end {
		t.Fatal("docs/dns.md has no section between <!-- metrics:begin --> and <!-- metrics:end -->")
	}
	if want := described(t, newTestServer(t, testSettings(addrPorts("127.0.0.1:53")[0], consulAddr, recAddr))); got != want {
		t.Errorf("docs/dns.md differs from what the server has; write between the markers:\n%s", want)
	}
}

// What is collected is consistent with what is described, and counts what has happened.
func TestMetricsCount(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.srv.workers = append(r.srv.workers, r.w)
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(r.srv); err != nil {
		t.Fatal(err)
	}
	c := r.client()
	for i := range 3 {
		q := c.ask(fmt.Sprintf("web-%d.acme.test.", i), dns.TypeA, 0)
		r.step()
		r.consul.want().reply(0, "@ 0 IN A 10.1.0.1")
		r.step()
		c.answers(q)
	}
	first := c.ask(web, dns.TypeA, 0)
	r.step()
	held := r.consul.want()
	second, third := c.ask(web, dns.TypeA, 0), c.ask(web, dns.TypeA, 0)
	r.step()
	r.w.stats.inFlight.Store(int64(r.w.queries.used())) // as the loop does
	c.send([]byte("nonsense"))
	r.step()
	values := gathered(t, registry)
	for name, want := range map[string]float64{
		"panteras_dns_queries_total{rcode=NOERROR,route=added,transport=udp}":                                  3,
		"panteras_dns_latency_seconds{route=added}":                                                            3,
		"panteras_dns_in_flight{transport=udp}":                                                                3,
		"panteras_dns_in_flight{transport=tcp}":                                                                0,
		"panteras_dns_shared_total{}":                                                                          1,
		"panteras_dns_dropped_total{reason=malformed}":                                                         1,
		"panteras_dns_dropped_total{reason=overload}":                                                          0,
		fmt.Sprintf("panteras_dns_upstream_up{role=consul,upstream=%s}", r.consul.addr):                        1,
		fmt.Sprintf("panteras_dns_upstream_loop{role=recursor,upstream=%s}", r.rec.addr):                       0,
		fmt.Sprintf("panteras_dns_upstream_events_total{event=answer,role=consul,upstream=%s}", r.consul.addr): 3,
	} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s is %v (there: %v), want %v", name, got, ok, want)
		}
	}
	held.reply(0)
	r.step()
	for q := r.consul.next(); q != nil; q = r.consul.next() {
		q.reply(0)
		r.step()
	}
	for _, q := range []*dns.Msg{first, second, third} {
		c.answers(q)
	}
}

// gathered is every sample by name and labels; of a histogram, its count.
func gathered(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			slices.Sort(labels)
			name := family.GetName() + "{" + strings.Join(labels, ",") + "}"
			switch {
			case m.Counter != nil:
				values[name] = m.Counter.GetValue()
			case m.Gauge != nil:
				values[name] = m.Gauge.GetValue()
			case m.Histogram != nil:
				values[name] = float64(m.Histogram.GetSampleCount())
			}
		}
	}
	return values
}

// Every label has a name of its own: two reasons under one would be added up.
func TestLabelsAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for r := range numDrops {
		if seen[r.String()] || r.String() == "" {
			t.Errorf("reason %d is called %q", r, r)
		}
		seen[r.String()] = true
	}
	total := 0
	for _, k := range kinds() {
		total += len(sameLabel(k))
	}
	if total != numKinds {
		t.Errorf("%d kinds under the labels, want %d", total, numKinds)
	}
}
