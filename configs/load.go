package configs

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Sources is where [Load] looks for settings.
type Sources struct {
	// Dir is the folder of the files common, host and overwrite. When it is
	// empty and not DirGiven, ./restricted is taken if it exists, else
	// /etc/panteras.
	Dir string
	// DirGiven tells that the operator named the folder, which must then exist.
	DirGiven bool
	// Environ is the process environment as NAME=value; a later entry beats an
	// earlier one. Names that are no settings are ignored.
	Environ []string
	// Flags are the values of flags that were given, by the setting's name; see
	// [ChangedFlags].
	Flags map[string]string
	// Host is the machine the settings are for.
	Host HostFacts
}

// Loaded is what [Load] found.
type Loaded struct {
	// Settings are checked and complete, if Load returned no error.
	Settings Settings
	// Origins tells for every row of the table, in its order, what its value is
	// and where it came from.
	Origins []Origin
	// Findings are everything that was found wrong: the errors that Load returned,
	// then warnings about what has no effect or should be written otherwise.
	Findings []Finding
	// DaemonEnv are the variables of the file env, which are for daemons only.
	DaemonEnv map[string]string
	// Dir is the folder that was read, whether it exists or not.
	Dir string
}

// Warnings are the messages of the findings that are no errors.
func (l *Loaded) Warnings() []string {
	var list []string
	for _, f := range l.Findings {
		if f.Level == LevelWarning {
			list = append(list, f.Message)
		}
	}
	return list
}

// Given tells whether a setting has a value that is not its default.
func (l *Loaded) Given(name string) bool {
	for _, o := range l.Origins {
		if o.Name == name {
			return o.Origin != originDefault
		}
	}
	return false
}

// Origin is one setting's value and where it came from.
type Origin struct {
	// Name is the setting's name in the environment.
	Name string
	// Value is the value in effect, as text that could be given again. For a
	// value with an error it is the text that was given. Use [Origin.Shown] to
	// print it.
	Value string
	// Origin is "default", a file and line such as "restricted/host:3",
	// "environment", or a flag such as "--dns-port". A deprecated name that was
	// not used has "alias of" and the name it stands for.
	Origin string
	// Secret values are never to be printed.
	Secret bool

	shown string
}

// Shown is the value for printing: a secret that is set becomes asterisks, also
// where it was copied into another setting.
func (o Origin) Shown() string {
	if o.Secret && o.Value != "" {
		return Masked
	}
	return maskPassword(o.shown)
}

// Load reads the settings files, puts the environment and the flags above them,
// fills in defaults and checks everything. From low to high precedence:
// default < common < host < overwrite < environment < flag; an inherited
// HOSTNAME ranks below the files. An empty value means the default, even where
// it hides a value of lower precedence.
//
// The files are shell assignments: KEY=VALUE or export KEY=VALUE, with quotes,
// backslashes, comments, and references $KEY or ${KEY} to earlier keys and to
// the environment. Whatever a shell would have to execute or compute is an
// error.
//
// The error joins everything that was found wrong, one sentence each. Loaded is
// never nil: with an error its Origins and Findings can be shown, but its
// Settings must not be used.
func Load(src Sources) (*Loaded, error) {
	var problems []error
	dir, err := chooseDir(src)
	if err != nil {
		problems = append(problems, err)
	}

	environ := environMap(src.Environ)
	if _, ok := environ["HOSTNAME"]; !ok && src.Host.Hostname != "" {
		// The shell sets this one itself, so files may rely on it.
		environ["HOSTNAME"] = src.Host.Hostname
	}
	parser := newFileParser(environ)
	var files []layer
	var daemonEnv map[string]string
	if err == nil {
		files = readFiles(dir, parser)
		var bad []error
		daemonEnv, bad = readDaemonEnv(dir)
		parser.problems = append(parser.problems, bad...)
	}
	problems = append(problems, parser.problems...)

	below, above := environLayers(src.Environ)
	layers := slices.Concat([]layer{below}, files, []layer{above, flagLayer(src.Flags)})
	r := resolve(layers, canonical(parser.refused), src.Host)
	problems = append(problems, r.problems...)

	return &Loaded{
		Settings:  r.Settings,
		DaemonEnv: daemonEnv,
		Origins:   r.origins(),
		Findings:  findingsOf(problems, append(unknownKeys(files, parser.used), r.warnings...)),
		Dir:       dir,
	}, errors.Join(problems...)
}

// canonical replaces deprecated names by the names of the settings they stand for.
func canonical(names map[string]bool) map[string]bool {
	result := map[string]bool{}
	for name := range names {
		if s, ok := Lookup(name); ok && s.AliasOf != "" {
			name = s.AliasOf
		}
		result[name] = true
	}
	return result
}

// origins lists the outcome in table order.
func (r *resolution) origins() []Origin {
	var list []Origin
	for _, s := range table {
		o := Origin{Name: s.Name, Origin: r.origin(s.Name), Secret: s.Secret}
		g, isGiven := r.given[s.Name]
		switch {
		case s.AliasOf != "":
			target, _ := Lookup(s.AliasOf)
			o.Value, o.Origin = target.value.text(&r.Settings), "alias of "+s.AliasOf
			if g, ok := r.given[s.AliasOf]; ok && g.name == s.Name {
				o.Origin = g.origin
			}
		case isGiven && (r.bad[s.Name] || s.value == value(optOut{})):
			o.Value = maskPassword(g.raw)
		default:
			o.Value = s.value.text(&r.Settings)
		}
		o.shown = r.redact(o.Value)
		list = append(list, o)
	}
	return list
}

// mostUnknown is how many unknown keys of a file are named one by one: a file with more
// is none of settings, and to look for what each may mean would take minutes.
const mostUnknown = 20

// unknownKeys warns of keys in files that no setting has. A key that other values
// refer to serves its purpose and is left in peace.
func unknownKeys(files []layer, used map[string]bool) []Finding {
	var warnings []Finding
	for _, l := range files {
		var unknown []given
		for key, g := range l {
			if _, known := Lookup(key); !known && !used[key] {
				unknown = append(unknown, g)
			}
		}
		// Origins of one file differ in the line only, so this is the order of lines.
		slices.SortFunc(unknown, func(a, b given) int {
			return cmp.Or(cmp.Compare(len(a.origin), len(b.origin)), strings.Compare(a.origin, b.origin), strings.Compare(a.name, b.name))
		})
		for i, g := range unknown {
			if more := len(unknown) - i; i == mostUnknown && more > 1 {
				warnings = append(warnings, Finding{LevelWarning, g.name, fmt.Sprintf("%s: %s and %d more keys of this file are not settings and have no effect; is it a settings file?", g.origin, g.name, more-1)})
				break
			}
			text := fmt.Sprintf("%s: %s is not a setting and has no effect", g.origin, g.name)
			if near := nearest(g.name); near != "" {
				text += "; did you mean " + near + "?"
			}
			warnings = append(warnings, Finding{LevelWarning, g.name, text})
		}
	}
	return warnings
}
