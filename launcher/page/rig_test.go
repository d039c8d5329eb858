package page

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
	"panteras/launcher"
	"panteras/launcher/control"
	"panteras/launcher/control/controltest"
	"panteras/launcher/logs"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	secret   = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	evil     = `<script>document.title="taken"</script>`
	patient  = 30 * time.Second
	perQuery = 0.0004 // seconds
)

// world is everything that the page shows, as a test wants it to be. It outlives the
// launcher.
type world struct {
	supervisor *controltest.Supervisor
	logs       *logs.Logs
	token      string

	mu       sync.Mutex
	leader   string
	noConsul error
	noDNS    error
	noPeers  error
	peers    []Peer
	calls    []string
	served   Balancer
	queries  float64
}

func newWorld(t testing.TB) *world {
	now := time.Now()
	w := &world{
		supervisor: &controltest.Supervisor{}, logs: logs.New(logs.Options{Console: io.Discard}), token: secret, leader: "10.0.0.1:8300", queries: 48211,
	}
	t.Cleanup(w.logs.Close)
	retry, day := now.Add(23*time.Second), 24*time.Hour
	ready := func(name string, pid, restarts int, since time.Duration) launcher.DaemonStatus {
		return launcher.DaemonStatus{Name: name, State: launcher.StateReady, Ready: true, Pid: pid, Restarts: restarts, Since: now.Add(-since)}
	}
	w.supervisor.Set(
		ready("consul", 4711, 0, 3*day), ready("zookeeper", 4712, 0, 3*day), ready("mesos-master", 4790, 1, 5*time.Hour),
		launcher.DaemonStatus{
			Name: "marathon", State: launcher.StateBackoff, Restarts: 6, Since: now.Add(-9 * time.Second), RetryAt: &retry, LastExit: "exit code 1 after 3 s",
			Output: []string{"Exception in thread \"main\" java.net.BindException: Address already in use", "  at " + evil},
		},
		launcher.DaemonStatus{Name: "chronos", State: launcher.StateAbsent, Since: now.Add(-3 * day), Reason: "chronos is not installed; see docs/launcher.md"},
		ready("consul-template", 4800, 0, 3*day), ready("haproxy", 4801, 0, 3*day),
		launcher.DaemonStatus{Name: "keepalived", State: launcher.StateDisabled, Since: now},
		launcher.DaemonStatus{Name: "mesos-agent", State: launcher.StateWaiting, Since: now.Add(-time.Minute), WaitingFor: []string{"docker"}},
		launcher.DaemonStatus{Name: "registrator", State: launcher.StateStopped, Since: now.Add(-2 * time.Hour)},
		ready("dns", 4900, 0, 3*day), ready("tunnel", 4901, 2, 26*time.Hour),
	)
	recent, old, expired := now.Add(-40*time.Second), now.Add(-3*day), now.Add(-time.Hour)
	w.peers = []Peer{
		{Name: "alice-laptop", Addresses: []string{"10.99.0.2", "fd99:1::2"}, Enabled: true, LastHandshake: &recent, RxBytes: 734003200, TxBytes: 1288490188, Endpoint: "203.0.113.7:51820"},
		{Name: "bob-phone", Addresses: []string{"10.99.0.3", "fd99:1::3"}, Enabled: true, LastHandshake: &old, RxBytes: 51200, TxBytes: 81920},
		{Name: "carol-desk", Addresses: []string{"10.99.0.4"}, Enabled: false},
		{Name: "ci-runner", Addresses: []string{"10.99.0.5"}, Enabled: true, Expires: &expired},
	}
	server := func(address string, weight int) haproxy.Server {
		return haproxy.Server{Name: "n", Address: address, Weight: weight}
	}
	w.served = Balancer{Written: now.Add(-3 * time.Minute), Report: &haproxy.Report{
		Reloaded: now.Add(-2 * time.Hour),
		Backends: []haproxy.Backend{
			{Name: "backend_python", Service: "python", Hosts: []string{"python.service.consul", "python.my.own.domain.com"}, Servers: []haproxy.Server{server("10.1.0.7:31001", 100), server("10.1.0.8:31044", 50)}},
			{Name: "backend_shop", Service: "shop", Hosts: []string{"shop.service.consul"}, Paths: []string{"/basket"}, Servers: []haproxy.Server{server("10.1.0.9:31009", 100)}},
			{Name: "tcp_db_5432", Service: "db", Port: 5432, Servers: []haproxy.Server{server("10.1.0.20:5432", 100)}},
			{Name: "backend_evil", Service: evil, Hosts: []string{`"><img src=x onerror=alert(1)>`}, Servers: []haproxy.Server{server("10.1.0.66:80", 1)}},
		},
		Findings: []haproxy.Finding{
			{Service: "billing", Message: "haproxy_tcp=5432 is refused: the port belongs to db; choose another"},
			{Service: evil, Message: "no host name can be made of this name: use at most 63 letters, digits, - and _"},
		},
	}}
	return w
}

func (w *world) set(change func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

// state changes the state of a daemon.
func (w *world) state(name string, state launcher.State) {
	list := w.supervisor.Status().Daemons
	for i := range list {
		if list[i].Name == name {
			list[i].State, list[i].Ready, list[i].Since = state, state == launcher.StateReady, time.Now()
		}
	}
	w.supervisor.Set(list...)
}

// pageSupervisor does what is asked at once, so that one sees it.
type pageSupervisor struct{ *world }

func (p pageSupervisor) Status(context.Context) (launcher.Status, error) {
	return p.supervisor.Status(), nil
}

func (p pageSupervisor) act(err error, name string, state launcher.State) error {
	if err == nil {
		p.state(name, state)
	}
	return err
}

func (p pageSupervisor) Start(ctx context.Context, name string) error {
	return p.act(p.supervisor.Start(ctx, name), name, launcher.StateReady)
}

func (p pageSupervisor) Stop(ctx context.Context, name string) error {
	return p.act(p.supervisor.Stop(ctx, name), name, launcher.StateStopped)
}

func (p pageSupervisor) Restart(ctx context.Context, name string) error {
	return p.act(p.supervisor.Restart(ctx, name), name, launcher.StateReady)
}

// pagePeers are the world's.
type pagePeers struct{ *world }

func (p pagePeers) List(context.Context) (list []Peer, err error) {
	p.set(func(w *world) { list, err = append([]Peer{}, w.peers...), w.noPeers })
	return list, err
}

func (p pagePeers) Add(_ context.Context, by string, r PeerRequest) (issued *Issued, err error) {
	p.set(func(w *world) {
		w.calls = append(w.calls, fmt.Sprintf("add %s by %s: %+v", r.Name, by, r))
		for _, have := range w.peers {
			if have.Name == r.Name {
				err = fmt.Errorf("cannot add %s: there is a peer of that name", r.Name)
				return
			}
		}
		w.peers = append(w.peers, Peer{Name: r.Name, Addresses: []string{"10.99.0.9"}, Enabled: true})
		issued = &Issued{
			Name: r.Name, Addresses: []string{"10.99.0.9"}, Gateway: "node-1", File: r.Name + ".conf", Config: "[Interface]\nPrivateKey = of " + r.Name + "\n",
			ScriptFile: r.Name + "-dns.sh", Script: "#!/bin/sh\n", QR: picture(),
		}
	})
	return issued, err
}

// picture stands for a QR code.
func picture() []byte {
	img := image.NewGray(image.Rect(0, 0, 37, 37))
	for i := range img.Pix {
		img.SetGray(i%37, i/37, color.Gray{Y: uint8(255 * ((i * i / 3) % 2))})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func (p pagePeers) change(by, action, name string, edit func(*Peer) bool) error {
	err := errors.New("there is no such peer")
	p.set(func(w *world) {
		w.calls = append(w.calls, action+" "+name+" by "+by)
		var kept []Peer
		for _, peer := range w.peers {
			keep := true
			if peer.Name == name {
				keep, err = edit(&peer), nil
			}
			if keep {
				kept = append(kept, peer)
			}
		}
		w.peers = kept
	})
	return err
}

func (p pagePeers) Disable(_ context.Context, by, name string) error {
	return p.change(by, "disable", name, func(one *Peer) bool { one.Enabled = false; return true })
}

func (p pagePeers) Enable(_ context.Context, by, name string) error {
	return p.change(by, "enable", name, func(one *Peer) bool { one.Enabled = true; return true })
}

func (p pagePeers) Remove(_ context.Context, by, name string) error {
	return p.change(by, "remove", name, func(*Peer) bool { return false })
}

// metrics are those of a DNS server that is asked all the time.
func (w *world) metrics(context.Context) (m Metrics, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.noDNS != nil {
		return nil, w.noDNS
	}
	w.queries += 260
	var text strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	add("# TYPE panteras_dns_queries_total counter")
	for route, share := range map[string]float64{"consul": 0.6, "recursors": 0.35, "host": 0.05} {
		add(`panteras_dns_queries_total{route=%q,transport="udp",rcode="NOERROR"} %g`, route, w.queries*share)
	}
	add(`panteras_dns_queries_total{route="recursors",transport="udp",rcode="SERVFAIL"} 12`)
	add("# TYPE panteras_dns_latency_seconds histogram")
	for route, share := range map[string]float64{"consul": 0.6, "recursors": 0.35, "host": 0.05} {
		n := w.queries * share
		add(`panteras_dns_latency_seconds_bucket{route=%q,le="0.000512"} %d`, route, int(n*0.8))
		add(`panteras_dns_latency_seconds_bucket{route=%q,le="0.016384"} %d`, route, int(n))
		add(`panteras_dns_latency_seconds_bucket{route=%q,le="+Inf"} %d`, route, int(n))
		add("panteras_dns_latency_seconds_sum{route=%q} %g\npanteras_dns_latency_seconds_count{route=%q} %d", route, n*perQuery, route, int(n))
	}
	for _, gauge := range []string{"up", "loop", "latency_seconds"} {
		add("# TYPE panteras_dns_upstream_%s gauge", gauge)
		for i, u := range []string{`upstream="10.0.0.1:8600",role="consul"`, `upstream="10.0.0.53:53",role="recursor"`, `upstream="10.0.1.53:53",role="recursor"`} {
			add("panteras_dns_upstream_%s{%s} %g", gauge, u, map[string][]float64{"up": {1, 1, 0}, "loop": {0, 0, 0}, "latency_seconds": {.0004, .0112, 0}}[gauge][i])
		}
	}
	add("# TYPE panteras_dns_upstream_events_total counter")
	add(`panteras_dns_upstream_events_total{upstream="10.0.1.53:53",role="recursor",event="timeout"} 88`)
	add("# TYPE panteras_dns_dropped_total counter\npanteras_dns_dropped_total{reason=\"overload\"} 3")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(strings.NewReader(text.String()))
}

func (w *world) options(instance string) Options {
	return Options{
		Token: w.token, Launcher: pageSupervisor{w}, Logs: w.logs, Peers: pagePeers{w}, Instance: instance,
		Facts: func() Facts {
			return Facts{Host: "node-1", Version: "v2.0.0", Gateway: true, Links: []Link{
				{"Consul", "http://10.0.0.1:8500/ui/", "consul"},
				{"Mesos", "http://10.0.0.1:5050/", "mesos-master"},
				{"Marathon", "http://10.0.0.1:8080/", "marathon"},
				{"Chronos", "http://10.0.0.1:4400/", "chronos"},
				{"HAProxy", "http://10.0.0.1:81/", "haproxy"},
			}}
		},
		Leader: func(context.Context) (leader string, err error) {
			w.set(func(w *world) { leader, err = w.leader, w.noConsul })
			return leader, err
		},
		DNS: w.metrics,
		Balancer: func(context.Context) (b Balancer, err error) {
			w.set(func(w *world) { b = w.served })
			return b, nil
		},
		Explain: func(_ context.Context, name string) (string, error) {
			if strings.Contains(name, "fail") {
				return "", errors.New("it cannot be explained")
			}
			return "DNS      " + name + " goes to Consul\nConsul   knows 2 of python:\n           10.1.0.7:31001 on \"node-2\" is passing, tags [\"haproxy\"]\n", nil
		},
		Log: slog.New(slog.DiscardHandler),
	}
}

// served is a launcher's status server, at an address that it can have again.
type servedPage struct {
	*control.Server
	page    *Page
	address string
	stop    func()
}

// serve serves the world's page; address "" is a free one.
func (w *world) serve(t testing.TB, address string) *servedPage {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	var l net.Listener
	lab.Eventually(t, patient, "the address is free", func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", address)
		return err == nil
	})
	server := control.New(control.Options{
		Supervisor: w.supervisor, Logs: w.logs, Token: w.token, Names: []string{"node-1"}, Log: slog.New(slog.DiscardHandler),
	})
	s := &servedPage{Server: server, address: l.Addr().String()}
	s.page = New(w.options(server.Instance().ID))
	server.SetPage(s.page)
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTCP(l) }()
	s.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.page.Close()
		server.Close(ctx)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	return s
}
