package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"panteras/internal/lab"
)

// BenchmarkRegistration measures from the registration of a service in Consul to the
// first request that it serves through HAProxy, on a host where `panteras up` runs, beside
// no, 200 and 2,000 other services.
func BenchmarkRegistration(b *testing.B) {
	h := oneHost(b, only("consul", "consul-template")...)
	h.up(b)
	h.ready(b, "consul", "consul-template", "haproxy")
	service := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") })}
	l, err := net.Listen("tcp", "10.7.0.1:8001")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = service.Serve(l) }()
	b.Cleanup(func() { _ = service.Close() })

	generation, others := 0, 0
	for _, size := range []int{0, 200, 2000} {
		for ; others < size; others++ {
			register(b, fmt.Sprintf("other-%d", others))
		}
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			if size > 0 {
				lab.Eventually(b, readyTime, "the others are served", func() bool { return served(fmt.Sprintf("other-%d", size-1)) })
			}
			for b.Loop() {
				generation++
				name := fmt.Sprintf("fresh-%d", generation)
				began := time.Now()
				register(b, name)
				lab.Eventually(b, readyTime, name+" is served", func() bool { return served(name) })
				b.Logf("%v after its registration, %s serves", time.Since(began).Round(time.Millisecond), name)
			}
		})
	}
}

// register registers a service at the agent.
func register(b *testing.B, name string) {
	b.Helper()
	body, err := json.Marshal(map[string]any{"Name": name, "Port": 8001, "Tags": []string{"haproxy"}})
	if err != nil {
		b.Fatal(err)
	}
	if answer := httpDo(http.MethodPut, "10.7.0.1:8500", "/v1/agent/service/register", string(body)); answer != "" {
		b.Fatalf("Consul does not register %s: %s", name, answer)
	}
}

// served asks HAProxy for a service.
func served(name string) bool {
	conn, err := net.DialTimeout("tcp", "10.7.0.1:80", patience)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s.service.consul\r\nConnection: close\r\n\r\n", name)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}
