package configs

import (
	"slices"
	"strings"
)

// Group tells settings apart by who has a use for them.
type Group string

// The groups of settings.
const (
	// GroupCommon are the settings of the host and of its names, which everything
	// that runs there may need.
	GroupCommon Group = ""
	// GroupTunnel are what the gateway and the commands about peers need beside those.
	GroupTunnel Group = "tunnel"
	// GroupDaemons only decide which daemons a host runs, and how.
	GroupDaemons Group = "daemons"
)

// Setting is one row of the table: one named value an operator may give.
type Setting struct {
	// Name is the name in the environment and in the settings files.
	Name string
	// Default is the text documentation shows. It is also the value itself,
	// unless the default comes from the host or from other settings.
	Default string
	// Help is one plain sentence or two about what the setting does.
	Help string
	// Secret settings have no flag, because argv is public, and their value is
	// never printed.
	Secret bool
	// Group says who has a use for the setting.
	Group Group
	// AliasOf names the setting that this deprecated name stands for.
	AliasOf string

	// value ties the row to its field; nil for an alias, which uses the value
	// of the setting it stands for.
	value value
	// derive computes the default from the host and from other settings, for
	// rows whose Default is a description. Rows are derived in table order.
	derive func(*resolution)

	// keepEmpty makes an empty value a value, where otherwise it means "unset".
	keepEmpty bool
	// keepBlank makes an all-blank value a value, where otherwise surrounding
	// blanks are dropped.
	keepBlank bool
	// belowFiles ranks the environment below the files.
	belowFiles bool
}

// Flag is the setting's flag without the leading dashes: the name in kebab
// case. It is "" for a secret, which has no flag.
func (s Setting) Flag() string {
	if s.Secret {
		return ""
	}
	return flagName(s.Name)
}

// Kind is one word for what the setting holds, such as "port" or "addresses".
func (s Setting) Kind() string {
	if s.AliasOf != "" {
		if target, ok := Lookup(s.AliasOf); ok {
			return target.Kind()
		}
	}
	return s.value.kind()
}

// All returns the table: every setting in the order of the documentation.
func All() []Setting {
	return slices.Clone(table)
}

// Lookup finds a setting by its name in the environment.
func Lookup(name string) (Setting, bool) {
	i := slices.IndexFunc(table, func(s Setting) bool { return s.Name == name })
	if i < 0 {
		return Setting{}, false
	}
	return table[i], true
}

// SecretOfFlag names the secret setting that the flag would have set, had
// secrets flags, so that a command can say why there is none.
func SecretOfFlag(flag string) (name string, ok bool) {
	for _, s := range table {
		if s.Secret && flagName(s.Name) == flag {
			return s.Name, true
		}
	}
	return "", false
}

func flagName(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}

// clean normalises a raw value and tells whether it counts as given.
func (s Setting) clean(raw string) (text string, given bool) {
	text = strings.TrimSpace(raw)
	if text == "" && raw != "" && s.keepBlank {
		return raw, true
	}
	return text, text != "" || s.keepEmpty
}
