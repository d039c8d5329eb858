package test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// pillarPages have the form of man pages.
var pillarPages = []string{"docs/dns.md", "docs/gateway.md", "docs/launcher.md", "docs/balancer.md", "docs/status-page.md"}

var (
	heading  = regexp.MustCompile(`(?m)^(#+) (.+)$`)
	pageLink = regexp.MustCompile(`!?\[[^\]]*\]\(([^)\s]+)\)`)
)

// TestPillarsAreManPages looks for the headings of a man page, in their order.
func TestPillarsAreManPages(t *testing.T) {
	t.Parallel()
	want := []string{"Name", "Synopsis", "Description", "Settings", "Examples", "Metrics", "Bugs"}
	for _, name := range pillarPages {
		var have []string
		for _, m := range heading.FindAllStringSubmatch(readPage(t, name).prose(), -1) {
			if m[1] == "##" && slices.Contains(want, m[2]) {
				have = append(have, m[2])
			}
		}
		if !slices.Equal(have, want) {
			t.Errorf("%s has the headings %q, want %q", name, have, want)
		}
	}
}

// TestReadmeListsPages compares the table of the README with what lies in docs.
func TestReadmeListsPages(t *testing.T) {
	t.Parallel()
	readme := readPage(t, "README.md")
	for _, p := range pages(t) {
		if strings.HasPrefix(p.name, "docs/") && strings.Count(readme.text, "\n| ["+p.name+"]("+p.name+") | ") != 1 {
			t.Errorf("README.md does not list %s once", p.name)
		}
	}
}

// TestLinksOfPages follows the links to files of this module, and to headings in them.
func TestLinksOfPages(t *testing.T) {
	t.Parallel()
	for _, p := range pages(t) {
		for _, m := range pageLink.FindAllStringSubmatch(p.prose(), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			to := p.name
			if file != "" {
				to = path.Join(path.Dir(p.name), file)
			}
			if _, err := os.Stat(filepath.Join(lab.Root(t), to)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", p.name, m[1])
			} else if anchor != "" && !slices.Contains(anchors(readPage(t, to)), anchor) {
				t.Errorf("%s: the link %s leads to no heading of %s, which has %q", p.name, m[1], to, anchors(readPage(t, to)))
			}
		}
	}
}

// anchors are the names by which GitHub knows a page's headings.
func anchors(p page) (names []string) {
	count := map[string]int{}
	for _, m := range heading.FindAllStringSubmatch(p.prose(), -1) {
		name := strings.ToLower(regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[2], "$1"))
		name = strings.ReplaceAll(regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(name, ""), " ", "-")
		n := count[name]
		if count[name]++; n > 0 {
			name = fmt.Sprint(name, "-", n)
		}
		names = append(names, name)
	}
	return names
}

// metricRow is a row of a table of metrics, metricName one of ours wherever it stands.
var (
	metricRow  = regexp.MustCompile("(?m)^\\| `(panteras_[a-z0-9_]+)` \\|")
	metricName = regexp.MustCompile(`\bpanteras_(?:dns|tunnel|daemon|build|log)_[a-z0-9_]+`)
)

// documentedMetrics are those of the tables in the pages, by the page that has them.
func documentedMetrics(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, p := range pages(t) {
		for _, m := range metricRow.FindAllStringSubmatch(p.text, -1) {
			if found[m[1]] != "" {
				t.Errorf("%s and %s both have a row for %s", found[m[1]], p.name, m[1])
			}
			found[m[1]] = p.name
		}
	}
	return found
}

// TestMetricsInPages looks up each metric that a page names. Which ones there are is
// compared with the code where they are made, and with a host in TestCommandsInPages.
func TestMetricsInPages(t *testing.T) {
	t.Parallel()
	documented := documentedMetrics(t)
	for _, p := range pages(t) {
		for _, name := range metricName.FindAllString(p.text, -1) {
			base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			if documented[name] == "" && documented[base] == "" {
				t.Errorf("%s: no table has the metric %s", p.name, name)
			}
		}
	}
}
