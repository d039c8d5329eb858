package configs

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// assignment is one KEY=VALUE of a settings file, its value worked out.
type assignment struct {
	key   string
	value string
	line  uint
}

// fileParser reads shell assignments. It holds what earlier files and lines
// assigned, because later values may refer to it. Nothing is ever executed.
type fileParser struct {
	vars    map[string]string // assigned so far in all files
	environ map[string]string // for names the files do not assign
	refused map[string]bool   // keys whose value could not be read
	used    map[string]bool   // names that some value refers to

	name     string // of the current file, for messages
	key      string // of the current assignment, "" elsewhere
	source   []byte
	found    []assignment
	problems []error
}

func newFileParser(environ map[string]string) *fileParser {
	return &fileParser{vars: map[string]string{}, environ: environ, refused: map[string]bool{}, used: map[string]bool{}}
}

// parse reads one file and returns its assignments in order. Everything wrong
// with it is added to problems.
func (p *fileParser) parse(name string, source []byte) []assignment {
	p.name, p.found = name, nil
	p.source = normalise(source)
	if i := bytes.IndexByte(p.source, 0); i >= 0 {
		line := bytes.Count(p.source[:i], []byte("\n")) + 1
		p.problems = append(p.problems, fmt.Errorf("%s:%d: found a NUL byte; the file must be plain text in UTF-8", name, line))
		return nil
	}
	parser := syntax.NewParser(syntax.Variant(syntax.LangBash))
	var broken error
	for stmt, err := range parser.StmtsSeq(bytes.NewReader(p.source)) {
		switch {
		case broken != nil:
			// No break on an error: the sequence may go on after the loop has
			// ended, which panics. What follows an error means nothing.
		case err != nil:
			broken = err
			p.syntaxProblem(err)
		default:
			p.statement(stmt)
		}
	}
	return p.found
}

const onlyAssignments = "settings files are read, never executed; write KEY=VALUE lines only"

// problem records what was found at a place and what to do about it.
func (p *fileParser) problem(at syntax.Pos, found, advice string) {
	p.problems = append(p.problems, Finding{LevelError, p.key, fmt.Sprintf("%s:%d: found %s; %s", p.name, at.Line(), found, advice)})
}

// quotedWord finds quoted text with letters or digits in a parser's message: it may be
// a piece of a secret.
var quotedWord = regexp.MustCompile("[`\"][^`\"]*[A-Za-z0-9][^`\"]*[`\"]")

func (p *fileParser) syntaxProblem(err error) {
	const advice = "check quotes and brackets; values with blanks or special characters belong in single quotes"
	var parse syntax.ParseError
	if errors.As(err, &parse) {
		text := parse.Text
		if quotedWord.MatchString(strings.ReplaceAll(text, "`EOF`", "")) {
			text = "text that does not belong here"
		}
		p.problems = append(p.problems, fmt.Errorf("%s:%d: not valid shell syntax: %s; %s", p.name, parse.Pos.Line(), text, advice))
		return
	}
	var lang syntax.LangError
	if errors.As(err, &lang) {
		p.problem(lang.Pos, lang.Feature, onlyAssignments)
		return
	}
	p.problems = append(p.problems, fmt.Errorf("%s: not valid shell syntax: %w; %s", p.name, err, advice))
}

// statement takes one statement: assignments, or a problem.
func (p *fileParser) statement(stmt *syntax.Stmt) {
	switch {
	case len(stmt.Redirs) > 0:
		p.problem(stmt.Redirs[0].Pos(), "a redirection", onlyAssignments)
	case stmt.Background || stmt.Coprocess || stmt.Disown:
		p.problem(stmt.Pos(), "a job in the background (&)", "put a value that holds & in quotes")
	case stmt.Negated:
		p.problem(stmt.Pos(), "a negation (!)", onlyAssignments)
	default:
		p.command(stmt)
		return
	}
	p.refuse(stmt.Cmd)
}

func (p *fileParser) command(stmt *syntax.Stmt) {
	switch cmd := stmt.Cmd.(type) {
	case *syntax.CallExpr:
		if len(cmd.Args) > 0 {
			p.refuse(cmd)
			p.commandWord(cmd)
			return
		}
		// As in the shell, each of several assignments sees those before it.
		for _, a := range cmd.Assigns {
			if v, ok := p.assigned(a, false); ok {
				p.assign(v)
			}
		}
	case *syntax.DeclClause:
		p.export(cmd)
	default:
		p.problem(stmt.Pos(), describeCommand(stmt.Cmd), onlyAssignments)
	}
}

// commandWord reports a command. The word itself is not shown: after a blank in
// an unquoted value it is the rest of that value, which may be a secret.
func (p *fileParser) commandWord(cmd *syntax.CallExpr) {
	at := cmd.Args[0].Pos()
	switch {
	case len(cmd.Assigns) > 0:
		p.problem(at, "a command after "+cmd.Assigns[0].Name.Value+"=…", "put a value that holds blanks in quotes; "+onlyAssignments)
	case len(cmd.Args) > 1 && strings.HasPrefix(cmd.Args[1].Lit(), "="):
		p.problem(at, "blanks before =", "write KEY=VALUE without blanks around =")
	default:
		p.problem(at, "a command", "keys are letters, digits and _; "+onlyAssignments)
	}
}

// export takes `export KEY=VALUE …`. `export KEY` is allowed and means nothing.
func (p *fileParser) export(cmd *syntax.DeclClause) {
	if cmd.Variant.Value != "export" {
		p.problem(cmd.Pos(), "the command "+cmd.Variant.Value, "write KEY=VALUE or export KEY=VALUE; settings files are read, never executed")
		p.refuse(cmd)
		return
	}
	if len(cmd.Args) == 0 {
		p.problem(cmd.Pos(), "export without a key", "write export KEY=VALUE")
		return
	}
	// As in the shell, all values are expanded before the first is assigned.
	var all []assignment
	for _, a := range cmd.Args {
		switch {
		case a.Name == nil:
			p.problem(a.Pos(), "an option or an expansion after export", "write export KEY=VALUE")
		case a.Naked && a.Index == nil:
		default:
			if v, ok := p.assigned(a, true); ok {
				all = append(all, v)
			}
		}
	}
	for _, v := range all {
		p.assign(v)
	}
}

// assigned works one assignment out; ok is false after a problem.
func (p *fileParser) assigned(a *syntax.Assign, exported bool) (v assignment, ok bool) {
	key := a.Name.Value
	p.key = key
	defer func() { p.key = "" }()
	advice := "write " + key + "=VALUE with one plain value"
	switch {
	case !isKey(key) && key != "_":
		p.problem(a.Pos(), "a key that begins with a digit", "keys are letters, digits and _, and begin with no digit")
	case a.Append:
		p.problem(a.Pos(), "+=", advice+`, such as `+key+`="$`+key+` more"`)
	case a.Index != nil:
		p.problem(a.Pos(), "an array element", advice)
	case a.Array != nil:
		p.problem(a.Pos(), "an array", advice)
	default:
		w := wordReader{parser: p, exported: exported}
		value, ok := w.read(a.Value)
		if ok {
			return assignment{key: key, value: value, line: a.Pos().Line()}, true
		}
	}
	p.refused[key] = true
	return assignment{}, false
}

func (p *fileParser) assign(v assignment) {
	p.vars[v.key] = v.value
	delete(p.refused, v.key)
	p.found = append(p.found, v)
}

// refuse notes the keys of a statement that was not taken, so that later uses of
// them are not reported as undefined.
func (p *fileParser) refuse(cmd syntax.Command) {
	var assigns []*syntax.Assign
	switch cmd := cmd.(type) {
	case *syntax.CallExpr:
		assigns = cmd.Assigns
	case *syntax.DeclClause:
		assigns = cmd.Args
	}
	for _, a := range assigns {
		if a.Name != nil {
			p.refused[a.Name.Value] = true
		}
	}
}

// lookup is the value a reference stands for.
func (p *fileParser) lookup(name string) (value string, ok bool) {
	p.used[name] = true
	if value, ok = p.vars[name]; ok {
		return value, true
	}
	if p.refused[name] {
		return "", true
	}
	value, ok = p.environ[name]
	return value, ok
}
