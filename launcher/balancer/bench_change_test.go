package balancer

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
)

// The requests that clients send while HAProxy reloads so often, at the least.
const (
	reloadsUnderLoad  = 20
	requestsUnderLoad = 100_000
)

// BenchmarkReloads reloads 20 times while clients that never try again ask without pause,
// at least 100,000 times, evenly between the reloads, and counts what they lose.
func BenchmarkReloads(b *testing.B) {
	web1 := serve(b, "web", "web", http.HandlerFunc(echo), "haproxy")
	r := startedRig(b, web1)
	var sent, lost int64
	var first any
	generation := 0
	for b.Loop() {
		say, hangUp := r.tunnel("web.service.consul")
		l := r.load("web.service.consul")
		for i := range reloadsUnderLoad {
			lab.Eventually(b, manyRequestsTime, "requests between reloads", func() bool { return l.sent.Load() >= int64(i+1)*requestsUnderLoad/(reloadsUnderLoad+1) })
			other := *web1
			other.Service = fmt.Sprintf("other%d", generation)
			generation++
			if result := r.apply(web1, &other); !result.Reloaded {
				b.Fatal("a reload was none")
			}
		}
		lab.Eventually(b, manyRequestsTime, "the last requests", func() bool { return l.sent.Load() >= requestsUnderLoad })
		l.stop()
		l.all.Wait()
		if n := l.sent.Load(); n < requestsUnderLoad {
			b.Fatalf("only %d requests were sent, and lost ones count of %d at the least", n, requestsUnderLoad)
		}
		if err := say("still here"); err != nil {
			b.Errorf("the WebSocket that was opened before: %v", err)
		}
		hangUp()
		sent, lost = sent+l.sent.Load(), lost+l.lost.Load()
		if first == nil {
			first = l.first.Load()
		}
	}
	if want := int32(reloadsUnderLoad * b.N); r.reloads.Load() != want {
		b.Errorf("%d reloads, not %d", r.reloads.Load(), want)
	}
	if lost != 0 {
		b.Errorf("%d of %d requests were lost, the first: %v", lost, sent, first)
	}
	b.ReportMetric(float64(sent)/float64(b.N), "requests")
	b.ReportMetric(float64(lost)/float64(b.N), "lost")
	b.ReportMetric(float64(r.reloads.Load())/float64(b.N), "reloads")
	fmt.Printf("%d of %d requests were lost over %d reloads, the first: %v; load average %s\n", lost, sent, r.reloads.Load(), first, loadAverage())
}

// manyRequestsTime is how long so many requests may take on a machine that does much else.
const manyRequestsTime = 2 * time.Minute

// loadAverage is what else the machine does.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return strings.TrimSpace(string(text))
}

// BenchmarkScale goes from 2 to 20 instances and back to 2 under the same load, and counts
// reloads and what is lost.
func BenchmarkScale(b *testing.B) {
	var all []*haproxy.Instance
	for i := range 20 {
		all = append(all, serve(b, "web", fmt.Sprintf("i%d", i), http.HandlerFunc(echo), "haproxy"))
	}
	r := startedRig(b, all[:2]...)
	var tunnels []func(string) error
	for range 4 {
		say, _ := r.tunnel("web.service.consul")
		tunnels = append(tunnels, say)
	}
	var sent, lost int64
	for b.Loop() {
		l := r.load("web.service.consul")
		r.apply(all...)
		r.apply(all[:2]...)
		l.stop()
		l.all.Wait()
		sent, lost = sent+l.sent.Load(), lost+l.lost.Load()
	}
	if sent == 0 || lost != 0 || r.reloads.Load() != 0 {
		b.Errorf("%d of %d requests were lost, with %d reloads", lost, sent, r.reloads.Load())
	}
	for _, say := range tunnels {
		if err := say("still here"); err != nil {
			b.Errorf("a WebSocket that was opened before: %v", err)
		}
	}
	b.ReportMetric(float64(sent)/float64(b.N), "requests")
	b.ReportMetric(float64(lost)/float64(b.N), "lost")
	b.ReportMetric(float64(r.reloads.Load())/float64(b.N), "reloads")
}

// BenchmarkApply brings changes into effect on a host with many services: one more
// service, for which HAProxy reloads, and one more instance, for which it does not.
func BenchmarkApply(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			web1 := serve(b, "web", "web", http.HandlerFunc(echo), "haproxy")
			r := startedRig(b, services(web1, size)...)
			var reload, change time.Duration
			generation := size
			for b.Loop() {
				generation++
				list := services(web1, size)
				fresh := *web1
				fresh.Service = fmt.Sprintf("fresh-%d", generation)
				began := time.Now()
				if result := r.apply(append(list, &fresh)...); !result.Reloaded {
					b.Fatal("a new service came without a reload")
				}
				reload += time.Since(began)
				more := fresh
				more.Port++
				began = time.Now()
				if result := r.apply(append(list, &fresh, &more)...); result.Reloaded {
					b.Fatal("a new instance came with a reload")
				}
				change += time.Since(began)
			}
			b.ReportMetric(float64(reload.Milliseconds())/float64(b.N), "ms-with-reload")
			b.ReportMetric(float64(change.Milliseconds())/float64(b.N), "ms-without")
			b.ReportMetric(0, "ns/op")
		})
	}
}
