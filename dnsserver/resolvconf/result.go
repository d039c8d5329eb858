package resolvconf

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Result says what was done.
type Result struct {
	// Manager is who writes resolv.conf, "" if nothing had to be done.
	Manager string
	// Paths are those that were changed.
	Paths []string
	// Kept are paths that somebody has changed since, and that were left alone.
	Kept []string
	// Edited are paths that were put back although somebody has changed them since, because
	// they made the host ask a server that may go; what they were is beside them, as [beside].
	Edited []string
}

// beside is what the name of a file ends in that somebody has changed, and that was put back.
const beside = ".edited"

// Describe tells people what a result is.
func (r *Result) Describe() string {
	if r.Manager == "" {
		return "nothing had to be changed\n"
	}
	var b strings.Builder
	for _, path := range r.Paths {
		fmt.Fprintf(&b, "changed %s\n", path)
	}
	for _, path := range r.Edited {
		fmt.Fprintf(&b, "somebody had changed %s; what it was is in %[1]s%s\n", path, beside)
	}
	for _, path := range r.Kept {
		fmt.Fprintf(&b, "left %s alone: somebody has changed it since; --force puts it back all the same\n", path)
	}
	return b.String()
}

// nobody tells by the error of what should have told the manager whether there is nobody to
// tell: it is not installed any more, or does not run, and reads its files when it starts
// (nmcli(1) then ends with 8, systemctl(1) with 5).
func (r record) nobody(err error) bool {
	if errors.Is(err, exec.ErrNotFound) {
		return true
	}
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		return false
	}
	return r.Tell[0] == "nmcli" && ended.ExitCode() == 8 || r.Tell[0] == "systemctl" && ended.ExitCode() == 5
}
