package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/internal/statefile"
	"panteras/tunnel"
)

// python is the service that the visitor uses.
const python = "python.service.consul"

// TestOperations is the cluster of docs/operations.md, from its files of settings to a page
// at a laptop, and what happens to it: hosts are lost, the network is split, the program is
// upgraded. What somebody at the laptop notices is logged as the page has it.
func TestOperations(t *testing.T) {
	o := newOperated(t)
	l := &logbook{o: o, files: t.TempDir()}
	l.bringUp(t)
	for _, event := range []struct {
		name string
		test func(*testing.T, *logbook)
	}{
		{"master lost", testMasterLost},
		{"leader lost", testLeaderLost},
		{"slave lost", testSlaveLost},
		{"gateway lost", testGatewayLost},
		{"network split", testNetworkSplit},
		{"rolling upgrade", testRollingUpgrade},
		{"commands of the page", testCommandsOfThePage},
	} {
		event.test(t, l)
		if t.Failed() {
			t.Fatalf("failed at: %s", event.name)
		}
	}
	t.Logf("load average %s\n%s", loadAverage(t), strings.Join(l.rows, "\n"))
}

// bringUp starts the cluster, lets the laptop join, and puts somebody to work there.
func (l *logbook) bringUp(t *testing.T) {
	t.Helper()
	o := l.o
	first, second := o.slaves()[0], o.slaves()[1]
	// Twins: one makes the key, the other has a copy.
	first.panteras(t, "gateway", "key")
	copyKey(t, first, second)
	for _, n := range o.nodes {
		o.start(t, n)
	}
	o.whole(t)
	for _, n := range o.slaves() {
		service, err := json.Marshal(map[string]any{"service": map[string]any{
			"name": "python", "port": 8001, "tags": []string{"haproxy"},
			"check": map[string]string{"http": "http://" + n.ip + ":8001/", "interval": "2s", "timeout": "2s"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		put(t, n.path("python.json"), string(service))
		n.consul(t, "services", "register", n.path("python.json"))
	}
	file := filepath.Join(l.files, "laptop.conf")
	first.panteras(t, "peer", "add", "laptop", "--os", "linux", "--output", file)
	wgQuickUp(t, o.laptop, file, currentWireGuard(t))
	page := ""
	lab.Eventually(t, readyTime, "the page at the laptop", func() bool {
		page, _ = o.laptop.try(t, nil, "curl", "-sS", "--max-time", "2", "http://"+python)
		return strings.HasSuffix(page, ": GET /\n")
	})
	t.Logf("the laptop has fetched http://%s: %s", python, page)
	o.laptop.do(t, func() { l.visitor = newVisitor(t, python) })
	began := time.Now()
	lab.Eventually(t, readyTime, "everything to work at the laptop", func() bool { return l.visitor.content(visits, began) })
}

// copyKey makes a gateway a twin of another.
func copyKey(t *testing.T, from, to *node) {
	t.Helper()
	key, err := os.ReadFile(tunnel.NewFolder(from.path("state")).File("gateway.key"))
	if err == nil {
		err = statefile.MakeFolder(to.path("state", "tunnel"))
	}
	if err == nil {
		err = os.WriteFile(tunnel.NewFolder(to.path("state")).File("gateway.key"), key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func loadAverage(t testing.TB) string {
	t.Helper()
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(load))[:3], " ")
}

// logbook is what happened, and what somebody noticed of it.
type logbook struct {
	o       *operated
	visitor *visitor
	files   string // the laptop's
	rows    []string
}

// write lets something happen, waits until all is well at the laptop, and writes down what
// was noticed in between.
func (l *logbook) write(t *testing.T, what string, happen func()) map[string]noticed {
	t.Helper()
	began := time.Now()
	happen()
	happened := time.Now()
	lab.Eventually(t, readyTime, "everything to work at the laptop after: "+what, func() bool { return l.visitor.content(visits, happened) })
	all := map[string]noticed{}
	row := "| " + what
	for _, kind := range visits {
		all[kind] = l.visitor.notices(kind, began, time.Now())
		row += " | " + all[kind].String()
	}
	row += fmt.Sprintf(" | took %.0f s, load %s |", time.Since(began).Seconds(), loadAverage(t))
	t.Log(row)
	l.rows = append(l.rows, row)
	return all
}

// atMost fails the test if somebody had to do without for longer.
func atMost(t *testing.T, what string, n noticed, bound time.Duration) {
	t.Helper()
	if n.away > bound {
		t.Errorf("%s: the laptop was without for %v, want at most %v: %v", what, n.away, bound, n)
	}
}
