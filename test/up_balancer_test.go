package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
	"panteras/launcher"
)

// fetch asks the HAProxy of a host for a service by its name.
func fetch(host, path string) string {
	conn, err := net.DialTimeout("tcp", "10.7.0.1:80", patience)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body := make([]byte, 100)
	n, _ := answer.Body.Read(body)
	if answer.StatusCode != http.StatusOK {
		return fmt.Sprint(answer.StatusCode)
	}
	return string(body[:n])
}

// worker is the pid of the process of HAProxy that does the work: each reload makes
// another one.
func (h *upHost) worker(t *testing.T) string {
	t.Helper()
	conn, err := net.Dial("unix", h.path("run", "haproxy", "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "show info\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if pid, ok := strings.CutPrefix(lines.Text(), "Pid: "); ok {
			return pid
		}
	}
	t.Fatal("HAProxy does not tell its pid")
	return ""
}

// TestUpBalances registers services in Consul on a host that `panteras up` runs: they are
// served, with a reload by the launcher only where one is needed, whatever is killed.
func TestUpBalances(t *testing.T) {
	t.Parallel()
	h := oneHost(t, append(only("consul", "consul-template"), "HAPROXY_ADD_DOMAIN=.my.own.domain.com", "REGISTER_CONSUL_UI=false")...)
	h.up(t)
	h.ready(t, "consul", "consul-template", "haproxy")
	register := func(service string, port int, tags ...string) {
		t.Helper()
		id := fmt.Sprint(service, "-", port)
		body := jsonOf(t, map[string]any{"ID": id, "Name": service, "Address": "10.7.0.1", "Port": port, "Tags": append(tags, "haproxy")})
		lab.Eventually(t, readyTime, "Consul takes "+id, func() bool { return httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/register", body) == "" })
	}
	serves := func(what, host, path string, want ...string) {
		t.Helper()
		lab.Eventually(t, readyTime, fmt.Sprint(what, ": ", host, path, " is served by ", want), func() bool {
			got := map[string]bool{}
			for range 2 * len(want) {
				got[fetch(host, path)] = true
			}
			for _, w := range want {
				if !got[w] {
					return false
				}
			}
			return len(got) == len(want)
		})
	}
	for port, text := range map[int]string{31001: "one", 31002: "two", 31003: "other", 31004: "third"} {
		webServer(t, fmt.Sprint("10.7.0.1:", port), text)
	}
	master := h.status()["haproxy"].Pid
	first := h.worker(t)
	register("web", 31001, "haproxy_route=/minions", "haproxy_route=/$(id)")
	serves("a new service", "web.service.consul", "/", "one")
	serves("its other name", "WEB.my.own.domain.com:80", "/", "one")
	serves("its route", "any.host", "/minions/x", "one")
	second := h.worker(t)
	if second == first {
		t.Error("a new service was served without a reload")
	}
	register("web", 31002)
	serves("a second instance", "web.service.dc1.consul", "/", "one", "two")
	register("web", 31001) // without its route
	serves("a changed tag", "any.host", "/minions/x", "503")
	httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/deregister/web-31002", "")
	serves("the second instance leaves", "web.service.consul", "/", "one")
	if got := h.worker(t); got != second {
		t.Error("instances that come and go made HAProxy reload")
	}

	// An instance that fails leaves while another service changes all the time; so does
	// the last one.
	register("third", 31004)
	for _, port := range []int{31001, 31002} {
		body := jsonOf(t, map[string]any{
			"ID": fmt.Sprint("web-", port), "Name": "web", "Address": "10.7.0.1", "Port": port, "Tags": []string{"haproxy"},
			"Check": map[string]any{"TTL": "1h", "Status": "passing"},
		})
		httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/register", body)
	}
	serves("with checks", "web.service.consul", "/", "one", "two")
	// Within 3 s on a machine that does nothing else; half of it is for what needs a
	// processor.
	good := false
	leaves := func(port int, text, rest string) {
		t.Helper()
		httpDo("PUT", "10.7.0.1:8500", fmt.Sprint("/v1/agent/check/fail/service:web-", port), "")
		began, churned, last := time.Now(), 0, time.Duration(0)
		for gone := 0; gone < 10; churned++ {
			if churned%2 == 0 {
				register("third", 31003)
			} else {
				httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/deregister/third-31003", "")
			}
			switch got := fetch("web.service.consul", "/"); {
			case got == text:
				gone, last = 0, time.Since(began)
			case got == rest:
				gone++
			}
			if time.Since(began) > patience {
				t.Fatalf("%s is still served", text)
			}
		}
		slowdown := lab.Slowdown(t)
		t.Logf("a failing instance served for %v after its check, while there were %d changes, on a machine on which everything takes %.1f times as long", last, churned, slowdown)
		good = good || last.Seconds() <= 1.5+1.5*slowdown
	}
	for try := 0; try < 3 && !good; try++ {
		if try > 0 { // something else was in its way
			httpDo("PUT", "10.7.0.1:8500", "/v1/agent/check/pass/service:web-31001", "")
			serves("again", "web.service.consul", "/", "one", "two")
		}
		leaves(31001, "one", "two")
	}
	leaves(31002, "two", "503")
	if !good {
		t.Error("a failing instance was never gone within 3 s after its check")
	}
	httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/deregister/third-31003", "")
	httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/deregister/third-31004", "")
	httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/deregister/web-31002", "")
	httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/deregister/web-31001", "")

	// The status tells what is served, and what is not.
	register("web", 31001, "haproxy_route=/$(id)")
	var status struct{ Balancer haproxy.Report }
	lab.Eventually(t, readyTime, "a finding in the status", func() bool {
		return json.Unmarshal([]byte(h.must(t, "status", "--json")), &status) == nil && len(status.Balancer.Findings) == 1
	})
	if text := h.must(t, "status"); !strings.Contains(text, "load balancer: 1 services with 1 instances") || !strings.Contains(text, "web: ") {
		t.Errorf("the status: %s", text)
	}

	// An instance of a host that has lost power, of which Consul does not know yet: nothing
	// comes back from there, and whoever would have got it gets the other one.
	nobodyAt(t, "net0", "10.7.0.2")
	body := jsonOf(t, map[string]any{"ID": "web-lost", "Name": "web", "Address": "10.7.0.2", "Port": 31001, "Tags": []string{"haproxy"}})
	httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/register", body)
	lab.Eventually(t, readyTime, "HAProxy has the instance that is lost", func() bool {
		return json.Unmarshal([]byte(h.must(t, "status", "--json")), &status) == nil && len(status.Balancer.Backends) == 1 && len(status.Balancer.Backends[0].Servers) == 2
	})
	for range 4 { // in turn
		began := time.Now()
		got := fetch("web.service.consul", "/")
		took := time.Since(began)
		if t.Logf("beside an instance that is lost, HAProxy answers %q after %v", got, took); got != "one" || took >= 5*time.Second {
			t.Errorf("beside an instance that is lost, HAProxy answers %q after %v", got, took)
		}
	}
	httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/deregister/web-lost", "")

	// consul-template is killed: what changes meanwhile is served when it is back.
	template := h.status()["consul-template"].Pid
	h.kill(t, template)
	register("other", 31003)
	serves("while consul-template starts", "web.service.consul", "/", "one")
	h.is(t, "consul-template", "back", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != template })
	serves("what came meanwhile", "other.service.consul", "/", "other")

	// A snapshot that is broken keeps the last good configuration, and the status says so.
	broken := h.path("broken.json")
	put(t, broken, `{"instances": [`)
	if output, code := h.run(t, "haproxy", "apply", broken); code == 0 || !strings.Contains(output, "not whole") {
		t.Errorf("a broken snapshot: exit code %d, %s", code, output)
	}
	if output := h.must(t, "haproxy", "apply", "--lenient", broken); !strings.Contains(output, "the snapshot has no effect") { // as consul-template does, which would end
		t.Errorf("a broken snapshot, leniently: %s", output)
	}
	if text := h.must(t, "status"); !strings.Contains(text, "the last snapshot was refused") {
		t.Errorf("the status does not tell of the broken snapshot: %s", text)
	}
	serves("after a broken snapshot", "other.service.consul", "/", "other")
	before := h.worker(t)
	register("third", 31004)
	serves("after a broken snapshot", "third.service.consul", "/", "third")
	if h.worker(t) == before {
		t.Error("the new service came without a reload")
	}

	// So does a Consul that restarts, and one that is gone.
	consul := h.status()["consul"].Pid
	h.kill(t, consul)
	serves("while Consul is away", "web.service.consul", "/", "one")
	h.is(t, "consul", "back", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != consul })
	register("web", 31002)
	serves("after Consul's restart", "web.service.consul", "/", "one", "two")
	if got := h.status()["haproxy"]; got.Pid != master || got.Restarts != 0 {
		t.Errorf("HAProxy was %d and is %+v", master, got)
	}

	// The whole host starts anew, without Consul: what was served last is.
	if code := h.Stop(t); code != 0 {
		t.Errorf("stopped with exit code %d", code)
	}
	if err := os.RemoveAll(h.path("run")); err != nil { // as a boot does
		t.Fatal(err)
	}
	h.env = append(h.env, "START_CONSUL=false")
	h.up(t)
	h.state(t, "haproxy", launcher.StateReady)
	serves("without Consul", "web.service.consul", "/", "one", "two")
	serves("without Consul", "third.service.consul", "/", "third")
}
