package test

import (
	"encoding/csv"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
	"panteras/launcher"
)

// ownResolver makes a host ask its own DNS server for names, as the pages say.
const ownResolver = "nameserver 127.0.0.1\n"

// readExamples looks at what a console will build, or a cached result of a test would
// outlive a change of it.
func readExamples(t *testing.T) {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(lab.Root(t), "examples", "*", "*"))
	for i := 0; err == nil && i < len(sources); i++ {
		_, err = os.ReadFile(sources[i])
	}
	if err != nil || len(sources) == 0 {
		t.Fatalf("cannot read the examples: %v", err)
	}
}

// goEnv makes `go build` work in a console as everywhere.
func goEnv(env ...string) []string {
	return append(append(os.Environ(), env...), "PATH="+os.Getenv("PATH"), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
}

// TestExamplesInPages runs the commands of the pages that tell how to use the load
// balancer as they are printed, on a host that `make up` brings up, in a copy of this
// module's folder.
func TestExamplesInPages(t *testing.T) {
	t.Parallel()
	readExamples(t)
	ownNetwork(t)
	addAddress(t, "net0", "10.7.0.1/24")
	ownResolvConf(t, ownResolver)
	h := newHost(t, "10.7.0.1", "HAPROXY_ADD_DOMAIN=.my.own.domain.com")
	folder := copyOfModule(t)
	env := goEnv(h.env...)
	network := networkOf(t)
	makeTarget := func(target string) string {
		t.Helper()
		cmd := exec.Command("make", target)
		cmd.Dir, cmd.Env = folder, env
		p := lab.Start(t, cmd)
		if code := p.Wait(t, manyTime); code != 0 {
			t.Fatalf("make %s ends with %d: %s%s", target, code, p.Stdout(), p.Stderr())
		}
		return p.Stdout()
	}
	t.Cleanup(func() {
		makeTarget("down")
		lab.Eventually(t, readyTime, "that make down leaves no process", func() bool { return len(inNetwork(network)) == 0 })
	})
	if told := makeTarget("up"); !strings.Contains(told, "It runs.") {
		t.Errorf("make up says %s", told)
	}
	lab.Eventually(t, readyTime, "HAProxy is ready", func() bool { return h.status()["haproxy"].State == launcher.StateReady })
	c := newConsole(t, folder, env)
	for _, page := range []string{"README.md", "docs/balancer.md"} {
		c.follow(commandsIn(t, page))
	}
	lab.Eventually(t, readyTime, "nothing to be left in HAProxy", func() bool {
		output := h.must(t, "haproxy", "report")
		return !strings.Contains(output, "webapp") && !strings.Contains(output, "my_")
	})
}

// copyOfModule is a folder with what is in this module's, in which something may be
// changed and built.
func copyOfModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "panteras")
	for _, sub := range []string{"changes", "work", "panteras"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lab.Root(t), filepath.Join(dir, "changes"), filepath.Join(dir, "work"))
	if err := unix.Mount("overlay", folder, "overlay", 0, layers); err != nil {
		t.Fatalf("cannot mount an overlay of %s: %v", lab.Root(t), err)
	}
	t.Cleanup(func() {
		for _, mounted := range []string{folder, dir} {
			if err := unix.Unmount(mounted, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	})
	return folder
}

// TestRollingDeployment follows the page of smooth-webapp while clients ask without
// pause: nothing is lost, and nothing has to be tried again.
func TestRollingDeployment(t *testing.T) {
	t.Parallel()
	readExamples(t)
	ownNetwork(t)
	addAddress(t, "net0", "10.7.0.1/24")
	ownResolvConf(t, ownResolver)
	h := newHost(t, "10.7.0.1", append(only("consul", "consul-template", "dns"), "REGISTER_CONSUL_UI=false")...)
	h.up(t)
	h.ready(t, "consul", "consul-template", "haproxy", "dns")
	c := newConsole(t, lab.Root(t), goEnv(h.env...))
	commands := commandsIn(t, "examples/smooth-webapp/README.md")
	begin := slices.IndexFunc(commands, func(p printed) bool { return p.output != "" }) + 1
	end := slices.IndexFunc(commands, func(p printed) bool { return strings.Contains(p.command, "deregister") })
	c.follow(commands[:begin])
	clients, stop := newConsole(t, lab.Root(t), goEnv(h.env...)), filepath.Join(t.TempDir(), "stop")
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
		output := h.must(t, "haproxy", "report")
		return !strings.Contains(output, "webapp")
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
