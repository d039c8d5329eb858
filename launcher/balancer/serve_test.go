package balancer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
)

type ctxType = context.Context

func TestHeadersOfTheOriginal(t *testing.T) {
	t.Parallel()
	r := startedRig(t, serve(t, "web", "web", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "for=%s id=%s path=%s", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Unique-ID"), r.URL.Path)
	}), "haproxy", "haproxy_route=/minions"))
	_, body := r.get("any", "/minions/say/banana")
	if !strings.Contains(body, "for=127.0.0.1 id=7F000001:") || !strings.Contains(body, "path=/minions/say/banana") {
		t.Errorf("the service sees %q", body)
	}
}

// TestTCP serves one port for two instances, with the tag alone, and lets go of it.
func TestTCP(t *testing.T) {
	t.Parallel()
	port, second := servicePort(t), servicePort(t)
	tags := []string{fmt.Sprintf("haproxy_tcp=%d", port), fmt.Sprintf("haproxy_tcp=%d", second)}
	a, b := web(t, "db", "a", tags...), web(t, "db", "b", tags...)
	r := startedRig(t)
	if result := r.apply(a, b); !result.Reloaded {
		t.Error("new ports came without a reload")
	}
	for _, p := range []uint16{port, second} {
		if got := ask(p) + ask(p); got != "ab" && got != "ba" {
			t.Errorf("port %d: %q", p, got)
		}
	}
	r.apply()
	lab.Eventually(t, patience, "the port is closed", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
}

// ask asks what serves a TCP port, on a connection of its own.
func ask(port uint16) string {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(answer.Body)
	return string(body)
}

// TestBusyPort gives a service a port that another program holds: that port alone is
// refused, HAProxy goes on.
func TestBusyPort(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	port := busy.Addr().(*net.TCPAddr).Port
	r := startedRig(t)
	result := r.apply(web(t, "web", "web", "haproxy", fmt.Sprintf("haproxy_tcp=%d", port)))
	if code, _ := r.get("web.service.consul", "/"); code != 200 {
		t.Errorf("the service answers %d", code)
	}
	if len(result.Findings) != 1 || !strings.Contains(result.Findings[0].Message, "another program on this host") {
		t.Errorf("findings: %v", result.Findings)
	}
}

// count sends requests for a host on one connection and counts who answers.
func (r *rig) count(host string, n int) map[string]int {
	r.t.Helper()
	got := map[string]int{}
	client := http.Client{}
	defer client.CloseIdleConnections()
	for range n {
		request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url("/"), nil)
		if err != nil {
			r.t.Fatal(err)
		}
		request.Host = host
		answer, err := client.Do(request)
		if err != nil {
			r.t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		_ = answer.Body.Close()
		got[string(body)]++
	}
	return got
}

// TestWithoutReload changes servers of a running HAProxy in every way that needs no
// reload.
func TestWithoutReload(t *testing.T) {
	t.Parallel()
	a, b, c := web(t, "web", "a", "haproxy"), web(t, "web", "b", "haproxy"), web(t, "web", "c", "haproxy")
	r := startedRig(t, a)
	pid := r.pid()
	// Shares are exact over full rounds; a change in the middle of one shifts a few.
	expect := func(want map[string]int) {
		t.Helper()
		counts := r.count("web.service.consul", 120)
		for _, id := range []string{"a", "b", "c", ""} {
			if n := counts[id]; n < want[id]-3 || n > want[id]+3 {
				t.Errorf("%v, not %v", counts, want)
			}
		}
	}
	expect(map[string]int{"a": 120})
	r.apply(a, b)
	expect(map[string]int{"a": 60, "b": 60})
	r.apply(a, b, c)
	expect(map[string]int{"a": 40, "b": 40, "c": 40})
	r.apply(with(a, "haproxy", "weight=50"), b) // c drains, a is re-weighted
	expect(map[string]int{"a": 40, "b": 80})
	r.apply(a, with(b, "haproxy", "weight=0"), c)
	expect(map[string]int{"a": 60, "c": 60})
	r.apply(a, b)
	expect(map[string]int{"a": 60, "b": 60})

	s := snapshotOf(a, b)
	s.Maxconn = map[string]string{"web/maxconn": "7"}
	r.applySnapshot(s)
	if servers, err := r.runtime().servers(); err != nil || len(servers["backend_web"]) != 2 {
		t.Errorf("servers: %v, %v", servers, err)
	} else {
		for name, server := range servers["backend_web"] {
			if server.maxconn != 7 {
				t.Errorf("%s has maxconn %d", name, server.maxconn)
			}
		}
	}
	r.apply(with(a, "haproxy", "haproxy_route=/x"))
	if code, body := r.get("any", "/x/y"); code != 200 || body != "a" {
		t.Errorf("the new route: %d %s", code, body)
	}
	r.apply()
	if code, body := r.get("web.service.consul", "/"); code != 503 || !strings.Contains(body, "No such service") {
		t.Errorf("after the last instance left: %d %s", code, body)
	}
	r.apply(b)
	expect(map[string]int{"b": 120})
	if n := r.reloads.Load(); n != 0 {
		t.Errorf("%d reloads", n)
	}
	if r.pid() != pid {
		t.Error("HAProxy started anew")
	}
	if result := r.apply(b); result.Changed || result.Reloaded || result.Changes != 0 {
		t.Errorf("the same snapshot again: %+v", result)
	}
	// What the runtime API did is in the files as well.
	r.haproxy.Kill()
	r.startHAProxy()
	expect(map[string]int{"b": 120})
}

// pid is that of HAProxy's worker.
func (r *rig) pid() string {
	r.t.Helper()
	info, err := r.runtime().ask("show info")
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "\nPid: ")
	pid, _, _ := strings.Cut(rest, "\n")
	return pid
}

// TestBrokenSnapshots leave everything as it was, and say why.
func TestBrokenSnapshots(t *testing.T) {
	t.Parallel()
	r := startedRig(t, web(t, "web", "web", "haproxy"))
	before, err := os.ReadFile(filepath.Join(r.StateDir, haproxy.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", " \n", "{", "null", "[]", `{"instances": null}`, `{"datacenters": [], "instances": "x"}`, "\x00"} {
		if _, err := r.Apply(t.Context(), []byte(text)); err == nil {
			t.Errorf("%q was applied", text)
		}
		if report, _, err := ReadReport(r.RunDir); err != nil || report.Refused == "" || len(report.Backends) != 1 {
			t.Errorf("%q: report %+v, %v", text, report, err)
		}
	}
	if code, _ := r.get("web.service.consul", "/"); code != 200 {
		t.Errorf("the service answers %d", code)
	}
	if after, _ := os.ReadFile(filepath.Join(r.StateDir, haproxy.ConfigFile)); string(after) != string(before) {
		t.Error("the configuration changed")
	}
}

// TestRefusedConfigurations are those that HAProxy does not take, by its check or when
// it starts: the last good one stays, in place and running, and the next snapshot is
// served again.
func TestRefusedConfigurations(t *testing.T) {
	t.Parallel()
	a, b := web(t, "web", "a", "haproxy"), web(t, "other", "b", "haproxy")
	r := startedRig(t, a)
	good, err := os.ReadFile(filepath.Join(r.StateDir, haproxy.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(snapshotOf(a, b))
	if err != nil {
		t.Fatal(err)
	}
	options := r.Options
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for name, breakIt := range map[string]func(){
		"check": func() { r.Options.User = "no such user" },
		"start": func() { r.Options.StatsPort = uint16(taken.Addr().(*net.TCPAddr).Port) },
	} {
		breakIt()
		r.reloads.Store(0)
		_, err := r.Apply(t.Context(), text)
		if err == nil {
			t.Fatalf("%s: applied", name)
		}
		if said := "did not start with the new configuration"; name == "start" && !strings.Contains(err.Error(), said) { // the master tells, and nobody waits in vain
			t.Errorf("%s: %v, and not that HAProxy %s", name, err, said)
		}
		if asked, want := r.reloads.Load(), map[string]int32{"check": 0, "start": 1}[name]; asked != want {
			t.Errorf("%s: HAProxy was asked to reload %d times, not %d", name, asked, want)
		}
		r.Options = options
		if now, _ := os.ReadFile(filepath.Join(r.StateDir, haproxy.ConfigFile)); string(now) != string(good) {
			t.Errorf("%s: the last good configuration is gone", name)
		}
		if code, _ := r.get("web.service.consul", "/"); code != 200 {
			t.Errorf("%s: the service answers %d", name, code)
		}
	}
	_ = taken.Close()
	r.apply(a, b)
	if code, body := r.get("other.service.consul", "/"); code != 200 || body != "b" {
		t.Errorf("afterwards: %d %s", code, body)
	}
}

// TestStoppedMeanwhile: where HAProxy ends while a snapshot is applied, before it reloads or
// right after it was asked to, that is soon over, and the configuration is for its next start.
func TestStoppedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, asked := range []bool{false, true} {
		a := web(t, "web", "a", "haproxy")
		r := startedRig(t, a)
		reloader := r.Reloader
		var stopped time.Time
		r.Reloader = ReloadFunc(func(ctx ctxType) (err error) {
			if asked {
				err = reloader.Reload(ctx)
				r.haproxy.Kill() // a signal to stop could get lost now
			} else {
				r.haproxy.Stop(t)
				err = reloader.Reload(ctx)
			}
			stopped = time.Now()
			return err
		})
		if result := r.apply(a, web(t, "new", "new", "haproxy")); result.Running {
			t.Errorf("%+v", result)
		}
		if took := time.Since(stopped); took > defaultPatience/2 {
			t.Errorf("asked %t: it took %v to see that HAProxy is gone", asked, took)
		}
		r.startHAProxy()
		if code, body := r.get("new.service.consul", "/"); code != 200 || body != "new" {
			t.Errorf("the new service: %d %s", code, body)
		}
	}
}

// TestNewcomerTakesNothing: of two services with one route and one port who has them keeps
// them, whatever the newcomer is called, until it leaves.
func TestNewcomerTakesNothing(t *testing.T) {
	t.Parallel()
	port := servicePort(t)
	tags := []string{"haproxy", "haproxy_route=/minions", fmt.Sprintf("haproxy_tcp=%d", port)}
	zebra, ant := web(t, "zebra", "zebra", tags...), web(t, "ant", "ant", tags...)
	r := startedRig(t, zebra)
	serves := func(want string) {
		t.Helper()
		if _, body := r.get("any.host", "/minions/x"); body != want {
			t.Errorf("the route leads to %q, not %q", body, want)
		}
		if got := ask(port); got != want {
			t.Errorf("the port leads to %q, not %q", got, want)
		}
	}
	serves("zebra")
	result := r.apply(ant, zebra)
	serves("zebra")
	if _, body := r.get("ant.service.consul", "/"); body != "ant" {
		t.Errorf("the newcomer's own name leads to %q", body)
	}
	if len(result.Findings) != 4 { // both are told, of the route and of the port
		t.Errorf("findings: %v", result.Findings)
	}
	r.apply(ant)
	lab.Eventually(t, patience, "the newcomer's turn", func() bool { return ask(port) == "ant" })
	serves("ant")
	r.apply(ant, zebra)
	serves("ant")
}

// TestLongRequestsSurviveReloads: a request that is being answered, and one that is being
// sent, end well after reloads.
func TestLongRequestsSurviveReloads(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	arrived := make(chan struct{}, 2)
	slow := serve(t, "web", "slow", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, "begun ")
			_ = http.NewResponseController(w).Flush()
		}
		arrived <- struct{}{}
		<-release
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "ended %d", len(body))
	}), "haproxy")
	r := startedRig(t, slow)
	sent, more := io.Pipe()
	answers := make(chan string, 2)
	for _, body := range []io.Reader{nil, sent} {
		method := http.MethodGet
		if body != nil {
			method = http.MethodPost
		}
		request, err := http.NewRequestWithContext(t.Context(), method, r.url("/"), body)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "web.service.consul"
		go func() {
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer func() { _ = answer.Body.Close() }()
			text, err := io.ReadAll(answer.Body)
			answers <- fmt.Sprint(string(text), err)
		}()
	}
	if _, err := io.WriteString(more, "half,"); err != nil {
		t.Fatal(err)
	}
	<-arrived
	<-arrived
	for i := range 3 {
		other := *slow
		other.Service = fmt.Sprint("other", i)
		if result := r.apply(slow, &other); !result.Reloaded {
			t.Fatal("no reload")
		}
	}
	if _, err := io.WriteString(more, "whole"); err != nil {
		t.Fatal(err)
	}
	_ = more.Close()
	close(release)
	got := map[string]bool{<-answers: true, <-answers: true}
	if !got["begun ended 0<nil>"] || !got["ended 10<nil>"] {
		t.Errorf("%v", got)
	}
}
