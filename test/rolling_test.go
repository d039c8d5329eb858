package test

import (
	"encoding/csv"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// rollingDeployment follows the page of smooth-webapp, where `make up` runs, while clients
// ask without pause: nothing is lost, and nothing has to be tried again.
func rollingDeployment(t *testing.T, h *typedHost) {
	t.Helper()
	var c, clients *console
	h.do(t, func() { c, clients = newConsole(t, h.env, lab.Root(t)), newConsole(t, h.env, lab.Root(t)) })
	var commands []printed
	for _, b := range readPage(t, smoothPage).consoles() {
		commands = append(commands, b.commands(t)...)
	}
	begin := slices.IndexFunc(commands, func(p printed) bool { return p.output != "" }) + 1
	end := slices.IndexFunc(commands, func(p printed) bool { return strings.Contains(p.command, "deregister") })
	c.follow(commands[:begin])
	stop := filepath.Join(t.TempDir(), "stop")
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
	var seen map[string]int
	h.do(t, func() { seen = backendStats(t, "/run/panteras/haproxy/admin.sock", "backend_smooth-webapp") })
	if n := len(answers()); seen["stot"] < n { // it reloaded, and began to count anew
		t.Errorf("HAProxy counted %d requests of %d", seen["stot"], n)
	}
	for counter, what := range map[string]string{"econ": "connections failed", "eresp": "answers failed", "wretr": "connections were tried again", "wredis": "requests were sent to another instance"} {
		if n := seen[counter]; n != 0 {
			t.Errorf("during the rolling deployment %d %s", n, what)
		}
	}
	c.follow(commands[end:])
	lab.Eventually(t, readyTime, "nothing to be left in HAProxy", func() bool {
		output, code := c.run("bin/panteras haproxy report")
		return code == 0 && !strings.Contains(output, "webapp")
	})
}

// backendStats are HAProxy's counters of a backend since its last reload, by the names
// of its documentation (management guide, 9.1).
func backendStats(t *testing.T, socket, backend string) map[string]int {
	t.Helper()
	conn, err := net.Dial("unix", socket)
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
