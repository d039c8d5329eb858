package configs

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table of settings into docs/settings.md")

func TestDocsHoldTheTable(t *testing.T) {
	const page, begin, end = "../docs/settings.md", "<!-- settings:begin -->\n", "<!-- settings:end -->"
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(content), begin)
	documented, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the markers %q and %q", page, begin, end)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+Markdown()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(Markdown(), documented); diff != "" {
		t.Errorf("%s differs from the table in code (-code +page):\n%s\n"+
			"run `go test ./configs -run TestDocs -update`, or paste the output of `go run ./cmd/panteras settings --markdown` between the markers", page, diff)
	}
}

func TestEachSettingIsDocumentedOnce(t *testing.T) {
	table := Markdown()
	for _, s := range All() {
		if n := strings.Count(table, "\n| `"+s.Name+"` |"); n != 1 {
			t.Errorf("%s has %d rows in the documentation, want 1", s.Name, n)
		}
	}
	if rows := strings.Count(table, "\n") - 2; rows != len(All()) {
		t.Errorf("the documentation has %d rows for %d settings", rows, len(All()))
	}
}
