package test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/launcher"
	"panteras/launcher/control"
	"panteras/launcher/control/controltest"
	"panteras/launcher/logs"
)

// controlled is the control socket of a launcher that runs nothing.
func controlled(t *testing.T) (runDir string, s *controltest.Supervisor, l *logs.Logs) {
	t.Helper()
	runDir, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(runDir) })
	l = logs.New(logs.Options{Dir: t.TempDir()})
	s = &controltest.Supervisor{}
	s.Set(launcher.DaemonStatus{Name: "consul", State: launcher.StateWaiting, Since: time.Now(), WaitingFor: []string{}})
	socket, err := control.Listen(runDir)
	if err != nil {
		t.Fatal(err)
	}
	server := control.New(control.Options{Supervisor: s, Logs: l, Log: slog.New(slog.DiscardHandler)})
	ended := make(chan error, 1)
	go func() { ended <- server.ServeSocket(socket) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		server.Close(ctx)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		l.Close()
	})
	return runDir, s, l
}

// TestControlLogsFollow follows a daemon from before it has run, over a rotation of its
// file, until ctrl-C.
func TestControlLogsFollow(t *testing.T) {
	t.Parallel()
	runDir, _, l := controlled(t)
	p := lab.Panteras(t, lab.PanterasOptions{Args: []string{"logs", "-f", "consul", "--run-dir", runDir}})
	lab.Eventually(t, 30*time.Second, "it follows", func() bool {
		l.Write("consul", "begin")
		return strings.Contains(p.Stdout(), "begin")
	})
	stdout, stderr, err := l.Pipe("consul")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = stdout.Close(), stderr.Close() }()
	const lines = 1200 // 12 MB
	text := strings.Repeat("x", 10_000)
	for i := range lines {
		if _, err := fmt.Fprintf(stdout, "%d %s\n", i, text); err != nil {
			t.Fatal(err)
		}
	}
	lab.Eventually(t, time.Minute, "the last line is there", func() bool { return strings.Contains(p.Stdout(), fmt.Sprint("\n", lines-1, " ")) })
	next := 0
	for line := range strings.Lines(p.Stdout()) {
		if strings.Contains(line, "begin") {
			continue
		}
		if want := fmt.Sprint(next, " "); !strings.HasPrefix(line, want) {
			t.Fatalf("%.30q follows line %d", line, next-1)
		}
		next++
	}
	p.Signal(os.Interrupt)
	if code := p.Wait(t, 30*time.Second); code != 0 || p.Stderr() != "" {
		t.Errorf("after ctrl-C the exit code is %d, stderr %s", code, p.Stderr())
	}
}

// TestControlWatch has no terminal.
func TestControlWatch(t *testing.T) {
	t.Parallel()
	runDir, s, _ := controlled(t)
	p := lab.Panteras(t, lab.PanterasOptions{Args: []string{"status", "--watch", "--run-dir", runDir}})
	lab.Eventually(t, 30*time.Second, "it shows how things are", func() bool { return strings.Contains(p.Stdout(), "waiting") })
	s.Set(launcher.DaemonStatus{Name: "consul", State: launcher.StateReady, Since: time.Now(), WaitingFor: []string{}})
	lab.Eventually(t, 30*time.Second, "it shows what has changed", func() bool { return strings.Contains(p.Stdout(), "ready") })
	if strings.ContainsRune(p.Stdout(), '\x1b') {
		t.Errorf("without a terminal there are escapes: %q", p.Stdout())
	}
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(t, 30*time.Second); code != 0 {
		t.Errorf("exit code %d, stderr %s", code, p.Stderr())
	}
}

// TestControlMetricsOfDNS has the DNS server serve its metrics at a socket, where a
// killed one has left its own, and a successor while it still runs.
func TestControlMetricsOfDNS(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "metrics")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := dir + "/metrics.sock"
	startAt := func(path string) *lab.Process {
		return lab.Panteras(t, lab.PanterasOptions{
			Args: []string{
				"dns", fmt.Sprint("--dns-listen=127.0.0.1:", lab.Port(t)), "--dns-upstreams=127.0.0.1:9", "--consul-dns=127.0.0.1:9", "--ip=10.0.0.5", "--metrics-listen=unix:" + path,
			},
			ReadyLine: regexp.MustCompile("listening"), Timeout: time.Minute,
		})
	}
	start := func() *lab.Process { return startAt(path) }
	first := start()
	lab.Eventually(t, 30*time.Second, "the socket is there", func() bool { _, err := os.Stat(path); return err == nil })
	first.Kill()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the killed one has left nothing: %v", err)
	}
	second := start()
	successor := start()
	second.Stop(t)
	server := control.New(control.Options{
		Supervisor: &controltest.Supervisor{}, Logs: logs.New(logs.Options{}), Log: slog.New(slog.DiscardHandler),
		Children: map[string]string{"dns": "unix:" + path},
	})
	runDir := dir + "/run"
	socket, err := control.Listen(runDir)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeSocket(socket) }()
	defer func() {
		server.Close(t.Context())
		<-ended
	}()
	lab.Eventually(t, 30*time.Second, "the launcher has the metrics of its DNS server", func() bool {
		body := overSocket(t, socket.Addr().Network(), runDir+"/"+control.SocketName, "/metrics")
		return strings.Contains(body, `panteras_daemon_metrics_up{daemon="dns"} 1`) &&
			strings.Contains(body, `panteras_dns_in_flight{daemon="dns",transport="udp"} 0`)
	})
	successor.Stop(t)
	if _, err := os.Stat(path); err == nil {
		t.Error("the last one has left its socket")
	}
	// Names matter more than figures.
	lame := startAt("/nowhere/metrics.sock")
	lab.Eventually(t, 30*time.Second, "it says that there are no metrics", func() bool { return strings.Contains(lame.Stderr(), "no metrics") })
}

// overSocket is the body of what a path has for whoever can open the socket.
func overSocket(t *testing.T, network, socket, path string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, socket)
		},
		DisableKeepAlives: true,
	}}
	answer, err := client.Get("http://localhost" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
