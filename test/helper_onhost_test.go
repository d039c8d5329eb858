package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// onHost is a command that docs/operations.md tells to type on a host.
type onHost struct{ host, command string }

var (
	pageSection = regexp.MustCompile(`(?m)^#+ (.+)$`)
	promptLine  = regexp.MustCompile(`^([a-z]+(?:-[0-9])?)\$ (.+)$`)
)

// commandsByHost are the commands in the console blocks of the page, by the section they are in.
func commandsByHost(t testing.TB) map[string][]onHost {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(lab.Root(t), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	all, section := map[string][]onHost{}, ""
	console, block := false, false
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		heading := pageSection.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "```"):
			console, block = line == "```console on=cluster", !block
		case console:
			prompt := promptLine.FindStringSubmatch(line)
			if prompt == nil {
				t.Fatalf("docs/operations.md, %s: %q is no command on a host", section, line)
			}
			all[section] = append(all[section], onHost{prompt[1], prompt[2]})
		case heading != nil && !block:
			section = heading[1]
		}
	}
	return all
}

// follow types the commands of a section of the page, each on its host. What is printed
// by the last one is returned.
func (o *operated) follow(t testing.TB, page map[string][]onHost, section string) (output string) {
	t.Helper()
	if len(page[section]) == 0 {
		t.Fatalf("docs/operations.md has no commands in %q", section)
	}
	for _, c := range page[section] {
		output = o.named(t, c.host).shell(t, c.command)
	}
	delete(page, section)
	return output
}

func (o *operated) named(t testing.TB, name string) *node {
	t.Helper()
	for _, n := range o.nodes {
		if n.name == name {
			return n
		}
	}
	t.Fatalf("there is no host %s", name)
	return nil
}

// shell runs a command as it would be typed on the host, whose folders are elsewhere here.
func (n *node) shell(t testing.TB, command string) (output string) {
	t.Helper()
	command = strings.NewReplacer("/var/lib/panteras", n.path("state"), "/usr/local/bin", n.bin).Replace(command)
	cmd := exec.Command("bash", "-e", "-o", "pipefail", "-c", command)
	cmd.Dir = n.dir // restricted is there
	for _, e := range n.env {
		if path, ok := strings.CutPrefix(e, "PATH="); ok {
			e = "PATH=" + n.bin + ":" + path
		}
		cmd.Env = append(cmd.Env, e)
	}
	n.at.do(t, func() {
		p := lab.Start(t, cmd)
		if code := p.Wait(t, readyTime); code != 0 {
			t.Fatalf("%s$ %s\nends with %d:\n%s%s", n.name, command, code, p.Stdout(), p.Stderr())
		}
		output = p.Stdout()
	})
	return output
}
