package balancer

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
)

// ailing is a web server that answers with its name, and fails at /health when told to.
func ailing(t *testing.T, id string, fails *atomic.Bool, tags ...string) *haproxy.Instance {
	t.Helper()
	return serve(t, "web", id, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" && fails.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, id)
	}), tags...)
}

// TestChecksByHTTP: with haproxy_httpchk HAProxy itself stops asking an instance whose
// page fails, long before Consul knows; with none left it says so.
func TestChecksByHTTP(t *testing.T) {
	t.Parallel()
	var a, b atomic.Bool
	r := startedRig(t, ailing(t, "a", &a, "haproxy", "haproxy_httpchk=GET /health"), ailing(t, "b", &b, "haproxy"))
	serves := func(want string) {
		t.Helper()
		lab.Eventually(t, patience, "to be served by "+want, func() bool {
			got := map[string]bool{}
			for range 4 {
				code, body := r.get("web.service.consul", "/")
				if code == http.StatusServiceUnavailable && strings.Contains(body, "No instance of the service takes requests now.") {
					body = "nobody"
				}
				got[body] = true
			}
			return len(got) == len(strings.Fields(want)) && got[strings.Fields(want)[0]]
		})
	}
	serves("a b")
	a.Store(true)
	serves("b")
	b.Store(true) // checks are the backend's: both instances have them
	serves("nobody")
	a.Store(false)
	serves("a")
}

// TestChecksByTCP: without haproxy_httpchk what fails at a page counts as well, and what
// does not listen any more does not.
func TestChecksByTCP(t *testing.T) {
	t.Parallel()
	var fails atomic.Bool
	fails.Store(true)
	a := ailing(t, "a", &fails, "haproxy")
	gone := *a
	gone.Node, gone.Port = "node-gone", int(servicePort(t))
	r := startedRig(t, a, &gone)
	lab.Eventually(t, patience, "HAProxy to see who does not listen", func() bool {
		states, err := r.runtime().ask("show stat -1 4 -1")
		return err == nil && strings.Contains(states, "node-gone_127.0.0.1_") && strings.Count(states, ",DOWN,") == 1 && strings.Count(states, ",UP,") == 1
	})
	for range 10 {
		if code, body := r.get("web.service.consul", "/"); code != http.StatusOK || body != "a" {
			t.Errorf("%d %s", code, body)
		}
	}
}

// TestChangedCheck needs a reload, and loses nothing.
func TestChangedCheck(t *testing.T) {
	t.Parallel()
	a := web(t, "web", "a", "haproxy")
	r := startedRig(t, a)
	l := r.load("web.service.consul")
	if result := r.apply(with(a, "haproxy", "haproxy_httpchk=HEAD /x")); !result.Reloaded {
		t.Error("a changed check came without a reload")
	}
	if result := r.apply(with(a, "haproxy", "haproxy_httpchk=HEAD /x", "weight=7")); result.Reloaded {
		t.Error("a changed weight came with a reload")
	}
	l.end(t)
}

// TestManyInstances: from 2 instances to 20 and back takes less than 5 s each way.
func TestManyInstances(t *testing.T) {
	t.Parallel()
	var all []*haproxy.Instance
	for i := range 20 {
		all = append(all, web(t, "web", fmt.Sprint("i", i), "haproxy"))
	}
	r := startedRig(t, all[:2]...)
	for _, n := range []int{20, 2, 20} {
		began := time.Now()
		r.apply(all[:n]...)
		answering := map[string]bool{}
		lab.Eventually(t, patience, fmt.Sprint(n, " instances to serve"), func() bool {
			clear(answering)
			for range 2 * n {
				_, body := r.get("web.service.consul", "/")
				answering[body] = true
			}
			return len(answering) == n
		})
		if took := time.Since(began); late(t, took) {
			t.Errorf("%v until %d instances served", took, n)
		}
	}
}
