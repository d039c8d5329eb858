package gateway

import (
	"time"

	"panteras/tunnel"

	"github.com/prometheus/client_golang/prometheus"
)

// figures are the gateway's own metrics; the others are asked for when somebody looks.
type figures struct {
	storeUp  prometheus.Gauge
	lag      prometheus.Histogram
	failures prometheus.Counter
	counts   *prometheus.GaugeVec
}

const namespace = "panteras_tunnel_"

// The states of peers in the metrics.
const (
	stateEnabled   = "enabled"
	stateDisabled  = "disabled"
	stateExpired   = "expired"
	stateLeftOut   = "left_out"
	stateConnected = "connected"
)

func newFigures() *figures {
	return &figures{
		storeUp:  prometheus.NewGauge(prometheus.GaugeOpts{Name: namespace + "store_up", Help: "1 if the store of peers can be read, 0 while the last state is in force."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: namespace + "reconcile_failures_total", Help: "Attempts to make the tunnel as it should be that failed."}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: namespace + "reconcile_lag_seconds", Help: "Time from the news of a change to its being in force.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
		counts: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: namespace + "peers", Help: "Peers by state; connected are those of the enabled that had a handshake within three minutes."}, []string{"state"}),
	}
}

func (f *figures) store(up bool) {
	if up {
		f.storeUp.Set(1)
		return
	}
	f.storeUp.Set(0)
}

func (f *figures) failed() { f.failures.Inc() }

func (f *figures) reconciled(lag time.Duration) { f.lag.Observe(lag.Seconds()) }

func (f *figures) connected(n int) { f.counts.WithLabelValues(stateConnected).Set(float64(n)) }

func (f *figures) peers(s *tunnel.Snapshot, d *tunnel.Desired) {
	disabled := 0
	for i := range s.Peers {
		if s.Peers[i].Disabled {
			disabled++
		}
	}
	for state, n := range map[string]int{
		stateEnabled: len(d.Peers), stateDisabled: disabled, stateLeftOut: len(d.Problems),
		stateExpired: len(s.Peers) - disabled - len(d.Peers) - len(d.Problems),
	} {
		f.counts.WithLabelValues(state).Set(float64(n))
	}
}

var (
	handshakeDesc = prometheus.NewDesc(namespace+"last_handshake_seconds", "When the peer's last handshake was, in seconds since 1970.", []string{"peer"}, nil)
	bytesDesc     = prometheus.NewDesc(namespace+"bytes_total", "Bytes from and to the peer since the gateway knows it.", []string{"peer", "direction"}, nil)
	refusedDesc   = prometheus.NewDesc(namespace+"refused_packets_total", "Packets that the firewall did not let through, by reason.", []string{"reason"}, nil)
	infoDesc      = prometheus.NewDesc(namespace+"info", "1; the labels say who encrypts and the tunnel's MTU.", []string{"datapath", "mtu"}, nil)
)

// Describe implements [prometheus.Collector].
func (g *Gateway) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range []prometheus.Collector{g.figures.storeUp, g.figures.lag, g.figures.failures, g.figures.counts} {
		c.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{handshakeDesc, bytesDesc, refusedDesc, infoDesc} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (g *Gateway) Collect(ch chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{g.figures.storeUp, g.figures.lag, g.figures.failures, g.figures.counts} {
		c.Collect(ch)
	}
	r, ok := g.askReport()
	if !ok {
		return
	}
	ch <- prometheus.MustNewConstMetric(infoDesc, prometheus.GaugeValue, 1, r.status.Datapath, r.mtu)
	for i, p := range r.status.Peers {
		name := r.names[i]
		if !p.LastHandshake.IsZero() {
			ch <- prometheus.MustNewConstMetric(handshakeDesc, prometheus.GaugeValue, float64(p.LastHandshake.Unix()), name)
		}
		ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(p.RxBytes), name, "received")
		ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(p.TxBytes), name, "sent")
	}
	for reason, n := range r.refused {
		ch <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(n), reason)
	}
}
