package test

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"panteras/configs"
)

// program is what `panteras --help` says of the commands there are.
type program struct {
	path  string
	help  map[string]string // by the words of a command behind "panteras"
	flags map[string]bool   // of any command, and of any setting
	known map[string]error  // flags that were tried
}

// subcommand is a line in a list of commands.
var subcommand = regexp.MustCompile(`(?m)^  ([a-z]+) +\S`)

// helpFlag is a flag in a help text.
var helpFlag = regexp.MustCompile(`(?m)^ +(?:-\w, |    )?--([a-z0-9-]+)`)

func newProgram(t *testing.T) *program {
	t.Helper()
	p := &program{path: panterasPath(t), help: map[string]string{}, flags: map[string]bool{}, known: map[string]error{}}
	for _, s := range configs.All() {
		if !s.Secret {
			p.flags[s.Flag()] = true
		}
	}
	p.learn(t, nil)
	if len(p.help) < 20 {
		t.Fatalf("panteras has %d commands, which cannot be all", len(p.help))
	}
	return p
}

// learn reads the help of a command and of those under it.
func (p *program) learn(t *testing.T, words []string) {
	t.Helper()
	out, err := exec.Command(p.path, append(slices.Clone(words), "--help")...).Output()
	if err != nil {
		t.Fatalf("panteras %q --help: %v", words, err)
	}
	p.help[strings.Join(words, " ")] = string(out)
	for _, m := range helpFlag.FindAllStringSubmatch(string(out), -1) {
		p.flags[m[1]] = true
	}
	_, list, _ := strings.Cut(string(out), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, m := range subcommand.FindAllStringSubmatch(list, -1) {
		p.learn(t, append(slices.Clone(words), m[1]))
	}
}

// find splits a command line into a command there is and the rest.
func (p *program) find(words []string) (name, rest []string) {
	for len(words) > len(name) && p.help[strings.Join(words[:len(name)+1], " ")] != "" {
		name = words[:len(name)+1]
	}
	return name, words[len(name):]
}

// command says what is wrong with a command line, behind the name of the program.
func (p *program) command(words []string) (complaints []string) {
	name, rest := p.find(words)
	if len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && strings.Contains(p.help[strings.Join(name, " ")], "Available Commands:") {
		return []string{fmt.Sprintf("panteras %q has no command %s", name, rest[0])}
	}
	for _, word := range rest {
		f, _, _ := strings.Cut(word, "=")
		if err := p.takes(name, f); strings.HasPrefix(f, "-") && len(f) > 1 && err != nil {
			complaints = append(complaints, err.Error())
		}
	}
	return complaints
}

// takes tries whether a command knows a flag. Behind --help no command does anything.
func (p *program) takes(name []string, flag string) error {
	key := strings.Join(append(slices.Clone(name), flag), " ")
	err, ok := p.known[key]
	if !ok {
		out, _ := exec.Command(p.path, append(slices.Clone(name), "--help", flag)...).CombinedOutput()
		if strings.Contains(string(out), "unknown flag") || strings.Contains(string(out), "unknown shorthand") {
			err = fmt.Errorf("panteras %s has no flag %s", strings.Join(name, " "), flag)
		}
		p.known[key] = err
	}
	return err
}

// form checks a command as a synopsis writes it: with [what may be left out], CAPITALS for
// what differs, and one|other of words, or commands, of which one is meant.
func (p *program) form(text string) (complaints []string) {
	text = strings.NewReplacer("[", " ", "]", " ", "…", " ").Replace(text)
	var above []string // the command that the alternatives are under
	for alternative := range strings.SplitSeq(text, " | ") {
		words := strings.Fields(alternative)
		if len(words) > 0 && words[0] == "panteras" {
			words = words[1:]
		} else {
			words = append(slices.Clone(above), words...)
		}
		var list [][]string
		if i := slices.IndexFunc(words, func(w string) bool { return strings.Contains(w, "|") }); i >= 0 && p.oneOf(words[:i], words[i]) {
			for word := range strings.SplitSeq(words[i], "|") {
				list = append(list, append(append(slices.Clone(words[:i]), word), words[i+1:]...))
			}
		} else {
			list = [][]string{words}
		}
		for _, words := range list {
			name, _ := p.find(words)
			if len(name) > 1 {
				above = name[:len(name)-1]
			}
			words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "--SETTING" })
			complaints = append(complaints, p.command(words)...)
		}
	}
	return complaints
}

// oneOf tells whether the first of words with | between is a command.
func (p *program) oneOf(before []string, words string) bool {
	first, _, _ := strings.Cut(words, "|")
	return p.help[strings.Join(append(slices.Clone(before), first), " ")] != ""
}
