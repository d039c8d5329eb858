package control

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// TestMetrics merges two children, one of which is no more.
func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	child, err := net.Listen("unix", dir+"/m.sock")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `# HELP panteras_dns_queries_total Answered queries.
# TYPE panteras_dns_queries_total counter
panteras_dns_queries_total{route="consul"} 7
# HELP go_goroutines Number of goroutines that currently exist.
# TYPE go_goroutines gauge
go_goroutines 42
# HELP panteras_daemon_up Something else.
# TYPE panteras_daemon_up counter
panteras_daemon_up 5
# HELP latency_seconds Time.
# TYPE latency_seconds histogram
latency_seconds_bucket{le="1"} 1
latency_seconds_bucket{le="+Inf"} 2
latency_seconds_sum 3
latency_seconds_count 2
`)
	})}
	go func() { _ = srv.Serve(child) }()
	defer func() { _ = srv.Close() }()
	second, err := net.Listen("unix", dir+"/n.sock")
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "# TYPE latency_seconds gauge\nlatency_seconds 1\n# TYPE go_goroutines gauge\ngo_goroutines 43\n")
	})}
	go func() { _ = other.Serve(second) }()
	defer func() { _ = other.Close() }()
	r := newRig(t, nil)
	r.SetChildren(map[string]string{"zoo": "unix:" + dir + "/n.sock", "dns": "unix:" + dir + "/m.sock", "tunnel": "unix:" + dir + "/nobody.sock"})
	code, body, _ := r.request(t, "GET", "/metrics", nil)
	for _, line := range []string{
		`panteras_daemon_up{daemon="consul"} 1`, `panteras_daemon_up{daemon="haproxy"} 0`,
		`panteras_daemon_ready{daemon="consul"} 1`, `panteras_daemon_restarts_total{daemon="consul"} 2`,
		`panteras_build_info{commit="abc",goversion="go1.26",version="v1"} 1`,
		`panteras_dns_queries_total{daemon="dns",route="consul"} 7`,
		`go_goroutines{daemon="dns"} 42`, `go_goroutines{daemon="zoo"} 43`,
		`latency_seconds_bucket{daemon="dns",le="1"} 1`, `latency_seconds_count{daemon="dns"} 2`,
		`panteras_daemon_metrics_up{daemon="dns"} 1`, `panteras_daemon_metrics_up{daemon="tunnel"} 0`,
		`panteras_log_dropped_lines_total{sink="console"} 0`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	for _, piece := range []string{`go_goroutines{daemon="launcher"} `, `process_open_fds{daemon="launcher"} `, `panteras_daemon_state_seconds{daemon="consul",state="ready"} 6`} {
		if !strings.Contains(body, "\n"+piece) {
			t.Errorf("%s… is missing", piece)
		}
	}
	if strings.Contains(body, `latency_seconds_count{daemon="zoo"}`) {
		t.Error("something of another type is mixed in")
	}
	if strings.Contains(body, `daemon="marathon"`) {
		t.Error("a daemon that is not for this host has metrics")
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if code != 200 || err != nil {
		t.Errorf("answered with %d, which is read with %v:\n%s", code, err, body)
	}
	for name := range families {
		if n := strings.Count(body, "# TYPE "+name+" "); n != 1 {
			t.Errorf("%s has %d types", name, n)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}
