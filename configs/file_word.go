package configs

import (
	"bytes"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// wordReader works out the value of an assignment as the shell would, as far as
// that needs no execution.
type wordReader struct {
	parser   *fileParser
	exported bool // the word follows export, where the shell expands more
	failed   bool
	text     strings.Builder
}

// read returns the value; ok is false after a problem.
func (w *wordReader) read(word *syntax.Word) (value string, ok bool) {
	if word == nil {
		return "", true
	}
	for _, part := range word.Parts {
		w.part(part)
	}
	return w.text.String(), !w.failed
}

func (w *wordReader) problem(at syntax.Pos, found, advice string) {
	w.failed = true
	w.parser.problem(at, found, advice)
}

const writeTheValue = "write the value itself; settings files are read, never executed"

func (w *wordReader) part(part syntax.WordPart) {
	switch part := part.(type) {
	case *syntax.Lit:
		w.literal(part)
	case *syntax.SglQuoted:
		if part.Dollar {
			w.problem(part.Pos(), "the quotes $'…'", "use plain single quotes")
			return
		}
		w.text.WriteString(part.Value)
	case *syntax.DblQuoted:
		w.doubleQuoted(part)
	case *syntax.ParamExp:
		w.reference(part)
	default:
		w.problem(part.Pos(), describePart(part), writeTheValue)
	}
}

// literal takes unquoted text: a backslash keeps the next character as it is.
func (w *wordReader) literal(lit *syntax.Lit) {
	text := lit.Value
	if w.splitsDollar(lit) {
		return
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] != '\n' {
				w.text.WriteByte(text[i])
			}
			continue
		case c == '~' && (i == 0 || text[i-1] == ':'):
			w.problem(lit.Pos(), "an unquoted ~", "write the folder's full path, or put ~ in quotes")
			return
		case c == '{' && w.exported:
			w.problem(lit.Pos(), "an unquoted { after export", "put the value in quotes")
			return
		}
		w.text.WriteByte(c)
	}
}

// splitsDollar reports a $ at the end of a line that a backslash continues. The
// shell joins the lines first and may find an expansion, the parser does not.
func (w *wordReader) splitsDollar(lit *syntax.Lit) bool {
	source := w.parser.source[lit.Pos().Offset():]
	source = source[:min(uint(len(source)), lit.End().Offset()-lit.Pos().Offset()+2)]
	if !bytes.Contains(source, []byte("$\\\n")) {
		return false
	}
	w.problem(lit.Pos(), "a $ at the end of a continued line", "put the value on one line")
	return true
}

// doubleQuoted takes "…", where a backslash is special only before a few characters.
func (w *wordReader) doubleQuoted(quoted *syntax.DblQuoted) {
	if quoted.Dollar {
		w.problem(quoted.Pos(), `the quotes $"…"`, "use plain double quotes")
		return
	}
	for _, part := range quoted.Parts {
		lit, ok := part.(*syntax.Lit)
		if !ok {
			w.part(part)
			continue
		}
		if w.splitsDollar(lit) {
			return
		}
		text := lit.Value
		for i := 0; i < len(text); i++ {
			if text[i] == '\\' && i+1 < len(text) && strings.IndexByte("$`\"\\\n", text[i+1]) >= 0 {
				i++
				if text[i] == '\n' {
					continue
				}
			}
			w.text.WriteByte(text[i])
		}
	}
}

// reference takes $NAME and ${NAME}; every other parameter expansion computes.
func (w *wordReader) reference(exp *syntax.ParamExp) {
	const advice = "only $KEY and ${KEY} may stand in a value; put a $ that is meant literally in single quotes"
	source := string(w.parser.source[exp.Pos().Offset():exp.End().Offset()])
	name := ""
	if exp.Param != nil {
		name = exp.Param.Value
	}
	switch {
	case source != "$"+name && source != "${"+name+"}":
		w.problem(exp.Pos(), "a parameter expansion that computes (${…})", advice)
		return
	case !isKey(name):
		w.problem(exp.Pos(), "the shell's own parameter $"+name, advice)
		return
	}
	value, ok := w.parser.lookup(name)
	if !ok {
		w.problem(exp.Pos(), fmt.Sprintf("$%s, which is not defined", name),
			fmt.Sprintf("assign %s on an earlier line, or put a $ that is meant literally in single quotes", name))
		return
	}
	if w.text.Len()+len(value) > longestValue {
		w.problem(exp.Pos(), "a value longer than 64 KiB", "shorten it")
		return
	}
	w.text.WriteString(value)
}

// longestValue bounds what references can build: K=$K$K doubles with every line.
const longestValue = 64 << 10

// isKey tells whether text is a name that files can assign. The underscore alone
// is the shell's: it is the last word of the command before.
func isKey(text string) bool {
	if text == "" || text == "_" || text[0] >= '0' && text[0] <= '9' {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool { return r == '-' || !isNameRune(r) })
}

func describePart(part syntax.WordPart) string {
	switch part := part.(type) {
	case *syntax.CmdSubst:
		if part.Backquotes {
			return "a command substitution (`…`)"
		}
		return "a command substitution ($(…))"
	case *syntax.ArithmExp:
		return "an arithmetic expansion ($((…)))"
	case *syntax.ProcSubst:
		return "a process substitution (<(…))"
	case *syntax.ExtGlob:
		return "a pattern (such as @(…))"
	}
	return "a shell expansion"
}

func describeCommand(cmd syntax.Command) string {
	switch cmd := cmd.(type) {
	case *syntax.IfClause:
		return "an if clause"
	case *syntax.WhileClause:
		return "a while or until loop"
	case *syntax.ForClause:
		return "a for or select loop"
	case *syntax.CaseClause:
		return "a case clause"
	case *syntax.Block:
		return "a block ({ …; })"
	case *syntax.Subshell:
		return "a subshell ((…))"
	case *syntax.BinaryCmd:
		if cmd.Op == syntax.Pipe || cmd.Op == syntax.PipeAll {
			return "a pipe"
		}
		return "a command list (" + cmd.Op.String() + ")"
	case *syntax.FuncDecl:
		return "a function"
	case *syntax.ArithmCmd:
		return "an arithmetic command (((…)))"
	case *syntax.TestClause:
		return "a test ([[ … ]])"
	case *syntax.LetClause:
		return "the command let"
	case *syntax.TimeClause:
		return "the command time"
	case *syntax.CoprocClause:
		return "a coprocess"
	}
	return "a shell construct"
}
