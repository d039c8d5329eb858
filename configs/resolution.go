package configs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// resolution is the settings while they are worked out, with where each value
// came from and everything that was found wrong.
type resolution struct {
	Settings
	host     HostFacts
	given    map[string]given // by name; settings that nobody gave are missing
	bad      map[string]bool  // settings whose value could not be used
	secrets  []string         // values that no message may hold
	problems []error
	warnings []Finding
}

// resolve works the settings out of layers, lowest first. It is pure. The names
// in bad had a value that could not be read; what follows from their absence is
// not reported.
func resolve(layers []layer, bad map[string]bool, host HostFacts) *resolution {
	r := &resolution{host: host, given: map[string]given{}, bad: bad, secrets: secretsOf(layers)}
	for _, s := range table {
		if s.AliasOf != "" {
			continue
		}
		g, found, aliases := topmost(layers, s)
		r.warnAliases(s, g, aliases)
		r.assign(s, g, found)
	}
	for _, s := range table {
		if s.derive != nil && !r.isSet(s.Name) {
			s.derive(r)
		}
	}
	r.applyOptOut()
	r.check()
	return r
}

// assign takes the given value of a setting, or else its literal default. A bad
// value leaves the default in place, so that one mistake is reported once.
func (r *resolution) assign(s Setting, g given, found bool) {
	text, ok := "", false
	if found {
		text, ok = s.clean(g.raw)
	}
	if s.derive == nil && s.Default != "" {
		if err := s.value.set(&r.Settings, s.Default); err != nil {
			panic(fmt.Sprintf("configs: the default of %s: %v", s.Name, err))
		}
	}
	if !ok {
		return
	}
	g.raw = text
	if err := s.value.set(&r.Settings, text); err != nil {
		r.bad[s.Name] = true
		r.given[s.Name] = g
		r.problemf(s.Name, "%s %v", r.named(s, g), err)
		return
	}
	r.given[s.Name] = g
	delete(r.bad, s.Name)
}

// isSet tells whether an operator gave the setting a value that can be used.
func (r *resolution) isSet(name string) bool {
	_, ok := r.given[name]
	return ok && !r.bad[name]
}

// origin is where the setting's value came from.
func (r *resolution) origin(name string) string {
	if g, ok := r.given[name]; ok {
		return g.origin
	}
	return originDefault
}

// named is how a message begins that is about a given value: where it stands,
// its name and, unless it is secret, the value.
func (r *resolution) named(s Setting, g given) string {
	if s.Secret {
		return fmt.Sprintf("%s: %s (a secret, not shown)", g.origin, g.name)
	}
	return fmt.Sprintf("%s: %s=%s", g.origin, g.name, quote(g.raw))
}

// problemf records an error of a setting. A secret may have been copied into a setting that
// is none, so secrets are cut out of every message.
func (r *resolution) problemf(setting, format string, args ...any) {
	r.problems = append(r.problems, Finding{LevelError, setting, r.redact(fmt.Sprintf(format, args...))})
}

func (r *resolution) warnf(setting, format string, args ...any) {
	r.warnings = append(r.warnings, Finding{LevelWarning, setting, r.redact(fmt.Sprintf(format, args...))})
}

func (r *resolution) warnAliases(s Setting, top given, aliases []given) {
	for _, alias := range aliases {
		if alias == top {
			r.warnf(s.Name, "%s: %s is deprecated: write %s instead", alias.origin, alias.name, s.Name)
			continue
		}
		r.warnf(s.Name, "%s: %s is deprecated and has no effect here: %s (%s) beats it", alias.origin, alias.name, top.name, top.origin)
	}
}

// Masked stands for a secret wherever values are printed.
const Masked = "********"

// secretsOf lists the secret values in all layers, also those that are beaten.
// Values too short to be a secret are left out: cutting them out of messages
// would only spoil the messages.
func secretsOf(layers []layer) []string {
	const shortest = 8
	var secrets []string
	for _, l := range layers {
		for _, s := range table {
			if text := strings.TrimSpace(l[s.Name].raw); s.Secret && len(text) >= shortest {
				secrets = append(secrets, text)
			}
		}
	}
	return secrets
}

func (r *resolution) redact(message string) string {
	for _, secret := range r.secrets {
		message = strings.ReplaceAll(message, secret, Masked)
	}
	return message
}

// userInfo is the user name and password of a URL.
var userInfo = regexp.MustCompile(`//[^/\s]*@`)

// maskPassword hides the user name and password of a URL, which no setting takes but
// messages about it show, and the values of secret flags in arguments of daemons.
func maskPassword(text string) string {
	text = userInfo.ReplaceAllString(text, "//"+Masked+"@")
	return secretFlagText.ReplaceAllString(text, "${1}${2}"+Masked)
}

// quote shows a value in a message, cut short where it is long.
func quote(text string) string {
	const longest = 120
	text = maskPassword(text)
	if len(text) > longest {
		return strconv.Quote(text[:longest]) + "…"
	}
	return strconv.Quote(text)
}
