package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
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
	t.Parallel()
	o := newOperated(t)
	l := &logbook{o: o, files: t.TempDir(), page: commandsByHost(t), table: noticedAsWritten(t)}
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
		{"all masters lost", testAllMastersLost},
	} {
		event.test(t, l)
		if t.Failed() {
			t.Fatalf("failed at: %s", event.name)
		}
	}
	for section := range l.page {
		t.Errorf("nobody has typed what is in %q", section)
	}
	for _, row := range l.table {
		t.Errorf("nobody has looked whether %q is noticed as docs/operations.md has it", row.what)
	}
	t.Logf("load average %s\n%s", loadAverage(t), strings.Join(l.rows, "\n"))
}

// bringUp starts the cluster, lets the laptop join, and puts somebody to work there.
func (l *logbook) bringUp(t *testing.T) {
	t.Helper()
	o := l.o
	first, second := o.slaves()[0], o.slaves()[1]
	// Twins: one makes the key, the other has a copy.
	first.knows(t, second)
	o.follow(t, l.page, "Description")
	for _, n := range o.nodes {
		commands := l.page["Start"]
		if len(commands) != 2 || commands[1].command != "panteras up" {
			t.Fatalf("docs/operations.md starts a host by %v", commands)
		}
		n.shell(t, commands[0].command)
		o.start(t, n)
	}
	delete(l.page, "Start")
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
	for _, c := range l.page["A laptop"] {
		if c.host != "laptop" {
			o.named(t, c.host).shell(t, c.command)
			l.handOver(t, first, "laptop.conf")
			continue
		}
		typed := func() (string, error) {
			return o.laptop.try(t, []string{currentWireGuard(t)}, "sh", "-c", "cd "+l.files+" && "+c.command)
		}
		out, err := typed()
		if strings.HasPrefix(c.command, "wg-quick ") {
			t.Cleanup(func() { _, _ = o.laptop.try(t, nil, "ip", "link", "delete", "laptop") }) // what encrypts ends with it
			if err != nil {
				t.Fatalf("laptop$ %s: %v\n%s", c.command, err, out)
			}
			continue
		}
		lab.Eventually(t, readyTime, "the page at the laptop", func() bool {
			out, err = typed()
			return err == nil && strings.HasSuffix(out, ": GET /\n")
		})
		t.Logf("laptop$ %s: %s", c.command, out)
	}
	delete(l.page, "A laptop")
	o.laptop.do(t, func() { l.visitor = newVisitor(t, python) })
	began := time.Now()
	lab.Eventually(t, readyTime, "everything to work at the laptop", func() bool { return l.visitor.content(visits, began) })
}

// handOver gives a client file to the laptop's owner.
func (l *logbook) handOver(t *testing.T, from *node, file string) {
	t.Helper()
	text, err := os.ReadFile(from.path(file))
	if err == nil {
		err = os.WriteFile(filepath.Join(l.files, file), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// knows lets a host copy files to another one, whose folders are elsewhere here.
func (n *node) knows(t *testing.T, other *node) {
	t.Helper()
	put(t, filepath.Join(n.bin, "scp"), fmt.Sprintf(`#!/bin/sh
[ $# = 3 ] && [ "$1" = -p ] || exit 2
case $3 in %s:%s/*) exec cp -p "$2" "%s/${3#*:%[2]s/}" ;; esac
exit 1
`, other.name, n.path("state"), other.path("state")))
	if err := os.Chmod(filepath.Join(n.bin, "scp"), 0o755); err != nil {
		t.Fatal(err)
	}
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
	files   string              // the laptop's
	page    map[string][]onHost // what nobody has typed yet
	backup  []onHost            // how the page saves what the cluster knows
	table   []written           // what the page says is noticed, of what is to come
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

// written is a row of the table in docs/operations.md: the seconds that something costs at
// most, by the kind of visit.
type written struct {
	what string
	most map[string]time.Duration
}

// writtenRow is such a row, with figures such as 4 or 0 to 17.
var writtenRow = regexp.MustCompile(`(?m)^\| (.+) \| (?:\d+ to )?(\d+) \| (?:\d+ to )?(\d+) \| (?:\d+ to )?(\d+) \|$`)

// noticedAsWritten reads the table.
func noticedAsWritten(t *testing.T) (table []written) {
	t.Helper()
	for _, m := range writtenRow.FindAllStringSubmatch(readPage(t, operationsPage).text, -1) {
		row := written{m[1], map[string]time.Duration{}}
		for i, kind := range visits {
			seconds, err := strconv.Atoi(m[i+2])
			if err != nil {
				t.Fatal(err)
			}
			row.most[kind] = time.Duration(seconds) * time.Second
		}
		table = append(table, row)
	}
	return table
}

// asWritten lets happen what the next row of the table has, which begins with what. Pages
// have a bound that is promised, which is what a laptop needs to reach a gateway again; SRV
// records and writes may fail as long, or twice as long as it says there, where the machine
// does much else.
func (l *logbook) asWritten(t *testing.T, what string, page time.Duration, happen func()) map[string]noticed {
	t.Helper()
	if len(l.table) == 0 || !strings.HasPrefix(l.table[0].what, what) {
		t.Fatalf("the table of docs/operations.md goes on with %v, and what happens is: %s", l.table, what)
	}
	row := l.table[0]
	l.table = l.table[1:]
	n := l.write(t, row.what, happen)
	atMost(t, what+": page", n["page"], page)
	for _, kind := range []string{"srv", "put"} {
		atMost(t, what+": "+kind, n[kind], max(2*row.most[kind], page))
	}
	return n
}

// atMost fails the test if somebody had to do without for longer.
func atMost(t *testing.T, what string, n noticed, bound time.Duration) {
	t.Helper()
	if n.away > bound {
		t.Errorf("%s: the laptop was without for %v, want at most %v: %v", what, n.away, bound, n)
	}
}
