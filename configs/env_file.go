package configs

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// envFileName is the file beside the settings files with variables for daemons.
const envFileName = "env"

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// readDaemonEnv reads the variables that are handed to daemons: a line each, NAME=VALUE,
// as Docker has them in an env_file. The value is taken as it stands, without a pair
// of quotes around it; nothing in it refers to anything else.
func readDaemonEnv(dir string) (env map[string]string, problems []error) {
	path := filepath.Join(dir, envFileName)
	content, err := readFile(path)
	if err != nil {
		return nil, []error{err}
	}
	env = map[string]string{}
	n := 0
	for line := range strings.Lines(string(normalise(content))) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		switch {
		case !found || !variableName.MatchString(name):
			// The line is not shown: it may be a piece of a secret.
			problems = append(problems, fmt.Errorf("%s:%d: found a line that is not NAME=VALUE; write one variable for daemons on each line", path, n))
		case strings.ContainsRune(value, 0):
			problems = append(problems, fmt.Errorf("%s:%d: found a NUL byte in %s; the file must be plain text", path, n, name))
		default:
			env[name] = unquoted(value)
		}
	}
	return env, problems
}

// unquoted drops a pair of quotes.
func unquoted(text string) string {
	if n := len(text); n >= 2 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0] {
		return text[1 : n-1]
	}
	return text
}
