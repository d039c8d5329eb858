package configs

import "strings"

// given is a value as an operator wrote it, and where.
type given struct {
	name   string // as written: the alias where an alias was used
	raw    string
	origin string
}

// layer is one source of values: a file, the environment or the flags.
type layer map[string]given

// originDefault is the origin of values that nobody gave.
const originDefault = "default"

// originEnviron is the origin of values from the process environment.
const originEnviron = "environment"

// environLayers splits the environment in two: the settings that rank below the
// files, and the others.
func environLayers(environ []string) (below, above layer) {
	below, above = layer{}, layer{}
	vars := environMap(environ)
	for _, s := range table {
		raw, ok := vars[s.Name]
		if !ok {
			continue
		}
		target := above
		if s.belowFiles {
			target = below
		}
		target[s.Name] = given{name: s.Name, raw: raw, origin: originEnviron}
	}
	return below, above
}

// environMap reads NAME=value strings; a later one beats an earlier one.
func environMap(environ []string) map[string]string {
	vars := make(map[string]string, len(environ))
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			vars[name] = value
		}
	}
	return vars
}

func flagLayer(flags map[string]string) layer {
	l := layer{}
	for _, s := range table {
		if raw, ok := flags[s.Name]; ok && !s.Secret {
			l[s.Name] = given{name: s.Name, raw: raw, origin: "--" + s.Flag()}
		}
	}
	return l
}

// topmost finds what the highest layer says about a setting, under its own name
// or under a deprecated one. Within one layer the setting's own name wins.
// Everything that was said under a deprecated name is in aliases.
func topmost(layers []layer, s Setting) (top given, found bool, aliases []given) {
	for i := len(layers) - 1; i >= 0; i-- {
		names := []string{s.Name}
		for _, other := range table {
			if other.AliasOf == s.Name {
				names = append(names, other.Name)
			}
		}
		for j, name := range names {
			g, ok := layers[i][name]
			if !ok {
				continue
			}
			if j > 0 {
				aliases = append(aliases, g)
			}
			if !found {
				top, found = g, true
			}
		}
	}
	return top, found, aliases
}
