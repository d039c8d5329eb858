package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
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

// askHAProxy sends a command to one of HAProxy's sockets, admin.sock or master.sock. A
// process that is about to end may take it and say nothing; then it is sent again.
func (h *upHost) askHAProxy(t *testing.T, socket, command string) (answer string) {
	t.Helper()
	lab.Eventually(t, readyTime, "HAProxy to answer "+command, func() bool {
		conn, err := net.Dial("unix", h.path("run", "haproxy", socket))
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		fmt.Fprintln(conn, command)
		_ = conn.(*net.UnixConn).CloseWrite()
		text, err := io.ReadAll(conn)
		answer = string(text)
		return err == nil && strings.TrimSpace(answer) != ""
	})
	return answer
}

// worker is the pid of the process of HAProxy that does the work: each reload makes
// another one.
func (h *upHost) worker(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(h.askHAProxy(t, "admin.sock", "show info")) {
		if pid, ok := strings.CutPrefix(line, "Pid: "); ok {
			return strings.TrimSpace(pid)
		}
	}
	t.Fatal("HAProxy does not tell its pid")
	return ""
}

// reloads is how often HAProxy's master was reloaded, by what it says itself, and how
// often the launcher did it.
func (h *upHost) reloads(t *testing.T) (all, byLauncher int) {
	t.Helper()
	for line := range strings.Lines(h.askHAProxy(t, "master.sock", "show proc")) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "master" {
			n, err := strconv.Atoi(f[2])
			if err != nil {
				t.Fatalf("HAProxy does not tell how often it was reloaded: %s", line)
			}
			return n, strings.Count(h.Stderr(), `msg="daemon reads its files anew" daemon=haproxy`)
		}
	}
	t.Fatal("HAProxy does not tell of its master")
	return 0, 0
}

// TestUpBalances registers services in Consul on a host that `panteras up` runs: they are
// served, with a reload by the launcher only where one is needed, whatever is killed.
func TestUpBalances(t *testing.T) {
	t.Parallel()
	h := oneHost(t, append(only("consul", "consul-template"), "HAPROXY_ADD_DOMAIN=.my.own.domain.com", "REGISTER_CONSUL_UI=false")...)
	smallDisk(t, h.path("state", "haproxy"))
	h.up(t)
	h.ready(t, "consul", "consul-template", "haproxy")
	register := func(service string, port int, tags ...string) {
		t.Helper()
		id := fmt.Sprint(service, "-", port)
		body := jsonOf(t, map[string]any{"ID": id, "Name": service, "Address": "10.7.0.1", "Port": port, "Tags": append(tags, "haproxy")})
		lab.Eventually(t, readyTime, "Consul takes "+id, func() bool { return httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/register", body) == "" })
	}
	deregister := func(service string, port int) {
		t.Helper()
		if answer := httpDo("PUT", "10.7.0.1:8500", fmt.Sprintf("/v1/agent/service/deregister/%s-%d", service, port), ""); answer != "" {
			t.Errorf("Consul does not let go of %s: %s", service, answer)
		}
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
	reloaded := func(what string, want int) {
		t.Helper()
		if all, byLauncher := h.reloads(t); all != want || byLauncher != want {
			t.Errorf("%s: HAProxy was reloaded %d times, by the launcher %d, and not %d", what, all, byLauncher, want)
		}
	}
	register("web", 31001, "haproxy_route=/minions", "haproxy_route=/$(id)")
	serves("a new service", "web.service.consul", "/", "one")
	serves("its other name", "WEB.my.own.domain.com:80", "/", "one")
	serves("its route", "any.host", "/minions/x", "one")
	second := h.worker(t)
	if second == first {
		t.Error("a new service was served without a reload")
	}
	reloaded("after a new service", 1)
	register("web", 31002)
	serves("a second instance", "web.service.dc1.consul", "/", "one", "two")
	register("web", 31001) // without its route
	serves("a changed tag", "any.host", "/minions/x", "503")
	ends := longRequests(t, 2) // one to each
	deregister("web", 31002)
	serves("the second instance leaves", "web.service.consul", "/", "one")
	if got := h.maintenance(t); got != 1 {
		t.Errorf("%d servers are left because of requests, not one", got)
	}
	ends("one", "two")
	register("web", 31001, "weight=50") // whatever comes next
	lab.Eventually(t, readyTime, "the server to go that had a request", func() bool { return h.maintenance(t) == 0 })
	if got := h.worker(t); got != second {
		t.Error("instances that come and go made HAProxy reload")
	}
	reloaded("after instances that came and went", 1)

	// An instance that fails leaves while another service changes all the time; so does
	// the last one. A request and a WebSocket live on while the launcher reloads.
	ends = longRequests(t, 1)
	say := webSocket(t)
	say("before")
	register("third", 31004)
	serves("another service", "third.service.consul", "/", "third")
	reloaded("after another service", 2)
	say("after")
	ends("one")
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
	httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/deregister/third-31003", "") // if it is there
	deregister("third", 31004)
	deregister("web", 31002)
	deregister("web", 31001)

	// The status tells what is served, and what is not.
	register("web", 31001, "haproxy_route=/$(id)")
	var status struct{ Balancer haproxy.Report }
	lab.Eventually(t, readyTime, "a finding in the status", func() bool {
		return json.Unmarshal([]byte(h.must(t, "status", "--json")), &status) == nil && len(status.Balancer.Findings) == 1
	})
	if text := h.must(t, "status"); !strings.Contains(text, "load balancer: 1 services with 1 instances, applied ") || !strings.Contains(text, "web: ") {
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

	// So it does of what strangers register, all at once; nothing of theirs has an effect.
	hostileTags(t, h, func() { serves("beside hostile tags", "web.service.consul", "/", "one") })

	// What was refused for a reason that passes is served without another change.
	for i, in := range []struct {
		what string
		way  func(*testing.T, *upHost) (away func())
		says string
	}{
		{"a disk that is full", fullDisk, "no space left on device"},
		{"a HAProxy that takes no configuration", refusingHAProxy, "HAProxy does not take the configuration"},
	} {
		port, late := 31011+i, fmt.Sprint("late-", i)
		webServer(t, fmt.Sprint("10.7.0.1:", port), "late")
		away := in.way(t, h)
		register(late, port)
		lab.Eventually(t, readyTime, in.what+" to be told of", func() bool {
			text := strings.Join(strings.Fields(h.must(t, "status")), " ")
			return strings.Contains(text, "was refused, and is tried again") && strings.Contains(text, in.says)
		})
		serves("beside "+in.what, "web.service.consul", "/", "one")
		serves("beside "+in.what, late+".service.consul", "/", "503")
		away()
		serves("after "+in.what, late+".service.consul", "/", "late")
		lab.Eventually(t, readyTime, in.what+" to be no more", func() bool { return !strings.Contains(h.must(t, "status"), "refused") })
		deregister(late, port)
		serves("after "+in.what, late+".service.consul", "/", "503")
	}

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
	if all, byLauncher := h.reloads(t); all != byLauncher {
		t.Errorf("HAProxy was reloaded %d times, by the launcher %d", all, byLauncher)
	}
	if text := h.must(t, "logs", "-n", "10000", "consul-template"); strings.Contains(text, "the launcher does not reload HAProxy") || !strings.Contains(text, "HAProxy was reloaded") {
		t.Errorf("the log of what was applied: %s", text)
	}

	// What changes while HAProxy is stopped is served when it runs, and not pending then.
	stoppedHAProxy(t, h, func() { register("late", 31003) }, func() { serves("after a stop", "late.service.consul", "/", "other") })

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
