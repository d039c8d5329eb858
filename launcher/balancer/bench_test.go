package balancer

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
)

// benchRounds is how often each way is measured, in turn with the others, so that what
// the machine does besides falls on all of them.
const benchRounds = 5

// benchSizes are numbers of services.
var benchSizes = []int{10, 200, 2000}

// way is one way from the load generator to the service.
type way struct {
	name    string
	port    uint16
	script  string // which services wrk asks for
	pid     int    // HAProxy's worker; 0 for none
	figures map[string][]float64
}

// The figures.
const (
	rate    = "requests/s"
	tail    = "p99 ms"
	cpuTime = "CPU µs/request"
)

// BenchmarkRequests compares ways to a service, by host names of 10, 200 and 2,000
// services in turn: directly, through our HAProxy, and through one with an ACL for each
// service, as PanteraS wrote it and with only that difference from ours (connections are
// kept). It prints medians, and the ratios of ours to them. The processor time is that of
// HAProxy alone, with its checks.
func BenchmarkRequests(b *testing.B) {
	backend := light(b)
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			script := hostsScript(b, size)
			r := startedRig(b, services(backend, size)...)
			ways := []*way{
				{name: "direct", port: uint16(backend.Port), script: script},
				{name: ours, port: r.Options.HTTPPort, script: script, pid: worker(b, r.runtime())},
			}
			for _, old := range []struct{ name, connections string }{{"ACLs", "http-keep-alive"}, {"PanteraS", "http-server-close"}} {
				port, socket := linear(b, r, old.connections)
				ways = append(ways, &way{name: old.name, port: port, script: script, pid: worker(b, socket)})
			}
			for range b.N {
				for _, w := range ways {
					w.figures = map[string][]float64{}
					w.measure(b, "1s", false)
				}
				for range benchRounds {
					for _, w := range ways {
						w.measure(b, "2s", true)
					}
				}
				measureSteady(b, ways, size)
			}
			reportWays(b, ways)
		})
	}
}

// ours is the way through our own HAProxy.
const ours = "maps"

// light is a service that costs next to nothing: a HAProxy that answers itself.
func light(b *testing.B) *haproxy.Instance {
	b.Helper()
	port := lab.Port(b)
	config := filepath.Join(b.TempDir(), "light.cfg")
	text := fmt.Sprintf("global\n    maxconn 8192\ndefaults\n    mode http\n    timeout client 60s\nfrontend light\n    bind 127.0.0.1:%d\n    http-request return status 200 content-type text/plain string hello\n", port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	lab.HAProxy(b, config, filepath.Join(shortDir(b), "m.sock"))
	lab.Eventually(b, patience, "the service answers", func() bool {
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		return err == nil && answer.Body.Close() == nil
	})
	return &haproxy.Instance{Node: "node", Address: "127.0.0.1", Port: int(port)}
}

// shortDir is a folder whose name leaves room for that of a socket.
func shortDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// services are n services with one instance each, all at one address.
func services(at *haproxy.Instance, n int) (list []*haproxy.Instance) {
	for i := range n {
		one := *at
		one.Service, one.ID, one.Tags = fmt.Sprintf("service-%04d", i), strconv.Itoa(i), []string{"haproxy"}
		list = append(list, &one)
	}
	return list
}

// hostsScript makes wrk ask for n services in turn.
func hostsScript(b *testing.B, n int) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "hosts.lua")
	script := fmt.Sprintf(`local requests, i, n = {}, 0, %d
function init()
  for s = 0, n - 1 do requests[s] = wrk.format("GET", "/", {Host = string.format("service-%%04d.service.consul", s)}) end
end
function request() i = (i + 1) %% n; return requests[i] end
`, n)
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// linear starts a HAProxy with an ACL for each service that the rig serves.
func linear(b *testing.B, r *rig, connections string) (uint16, cli) {
	b.Helper()
	dir, port := shortDir(b), lab.Port(b)
	socket := filepath.Join(dir, "a.sock")
	var text strings.Builder
	err := template.Must(template.ParseFiles("testdata/linear.cfg.tmpl")).Execute(&text, map[string]any{
		"Socket": socket, "Port": port, "Connections": connections, "Backends": r.lastReport().Backends,
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "linear.cfg"), []byte(text.String()), 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	lab.HAProxy(b, filepath.Join(dir, "linear.cfg"), filepath.Join(dir, "m.sock"))
	lab.Eventually(b, patience, "HAProxy runs", func() bool {
		info, err := (cli{socket, cliTimeout}).ask("show info")
		return err == nil && strings.Contains(info, "Pid: ")
	})
	return port, cli{socket, cliTimeout}
}

// worker is the process id of the HAProxy behind a socket.
func worker(b *testing.B, socket cli) int {
	b.Helper()
	info, err := socket.ask("show info")
	m := workerPid.FindStringSubmatch(info)
	if err != nil || m == nil {
		b.Fatalf("HAProxy does not tell its process id: %v", err)
	}
	pid, _ := strconv.Atoi(m[1]) // digits
	return pid
}

var (
	workerPid  = regexp.MustCompile(`(?m)^Pid: ([0-9]+)$`)
	wrkRate    = regexp.MustCompile(`Requests/sec: +([0-9.]+)`)
	wrkTail    = regexp.MustCompile(`99% +([0-9.]+)(us|ms|s)`)
	wrkCount   = regexp.MustCompile(`([0-9]+) requests in`)
	wrkTrouble = regexp.MustCompile(`(?m)^ *(Non-2xx.*|Socket errors.*)$`)
)

// measure asks for a while over 32 connections that are kept.
func (w *way) measure(b *testing.B, duration string, counts bool) {
	b.Helper()
	before := w.cpu(b)
	out, err := exec.Command("wrk", "-t1", "-c32", "-d"+duration, "--latency", "-s", w.script, fmt.Sprintf("http://127.0.0.1:%d/", w.port)).CombinedOutput()
	speed, slow, count := wrkRate.FindSubmatch(out), wrkTail.FindSubmatch(out), wrkCount.FindSubmatch(out)
	if err != nil || speed == nil || slow == nil || count == nil {
		b.Fatalf("%s: %v\n%s", w.name, err, out)
	}
	if trouble := wrkTrouble.FindSubmatch(out); trouble != nil {
		b.Errorf("%s: %s", w.name, trouble[1])
	}
	if !counts {
		return
	}
	requests, _ := strconv.ParseFloat(string(count[1]), 64)
	perSecond, _ := strconv.ParseFloat(string(speed[1]), 64)
	late, err := time.ParseDuration(string(slow[1]) + string(slow[2]))
	if err != nil {
		b.Fatal(err)
	}
	w.figures[rate] = append(w.figures[rate], perSecond)
	w.figures[tail] = append(w.figures[tail], late.Seconds()*1e3)
	if w.pid != 0 {
		w.figures[cpuTime] = append(w.figures[cpuTime], (w.cpu(b)-before)*1e6/requests)
	}
}

// cpu is the processor time of HAProxy so far, in seconds.
func (w *way) cpu(b *testing.B) float64 {
	b.Helper()
	if w.pid == 0 {
		return 0
	}
	own, _, err := lab.ProcessorTime(w.pid)
	if err != nil {
		b.Fatal(err)
	}
	return own
}

// reportWays prints the medians; in brackets what ours is, divided by it.
func reportWays(b *testing.B, ways []*way) {
	b.Helper()
	load, _ := os.ReadFile("/proc/loadavg")
	figures := []string{rate, tail, steady, cpuTime}
	var text strings.Builder
	fmt.Fprintf(&text, "medians of %d rounds; in brackets ours divided by theirs; load average afterwards %s%-16s", benchRounds, load, "")
	for _, f := range figures {
		fmt.Fprintf(&text, "%20s", f)
	}
	own := ways[slices.IndexFunc(ways, func(w *way) bool { return w.name == ours })]
	for _, w := range ways {
		fmt.Fprintf(&text, "\n%-16s", w.name)
		for _, f := range figures {
			if m := lab.Median(w.figures[f]); m != 0 {
				fmt.Fprintf(&text, "%12.4g %7s", m, fmt.Sprintf("(%.2f)", lab.Median(own.figures[f])/m))
			} else {
				fmt.Fprintf(&text, "%20s", "-")
			}
		}
	}
	fmt.Println(text.String()) // b.Log shows ten lines of it
	b.ReportMetric(0, "ns/op")
}
