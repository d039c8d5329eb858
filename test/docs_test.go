package test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
	"mvdan.cc/sh/v3/syntax"

	"panteras/configs"
	"panteras/internal/lab"
)

// byHand are the reasons why commands of a page are not run by a test: blocks of the kind
// `sh by-hand=REASON`. They are parsed, and what they ask of panteras and make is looked
// up.
var byHand = map[string]string{
	"tests":    "they run the tests, or take longer than tests may",
	"marathon": "they need Marathon, which cannot be installed here",
	"cluster":  "they need a Kubernetes or a Nomad",
	"laptop":   "they are typed where the client is",
}

// kinds are the kinds of blocks, by what stands behind the fence, and what is checked of
// one. What is of the kind console is typed: see TestCommandsInPages.
var kinds = map[string]func(*testing.T, *program, block){
	"console":                func(t *testing.T, _ *program, b block) { b.commands(t) },
	"console on=laptop":      func(t *testing.T, _ *program, b block) { b.commands(t) },
	"console on=resolved":    func(t *testing.T, _ *program, b block) { b.commands(t) },
	"console on=package":     checkOnPackage,
	"console on=docker":      func(t *testing.T, _ *program, b block) { b.commands(t) }, // see test/image
	"console on=cluster":     checkOnCluster,
	"sh settings":            checkSettings,
	"sh settings on=cluster": checkOnCluster,
	"text synopsis":          checkSynopsis,
	"text":                   checkText,
	"hcl acl":                checkPolicy,
	"json":                   checkJSON,
	"yaml":                   checkYAML,
	"text corefile":          checkText, // what CoreDNS reads
	"hcl nomad":              checkText, // a job of Nomad
}

// TestBlocksOfPages looks at every block of every page: one of no known kind, with which
// nothing would be done, is an error.
func TestBlocksOfPages(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	for _, page := range pages(t) {
		for _, b := range page.blocks {
			if reason, ok := strings.CutPrefix(b.info, "sh by-hand="); ok && byHand[reason] != "" {
				checkScript(t, p, b)
				continue
			}
			check := kinds[b.info]
			if check == nil {
				t.Errorf("%s:%d: a block of the kind %q; there are %q and, for a reason in %q, \"sh by-hand=REASON\"", b.page, b.line, b.info, slices.Sorted(maps.Keys(kinds)), slices.Sorted(maps.Keys(byHand)))
				continue
			}
			check(t, p, b)
		}
		// Nor may commands hide in blocks without fences.
		before := ""
		for n, line := range strings.Split(page.prose(), "\n") {
			if strings.HasPrefix(line, "    ") && before == "" {
				t.Errorf("%s:%d: a block without fences, so without a kind", page.name, n+1)
			}
			before = strings.TrimSpace(line)
		}
	}
}

// typedLine is a line of text that somebody might type.
var typedLine = regexp.MustCompile(`^(\w+)?[$#] |^(sudo|bin/|panteras|make|docker|dig|curl|consul|kubectl|nomad|wg|systemctl|resolvectl|apt|apt-get|ssh|scp) `)

// checkText is for what cannot be run or checked; no command may be there.
func checkText(t *testing.T, _ *program, b block) {
	for line := range strings.Lines(b.body) {
		if typedLine.MatchString(line) {
			t.Errorf("%s:%d: %q looks like a command; give the block a kind by which it is run or checked", b.page, b.line, strings.TrimSpace(line))
		}
	}
}

// checkPolicy is for what TestUpWithACLsAndTLS gives to Consul.
func checkPolicy(t *testing.T, _ *program, b block) {
	if b.page != policyPage {
		t.Errorf("%s:%d: rules for Consul's tokens stand in %s, where they are tested", b.page, b.line, policyPage)
	}
}

// checkOnCluster is for what TestOperations does on five hosts.
func checkOnCluster(t *testing.T, _ *program, b block) {
	if b.page != operationsPage {
		t.Errorf("%s:%d: what is typed on a cluster stands in %s, where it is tested", b.page, b.line, operationsPage)
	}
}

// checkOnPackage is for what TestDist types.
func checkOnPackage(t *testing.T, _ *program, b block) {
	if b.commands(t); b.page != readme && b.page != "docs/export.md" {
		t.Errorf("%s:%d: what is typed where a package is installed stands in %s or docs/export.md, where it is tested", b.page, b.line, readme)
	}
}

func checkJSON(t *testing.T, _ *program, b block) {
	if !json.Valid([]byte(b.body)) {
		t.Errorf("%s:%d: this is not JSON", b.page, b.line)
	}
}

func checkYAML(t *testing.T, _ *program, b block) {
	var value any
	if err := yaml.Unmarshal([]byte(b.body), &value); err != nil {
		t.Errorf("%s:%d: %v", b.page, b.line, err)
	}
}

// checkSettings reads a block as a settings file, and makes a plan of it.
func checkSettings(t *testing.T, p *program, b block) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "host"), b.body)
	env := []string{"HOSTNAME=node1"}
	if !regexp.MustCompile(`(?m)^(export )?IP=`).MatchString(b.body) {
		env = append(env, "IP=192.0.2.1")
	}
	for _, command := range []string{"settings", "plan"} {
		cmd := exec.Command(p.path, command, "--restricted", dir)
		cmd.Env = env
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil || command == "settings" && stderr.Len() > 0 {
			t.Errorf("%s:%d: panteras %s: %v\n%s", b.page, b.line, command, err, &stderr)
		}
	}
}

// checkSynopsis looks up each command of a synopsis, a line that goes on with blanks in
// front. Other lines say what is no command.
func checkSynopsis(t *testing.T, p *program, b block) {
	for line := range strings.SplitSeq(regexp.MustCompile(`\n[ \t]+`).ReplaceAllString(b.body, " "), "\n") {
		if strings.HasPrefix(line, "panteras") {
			for _, complaint := range p.form(line) {
				t.Errorf("%s:%d: %s", b.page, b.line, complaint)
			}
		} else {
			checkText(t, p, block{page: b.page, line: b.line, body: line})
		}
	}
}

// checkScript looks up what a script that is not run would ask of our programs.
func checkScript(t *testing.T, p *program, b block) {
	file, err := syntax.NewParser().Parse(strings.NewReader(b.body), "")
	if err != nil {
		t.Errorf("%s:%d: %v", b.page, b.line, err)
		return
	}
	targets := targetsOfMake(t)
	syntax.Walk(file, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		words := make([]string, len(call.Args))
		for i, w := range call.Args {
			var text strings.Builder
			_ = syntax.NewPrinter().Print(&text, w) // it was just parsed
			words[i] = text.String()
		}
		if words[0] == "sudo" {
			words = words[1:]
		}
		switch path.Base(words[0]) {
		case "panteras":
			for _, complaint := range p.command(words[1:]) {
				t.Errorf("%s:%d: %s", b.page, b.line, complaint)
			}
			for _, a := range call.Assigns {
				if !isSetting(a.Name.Value) {
					t.Errorf("%s:%d: %s is no setting", b.page, b.line, a.Name.Value)
				}
			}
		case "make":
			for _, word := range words[1:] {
				if !strings.Contains(word, "=") && !slices.Contains(targets, word) {
					t.Errorf("%s:%d: make has no target %s", b.page, b.line, word)
				}
			}
		}
		return true
	})
}

func targetsOfMake(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(lab.Root(t), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):.*## `).FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return names
}

func isSetting(name string) bool {
	return slices.ContainsFunc(configs.All(), func(s configs.Setting) bool { return s.Name == name })
}

var (
	span     = regexp.MustCompile("``([^`]+)``|`([^`]+)`")
	flagText = regexp.MustCompile(`(?:^|[\s\[|(])--([a-z][a-z0-9-]*)`)
	setting  = regexp.MustCompile(`\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b`)
	given    = regexp.MustCompile(`^([A-Z][A-Z0-9_]*)=`)
	mine     = regexp.MustCompile(`^(?:sudo )?(?:[A-Z_]+=\S+ )*(?:bin/)?(panteras(?: .*)?)$`)
)

// othersFlags are of programs that a page's own words are about, and othersNames are
// variables that are not settings.
var (
	othersPrograms = []string{"docker", "dockerd", "dnsmasq", "sshuttle", "openvpn", "consul", "wg", "wg-quick", "resolvectl", "systemctl", "dig", "curl", "go", "make", "haproxy", "nomad", "kubectl", "registrator", "ssh"}
	othersNames    = map[string]string{
		"LISTEN_FDS": "systemd", "SERVICE_NAME": "Registrator", "SERVICE_TAGS": "Registrator", "SERVICE_CHECK_HTTP": "Registrator", "SERVICE_8080_NAME": "Registrator",
		"DNS": "systemd-resolved", "DNSSEC": "systemd-resolved", "NAME": "any name",
		"NET_ADMIN": "Docker", "NET_RAW": "Docker", "NET_BROADCAST": "Docker", "NET_BIND_SERVICE": "Docker", "SYS_RESOURCE": "Docker",
		"GO_VERSION": "Docker", "HTTP_PROXY": "Docker", "IMAGE_CACHE": "test/image",
		"CAP_NET_ADMIN": "Linux", "CAP_NET_BIND_SERVICE": "Linux", "CAP_NET_RAW": "Linux",
	}
)

// TestNamesInPages looks up each flag, setting and command that pages name in their text:
// in `code`, because what is not code is not meant literally.
func TestNamesInPages(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	for _, page := range pages(t) {
		for n, line := range strings.Split(page.prose(), "\n") {
			if page.name == comingFrom && strings.HasPrefix(line, "|") { // the first column is theirs
				if columns := strings.SplitN(line, "|", 3); len(columns) == 3 {
					line = columns[2]
				}
			}
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				for _, complaint := range p.lookUp(m[1] + m[2]) {
					t.Errorf("%s:%d: `%s`: %s", page.name, n+1, m[1]+m[2], complaint)
				}
			}
		}
	}
}

// comingFrom is the page with tables of other programs' flags.
const comingFrom = "docs/coming-from.md"

// lookUp says what in a piece of code there is not.
func (p *program) lookUp(code string) (complaints []string) {
	if m := mine.FindStringSubmatch(code); m != nil {
		complaints = p.form(m[1])
	} else if first, _, _ := strings.Cut(code, " "); !slices.Contains(othersPrograms, first) {
		for _, m := range flagText.FindAllStringSubmatch(code, -1) {
			if !p.flags[m[1]] {
				complaints = append(complaints, "no command has the flag --"+m[1])
			}
		}
	}
	names := setting.FindAllString(code, -1)
	if m := given.FindStringSubmatch(code); m != nil {
		names = append(names, m[1])
	}
	for _, name := range names {
		if !isSetting(name) && othersNames[name] == "" {
			complaints = append(complaints, name+" is no setting")
		}
	}
	return complaints
}
