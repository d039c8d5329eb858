package launcher

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden compares whole plans, with the contents of all files, with those in
// testdata/golden: the columns of the role table, and the hosts of a cluster.
func TestGolden(t *testing.T) {
	for name, plan := range map[string]func() *Plan{
		"default":     func() *Plan { return planEnv(t) },
		"only-master": func() *Plan { return planEnv(t, "SLAVE=false") },
		"only-slave": func() *Plan {
			return planEnv(t, "MASTER=false", "CONSUL_HOSTS=10.0.0.1", "ZOOKEEPER_HOSTS=10.0.0.1:2181")
		},
		"cluster-master1": func() *Plan { return planDir(t, "testdata/cluster/master1", "192.168.2.81") },
		"cluster-master2": func() *Plan { return planDir(t, "testdata/cluster/master2", "192.168.2.82") },
		"cluster-master3": func() *Plan { return planDir(t, "testdata/cluster/master3", "192.168.2.83") },
		"cluster-slave":   func() *Plan { return planDir(t, "testdata/cluster/slave", "192.168.2.91") },
	} {
		t.Run(name, func(t *testing.T) {
			p := plan()
			if len(p.Findings) > 0 {
				t.Errorf("findings: %+v", p.Findings)
			}
			var got strings.Builder
			if err := p.WriteText(&got, true); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", "golden", name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("the plan differs from %s (-file +plan); if that is meant: go test ./launcher -update\n%s", path, diff)
			}
		})
	}
}

func TestPlanFitsATerminal(t *testing.T) {
	for _, name := range []string{"default", "cluster-master2", "cluster-slave"} {
		text, err := os.ReadFile(filepath.Join("testdata", "golden", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "        | ") {
				continue // a line of a file
			}
			// A word may be wider: it has the line for itself.
			if n := len(strings.TrimSuffix(line, "\n")); n > width && len(strings.Fields(strings.TrimSuffix(line, " \\\n"))) > 1 {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
	}
}

func TestPlanIsTheSameEveryTime(t *testing.T) {
	write := func() string {
		var text strings.Builder
		p := planDir(t, "testdata/cluster/master2", "192.168.2.82")
		json, err := p.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.WriteText(&text, true); err != nil {
			t.Fatal(err)
		}
		return text.String() + string(json)
	}
	first := write()
	for range 50 {
		if diff := cmp.Diff(first, write()); diff != "" {
			t.Fatalf("two plans of one host differ:\n%s", diff)
		}
	}
}
