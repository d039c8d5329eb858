package test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// page is a page of the documentation.
type page struct {
	name   string // its path in this module
	text   string
	blocks []block
}

// block is what stands between two fences.
type block struct {
	page string
	line int    // of the opening fence
	info string // behind the fence: its kind
	body string
}

// fence opens or closes a block.
var fence = regexp.MustCompile("^(```+|~~~+)(.*)$")

// pages reads all pages.
func pages(t testing.TB) []page {
	t.Helper()
	root := lab.Root(t)
	names := []string{"README.md"}
	for _, pattern := range []string{"docs/*.md", "examples/*/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no page is %s (%v)", pattern, err)
		}
		for _, path := range found {
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, filepath.ToSlash(name))
		}
	}
	var list []page
	for _, name := range names {
		list = append(list, readPage(t, name))
	}
	return list
}

// readPage reads one.
func readPage(t testing.TB, name string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(lab.Root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	p := page{name: name, text: string(text)}
	open := ""
	n := 0
	for line := range strings.Lines(p.text) {
		n++
		m := fence.FindStringSubmatch(strings.TrimSpace(line))
		switch {
		case open == "" && m != nil:
			open = m[1]
			p.blocks = append(p.blocks, block{page: name, line: n, info: strings.TrimSpace(m[2])})
		case open != "" && m != nil && m[1] == open && strings.TrimSpace(m[2]) == "":
			open = ""
		case open != "":
			p.blocks[len(p.blocks)-1].body += line
		}
	}
	if open != "" {
		t.Fatalf("%s:%d: the block does not end", name, p.blocks[len(p.blocks)-1].line)
	}
	return p
}

// prose is the page without its blocks, every line in its place.
func (p page) prose() string {
	var text strings.Builder
	open := false
	for line := range strings.Lines(p.text) {
		isFence := fence.MatchString(strings.TrimSpace(line))
		switch {
		case isFence:
			open = !open
			text.WriteString("\n")
		case open:
			text.WriteString("\n")
		default:
			text.WriteString(line)
		}
	}
	return text.String()
}

// printed is a command as a page prints it, and what it is said to print.
type printed struct {
	block   block
	command string
	output  string
}

// commands are those of a block of the kind console, each behind "$ ", before its output.
func (b block) commands(t testing.TB) (list []printed) {
	t.Helper()
	for line := range strings.Lines(b.body) {
		switch command, isCommand := strings.CutPrefix(line, "$ "); {
		case isCommand:
			list = append(list, printed{block: b, command: strings.TrimSpace(command)})
		case len(list) == 0:
			t.Fatalf("%s:%d: %q follows no command", b.page, b.line, line)
		default:
			list[len(list)-1].output += line
		}
	}
	if len(list) == 0 {
		t.Fatalf("%s:%d: no line of the block begins with \"$ \"", b.page, b.line)
	}
	return list
}

// consoles are the blocks of a page that are typed on a host and a laptop, in order.
func (p page) consoles() []block {
	return slices.DeleteFunc(slices.Clone(p.blocks), func(b block) bool {
		return b.info != "console" && b.info != "console on=laptop" && b.info != "console on=resolved"
	})
}

// typedOn are those that are typed elsewhere.
func (p page) typedOn(where string) []block {
	return slices.DeleteFunc(slices.Clone(p.blocks), func(b block) bool { return b.info != "console on="+where })
}
