package configs

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// RegisterFlags adds a flag for every setting of the groups that may have one. The
// flags carry text only; [Load] reads and checks it together with the other sources.
func RegisterFlags(flags *pflag.FlagSet, groups ...Group) {
	for _, s := range table {
		if !s.Secret && slices.Contains(groups, s.Group) {
			registerFlag(flags, s)
		}
	}
}

// RegisterFlag adds the flag of one setting, which must exist and be no secret.
func RegisterFlag(flags *pflag.FlagSet, name string) {
	s, ok := Lookup(name)
	if !ok || s.Secret {
		panic("configs: no flag for " + name)
	}
	registerFlag(flags, s)
}

func registerFlag(flags *pflag.FlagSet, s Setting) {
	usage := strings.ReplaceAll(s.Help, "`", "")
	if s.Default != "" {
		usage += " (default " + strings.ReplaceAll(s.Default, "`", "") + ")"
	}
	kind := s.Kind()
	flag := flags.VarPF(&flagText{kind: kind}, s.Flag(), "", usage)
	if kind == boolean.name {
		flag.NoOptDefVal = "true"
	}
}

// ChangedFlags returns the text of the flags that were given, by the setting's
// name, as [Sources] takes it.
func ChangedFlags(flags *pflag.FlagSet) map[string]string {
	given := map[string]string{}
	for _, s := range table {
		if s.Secret {
			continue
		}
		if flag := flags.Lookup(s.Flag()); flag != nil && flag.Changed {
			given[s.Name] = flag.Value.String()
		}
	}
	return given
}

// flagText is a flag's value before anybody looked into it.
type flagText struct {
	kind string
	text string
}

func (f *flagText) Set(text string) error { f.text = text; return nil }
func (f *flagText) String() string        { return f.text }
func (f *flagText) Type() string          { return f.kind }

// IsBoolFlag tells pflag that the flag may stand without a value.
func (f *flagText) IsBoolFlag() bool { return f.kind == boolean.name }
