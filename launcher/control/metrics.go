package control

import (
	"context"
	"net/http"
	"time"

	"panteras/launcher"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// self is the label "daemon" of what is about the launcher's own process.
const self = "launcher"

var (
	upDesc       = prometheus.NewDesc("panteras_daemon_up", "1 if a process of the daemon runs.", []string{"daemon"}, nil)
	readyDesc    = prometheus.NewDesc("panteras_daemon_ready", "1 if the daemon does its work.", []string{"daemon"}, nil)
	restartsDesc = prometheus.NewDesc("panteras_daemon_restarts_total", "Starts after the first one that nobody asked for.", []string{"daemon"}, nil)
	stateDesc    = prometheus.NewDesc("panteras_daemon_state_seconds", "How long the daemon has been in its state.", []string{"daemon", "state"}, nil)
	buildDesc    = prometheus.NewDesc("panteras_build_info", "1, labelled with what the launcher was built from.", []string{"version", "commit", "goversion"}, nil)
	droppedDesc  = prometheus.NewDesc("panteras_log_dropped_lines_total", "Lines of daemons that the console or the log files did not take.", []string{"sink"}, nil)
)

// newMetrics serves what there is to know of the launcher, merged with what its
// children say of themselves.
func (s *Server) newMetrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{s})
	prometheus.WrapRegistererWith(prometheus.Labels{"daemon": self}, registry).
		MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(prometheus.Gatherers{registry, children{s}}, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		DisableCompression:  true,
	})
}

// collector is the launcher's part.
type collector struct{ s *Server }

func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{upDesc, readyDesc, restartsDesc, stateDesc, buildDesc, droppedDesc} {
		out <- d
	}
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	b := c.s.options.Build
	gauge(buildDesc, 1, b.Version, b.Commit, b.Go)
	console, files := c.s.options.Logs.Dropped()
	counter(droppedDesc, float64(console), "console")
	counter(droppedDesc, float64(files), "file")
	st, err := c.s.Status(context.Background())
	if err != nil {
		out <- prometheus.NewInvalidMetric(upDesc, err)
		return
	}
	for _, d := range st.Daemons {
		if d.State == launcher.StateDisabled {
			continue
		}
		gauge(upDesc, one(d.State.Running()), d.Name)
		gauge(readyDesc, one(d.Ready), d.Name)
		counter(restartsDesc, float64(d.Restarts), d.Name)
		gauge(stateDesc, max(0, time.Since(d.Since).Seconds()), d.Name, string(d.State))
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
