package launcher

import (
	"slices"
	"strconv"
	"strings"

	"panteras/configs"
)

// arg is one option of a program, as the words that stand on its command line.
type arg struct {
	name string
	text []string
	// repeats tells that the option may be given many times, so that one more does
	// not replace it.
	repeats bool
}

// joinedArg is an option written name=value, with its dashes.
func joinedArg(name, value string) arg {
	return arg{name: flagName(name), text: []string{name + "=" + value}}
}

// spacedArg is an option written as two words.
func spacedArg(name, value string) arg { return arg{name: flagName(name), text: []string{name, value}} }

// bareArg is an option without a value, or any other word.
func bareArg(name string) arg { return arg{name: flagName(name), text: []string{name}} }

// arguments puts a command line together. APP_PARAMS replace all that follows the
// program. PARAMS are appended, and where they hold an option that is there already
// theirs is the only one, because Mesos and Marathon refuse to be told twice.
func arguments(program []string, args []arg, p configs.Process) []string {
	if len(p.AppParams) > 0 {
		return slices.Concat(program, p.AppParams)
	}
	argv := slices.Clone(program)
	for _, a := range args {
		if _, replaced := option(p.Params, a.name); a.repeats || !replaced {
			argv = append(argv, a.text...)
		}
	}
	return append(argv, p.Params...)
}

// option finds the value of an option in words; the last one counts. An option
// without a value has "".
func option(words []string, name string) (value string, ok bool) {
	for i, word := range words {
		if name == "" || flagName(word) != name {
			continue
		}
		ok = true
		if _, after, cut := strings.Cut(word, "="); cut {
			value = after
		} else if value = ""; i+1 < len(words) && !strings.HasPrefix(words[i+1], "-") {
			value = words[i+1]
		}
	}
	return value, ok
}

// flagName is the name of an option without dashes and value; --no-x is x. It is ""
// for other words.
func flagName(word string) string {
	if !strings.HasPrefix(word, "-") {
		return ""
	}
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	return strings.TrimPrefix(name, "no-")
}

// portOption is the port that an option sets, or the program's own.
func portOption(argv []string, name string, byDefault uint16) uint16 {
	text, _ := option(argv, name)
	if n, err := strconv.ParseUint(text, 10, 16); err == nil && n > 0 {
		return uint16(n)
	}
	return byDefault
}
