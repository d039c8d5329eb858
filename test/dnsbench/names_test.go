package dnsbench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"panteras/internal/lab"
)

const (
	names    = 20000 // distinct questions, of which half ask for SRV
	services = 200   // in Consul; each has names/services tags, which make as many names
	crowd    = 300   // instances of the service that has many
)

// questions are files that dnsperf reads, by what they hold.
type questions struct{ distinct, hot, mix, crowd string }

// questionsFor writes the files. name says how the i-th name is called.
func questionsFor(t testing.TB, name func(i int) string) questions {
	t.Helper()
	dir := t.TempDir()
	file := func(label string, line func(i int) string, n int) string {
		var text strings.Builder
		for i := range n {
			text.WriteString(line(i) + "\n")
		}
		return write(t, filepath.Join(dir, label), text.String())
	}
	typed := func(i int) string { return name(i) + []string{" A", " SRV"}[i%2] }
	return questions{
		distinct: file("distinct", typed, names),
		hot:      file("hot", func(int) string { return name(0) + " A" }, 1),
		mix: file("mix", func(i int) string {
			if i%10 == 9 {
				return fmt.Sprintf("host%05d.example A", i)
			}
			return typed(i)
		}, names),
		crowd: file("crowd", func(int) string { return "crowd.service.consul SRV" }, 1),
	}
}

// zoneName and tagName are the i-th names of the zone and of the real Consul.
func zoneName(i int) string { return fmt.Sprintf("svc%05d.service.consul", i) }

func tagName(i int) string {
	return fmt.Sprintf("t%03d.svc%03d.service.consul", i/services, i%services)
}

// zones writes what nsd serves. The times to live are 0, as Consul's are.
func zones(t testing.TB, dir string) {
	t.Helper()
	const head = "$TTL 0\n@ SOA ns.%[1]s. hostmaster.%[1]s. 1 3600 600 86400 0\n@ NS ns\nns A 127.0.0.1\n"
	var consul, example strings.Builder
	fmt.Fprintf(&consul, head, "consul")
	fmt.Fprintf(&example, head, "example")
	consul.WriteString("consul.service A 127.0.0.1\n")
	for i := range names {
		node := fmt.Sprintf("node%03d.node.dc1", i%services)
		fmt.Fprintf(&consul, "svc%05d.service A 10.1.%d.%d\nsvc%05d.service SRV 1 1 %d %s\n", i, i/250%250, i%250+1, i, 31000+i%1000, node)
		fmt.Fprintf(&example, "host%05d A 10.2.%d.%d\n", i, i/250%250, i%250+1)
	}
	for i := range services {
		fmt.Fprintf(&consul, "node%03d.node.dc1 A 10.1.0.%d\n", i, i+1)
	}
	write(t, filepath.Join(dir, "consul.zone"), consul.String())
	write(t, filepath.Join(dir, "example.zone"), example.String())
}

// catalogue is what the real Consul knows: every tag of a service is a name of its own.
func catalogue() []lab.Service {
	var tags []string
	for i := range names / services {
		tags = append(tags, fmt.Sprintf("t%03d", i))
	}
	var all []lab.Service
	for i := range services {
		all = append(all, lab.Service{
			Name: fmt.Sprintf("svc%03d", i), Node: fmt.Sprintf("node-%d", i%20+1), NodeIP: fmt.Sprintf("10.1.0.%d", i%20+1),
			Port: 31000 + i, Tags: tags,
		})
	}
	return append(all, lab.Instances("crowd", crowd, 20)...)
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
