package test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
)

// manyTime is how long it may take until thousands of services are served.
const manyTime = 10 * time.Minute

// BenchmarkRegistration measures from the registration of a service in Consul to the
// first request that it serves through HAProxy, on a host where `panteras up` runs, beside
// no, 200 and 2,000 other services; and of what that time is made.
func BenchmarkRegistration(b *testing.B) {
	for _, others := range []int{0, 200, 2000} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			h := balancedHost(b, others)
			var s steps
			for n := 0; b.Loop(); n++ {
				name := fmt.Sprintf("fresh-%d", n)
				began := time.Now()
				h.register(b, map[string]any{"Name": name, "Port": 8001, "Tags": []string{"haproxy"}})
				s.follow(b, h, began, func(text string) bool { return strings.Contains(text, `"`+name+`"`) }, func() bool { return fetchFrom(name) == "one" })
			}
			s.report(b)
		})
	}
}

// BenchmarkFailing measures from the check of an instance that fails to the first of ten
// requests in a row that it does not serve any more.
func BenchmarkFailing(b *testing.B) {
	for _, others := range []int{0, 200, 2000} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			h := balancedHost(b, others)
			for port := 8001; port <= 8002; port++ {
				h.register(b, map[string]any{
					"ID": fmt.Sprint("web-", port), "Name": "web", "Port": port, "Tags": []string{"haproxy"},
					"Check": map[string]any{"TTL": "1h", "Status": "passing"},
				})
			}
			check := func(verb string) {
				if answer := httpDo(http.MethodPut, "10.7.0.1:8500", "/v1/agent/check/"+verb+"/service:web-8002", ""); answer != "" {
					b.Fatalf("Consul does not take that: %s", answer)
				}
			}
			var s steps
			for b.Loop() {
				lab.Eventually(b, manyTime, "both to serve", func() bool { return fetchFrom("web") == "two" })
				began := time.Now()
				check("fail")
				s.follow(b, h, began, func(text string) bool { return !strings.Contains(text, "8002") }, func() bool {
					for range 10 {
						if fetchFrom("web") != "one" {
							return false
						}
					}
					return true
				})
				check("pass")
			}
			s.report(b)
		})
	}
}

// steps are what was measured, one figure for each round.
type steps struct{ rendered, applied, done []float64 }

// follow waits until a change is in consul-template's snapshot, then in what HAProxy was
// told, and then to be seen by clients.
func (s *steps) follow(b *testing.B, h *upHost, began time.Time, changed func(text string) bool, seen func() bool) {
	b.Helper()
	for _, step := range []struct {
		what string
		when *[]float64
		done func() bool
	}{
		{"the snapshot", &s.rendered, func() bool { return changed(readAll(h.path("run", "consul-template", "snapshot.json"))) }},
		{"the report", &s.applied, func() bool { return changed(readAll(h.path("run", "haproxy", "report.json"))) }},
		{"the answer", &s.done, seen},
	} {
		lab.Eventually(b, readyTime, step.what+" tells of the change", step.done)
		*step.when = append(*step.when, time.Since(began).Seconds())
	}
}

// report reports the medians of when each step was done.
func (s *steps) report(b *testing.B) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(lab.Median(s.rendered), "s-rendered")
	b.ReportMetric(lab.Median(s.applied), "s-applied")
	b.ReportMetric(lab.Median(s.done), "s-served")
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("seconds until it was served, each: %.2f; load average %s", s.done, load)
}

// readAll is what a file holds; nothing if it cannot be read.
func readAll(path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}

// balancedHost is a host that balances so many services, and has servers at ports 8001 and
// 8002 for more.
func balancedHost(b *testing.B, others int) *upHost {
	b.Helper()
	h := oneHost(b, only("consul", "consul-template")...)
	h.up(b)
	h.ready(b, "consul", "consul-template", "haproxy")
	webServer(b, "10.7.0.1:8001", "one")
	webServer(b, "10.7.0.1:8002", "two")
	for i := range others {
		h.register(b, map[string]any{"Name": fmt.Sprint("other-", i), "Port": 8001, "Tags": []string{"haproxy"}})
	}
	for i := range others {
		lab.Eventually(b, manyTime, "the others are served", func() bool { return fetchFrom(fmt.Sprint("other-", i)) == "one" })
	}
	return h
}

// register registers a service at the agent.
func (h *upHost) register(b *testing.B, service map[string]any) {
	b.Helper()
	if answer := httpDo(http.MethodPut, "10.7.0.1:8500", "/v1/agent/service/register", jsonOf(b, service)); answer != "" {
		b.Fatalf("Consul does not register %s: %s", service["Name"], answer)
	}
}

// fetchFrom is what a service says through HAProxy.
func fetchFrom(name string) string {
	conn, err := net.DialTimeout("tcp", "10.7.0.1:80", patience)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s.service.consul\r\nConnection: close\r\n\r\n", name)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body := make([]byte, 3)
	n, _ := answer.Body.Read(body)
	return string(body[:n])
}
