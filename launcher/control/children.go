package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"panteras/configs"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	// scrapeTimeout is how long a child may take to say how it is.
	scrapeTimeout = 3 * time.Second
	// scrapeBytes is how much it may say.
	scrapeBytes = 4 << 20
)

var scrapedDesc = prometheus.NewDesc("panteras_daemon_metrics_up", "1 if the daemon's own metrics could be read.", []string{"daemon"}, nil)

// children gathers the metrics of the daemons that are this program too. Each of their
// metrics gets the daemon's name as a label, so that those of their processes differ.
type children struct{ s *Server }

// Gather never fails: what a child does not tell is missing.
func (c children) Gather() ([]*dto.MetricFamily, error) {
	c.s.mu.Lock()
	where := maps.Clone(c.s.children)
	c.s.mu.Unlock()
	ctx, cancel := context.WithTimeout(c.s.ctx, scrapeTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	told := map[string]map[string]*dto.MetricFamily{}
	for name, address := range where {
		wg.Go(func() {
			families, err := Scrape(ctx, address)
			if err != nil {
				c.s.options.Log.Debug("cannot read the metrics of a daemon", "daemon", name, "error", err)
				families = nil
			}
			mu.Lock()
			defer mu.Unlock()
			told[name] = families
		})
	}
	wg.Wait()
	merged := map[string]*dto.MetricFamily{}
	registry := prometheus.NewRegistry()
	registry.MustRegister(scraped(told))
	own, err := registry.Gather()
	if err != nil {
		return nil, err
	}
	for _, f := range own {
		merged[f.GetName()] = f
	}
	for _, name := range slices.Sorted(maps.Keys(told)) {
		for _, f := range told[name] {
			merge(merged, f, name)
		}
	}
	return slices.Collect(maps.Values(merged)), nil
}

// merge adds a child's family. What is of another type than before is left out by those
// who gather, as what differs from the launcher's own.
func merge(merged map[string]*dto.MetricFamily, f *dto.MetricFamily, daemon string) {
	known := merged[f.GetName()]
	if known == nil {
		known = &dto.MetricFamily{Name: f.Name, Help: f.Help, Type: f.Type, Unit: f.Unit}
		merged[f.GetName()] = known
	}
	label := "daemon"
	for _, m := range f.Metric {
		m.Label = slices.DeleteFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == label })
		m.Label = append(m.Label, &dto.LabelPair{Name: &label, Value: &daemon})
		slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
		known.Metric = append(known.Metric, m)
	}
}

// scraped tells which children could be read.
type scraped map[string]map[string]*dto.MetricFamily

func (s scraped) Describe(out chan<- *prometheus.Desc) { out <- scrapedDesc }

func (s scraped) Collect(out chan<- prometheus.Metric) {
	for name, families := range s {
		out <- prometheus.MustNewConstMetric(scrapedDesc, prometheus.GaugeValue, one(families != nil), name)
	}
}

// Scrape reads the metrics at an address that is written as METRICS_LISTEN is.
func Scrape(ctx context.Context, address string) (map[string]*dto.MetricFamily, error) {
	network, address := configs.MetricsAddress(address)
	if address == "" {
		return nil, errors.New("it has none")
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://daemon/metrics", nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "text/plain;version=0.0.4")
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", answer.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(io.LimitReader(answer.Body, scrapeBytes))
}
