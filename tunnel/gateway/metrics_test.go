package gateway

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"panteras/internal/lab"

	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write the table of metrics into docs/gateway.md")

var descText = regexp.MustCompile(`fqName: "([^"]*)", help: "([^"]*)",(?: unit: "[^"]*",)? constLabels: \{\}, variableLabels: \{([^}]*)\}`)

func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	descs := make(chan *prometheus.Desc, 100)
	New(Options{Settings: &newRig(t).settings}).Describe(descs)
	close(descs)
	want := "| metric | labels | meaning |\n|---|---|---|\n"
	for d := range descs {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		labels := ""
		if m[3] != "" {
			labels = "`" + strings.ReplaceAll(m[3], ",", "`, `") + "`"
		}
		want += fmt.Sprintf("| `%s` | %s | %s |\n", m[1], labels, m[2])
	}
	page := filepath.Join(lab.Root(t), "docs", "gateway.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- metrics:begin -->\n", "<!-- metrics:end -->"
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no section between the markers", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s differs from what the gateway has; run with -update", page)
	}
}
