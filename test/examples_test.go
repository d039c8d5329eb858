package test

import (
	"encoding/csv"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// exampleHost is a host as `make up` brings it up, that asks its own DNS server for
// names, as the README says.
func exampleHost(t *testing.T) *upHost {
	t.Helper()
	ownMounts(t)
	resolvConf := filepath.Join(t.TempDir(), "resolv.conf")
	put(t, resolvConf, "nameserver 127.0.0.1\n")
	if err := unix.Mount(resolvConf, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("cannot mount over /etc/resolv.conf: %v", err)
	}
	h := oneHost(t, append(only("consul", "consul-template", "dns"), "HAPROXY_ADD_DOMAIN=.my.own.domain.com")...)
	h.up(t)
	h.ready(t, "consul", "consul-template", "haproxy", "dns")
	return h
}

// console is a shell on the host, where `go build` works as everywhere.
func (h *upHost) console(t *testing.T) *console {
	t.Helper()
	// What will be built is looked at here, or a cached result would outlive a change of it.
	sources, err := filepath.Glob(filepath.Join(lab.Root(t), "examples", "*", "*"))
	for i := 0; err == nil && i < len(sources); i++ {
		_, err = os.ReadFile(sources[i])
	}
	if err != nil || len(sources) == 0 {
		t.Fatalf("cannot read the examples: %v", err)
	}
	env := append(os.Environ(), h.env...)
	return newConsole(t, append(env, "PATH="+os.Getenv("PATH"), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false"))
}

// TestExamplesInPages runs the commands of the pages that tell how to use the load
// balancer, as they are printed; the rolling deployment of smooth-webapp loses nothing.
func TestExamplesInPages(t *testing.T) {
	t.Parallel()
	h := exampleHost(t)
	c := h.console(t)
	for _, page := range []string{"README.md", "docs/balancer.md"} {
		c.follow(commandsIn(t, page))
	}

	// The rolling deployment, under load.
	commands := commandsIn(t, "examples/smooth-webapp/README.md")
	begin := slices.IndexFunc(commands, func(p printed) bool { return p.output != "" }) + 1
	end := slices.IndexFunc(commands, func(p printed) bool { return strings.Contains(p.command, "deregister") })
	c.follow(commands[:begin])
	clients, stop := h.console(t), filepath.Join(t.TempDir(), "stop")
	clients.run(`load() { until [ -e ` + stop + ` ]; do curl -s -o /dev/null -w '%{http_code}\n' -H 'Host: smooth-webapp.service.consul' "$@" 'http://127.0.0.1/?[1-50]' >> ` + stop + `.codes || echo lost >> ` + stop + `.codes; done; }`)
	clients.run(`load & load -H 'Connection: close' & load -d x &`)
	answers := func() []string { return strings.Fields(readAll(stop + ".codes")) }
	for _, p := range commands[begin:end] {
		c.follow([]printed{p})
		if strings.Contains(p.command, "wait") { // the next instance does not start at the same moment
			enough := len(answers()) + 600
			lab.Eventually(t, readyTime, "more requests while an instance is gone", func() bool { return len(answers()) > enough })
		}
	}
	put(t, stop, "")
	clients.run("wait")
	codes := map[string]int{}
	for _, code := range answers() {
		codes[code]++
	}
	if len(codes) != 1 || codes["200"] == 0 {
		t.Errorf("during the rolling deployment there were these answers: %v", codes)
	}
	t.Logf("answers during the rolling deployment: %v", codes)
	// HAProxy tries others when an instance is gone without a word, so answers alone do not
	// tell of the drain: no request may ever have met a closed port or connection.
	seen := h.backendStats(t, "backend_smooth-webapp")
	if seen["stot"] == 0 {
		t.Error("HAProxy counted no request to smooth-webapp")
	}
	for counter, what := range map[string]string{"econ": "connections failed", "eresp": "answers failed", "wretr": "connections were tried again", "wredis": "requests were sent to another instance"} {
		if n := seen[counter]; n != 0 {
			t.Errorf("during the rolling deployment %d %s", n, what)
		}
	}
	c.follow(commands[end:])
	lab.Eventually(t, readyTime, "nothing to be left in HAProxy", func() bool {
		output := h.must(t, "haproxy", "report")
		return !strings.Contains(output, "webapp") && !strings.Contains(output, "my_")
	})
}

// backendStats are HAProxy's counters of a backend since its last reload, by the names
// of its documentation (management guide, 9.1).
func (h *upHost) backendStats(t *testing.T, backend string) map[string]int {
	t.Helper()
	conn, err := net.Dial("unix", h.path("run", "haproxy", "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "show stat %s 2 -1\n", backend)
	rows, err := csv.NewReader(conn).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("show stat: %d rows, %v", len(rows), err)
	}
	counters := map[string]int{}
	for i, name := range rows[0] {
		if n, err := strconv.Atoi(rows[1][i]); err == nil {
			counters[name] = n
		}
	}
	return counters
}
