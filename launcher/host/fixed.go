package host

import (
	"errors"
	"fmt"

	"panteras/configs"
)

// fixed says which settings differ that cannot change while the launcher runs: its
// control socket and what daemons have written lie there.
func fixed(old, next *configs.Settings) error {
	var errs []error
	for _, s := range []struct{ name, old, next string }{
		{"RUN_DIR", old.RunDir, next.RunDir},
		{"STATE_DIR", old.StateDir, next.StateDir},
	} {
		if s.old != s.next {
			errs = append(errs, fmt.Errorf("%s is %s and cannot become %s while the launcher runs; stop it and start it anew", s.name, s.old, s.next))
		}
	}
	return errors.Join(errs...)
}

// late are the settings that differ and are read when the launcher starts.
func late(old, next *configs.Settings) []string {
	var names []string
	for _, s := range []struct {
		name    string
		differs bool
	}{
		{"LOG_DIR", old.LogDir != next.LogDir},
		{"LOG_FORMAT", old.LogFormat != next.LogFormat},
		{"LOG_LEVEL", old.LogLevel != next.LogLevel},
		{"STATUS_LISTEN", old.StatusListen != next.StatusListen},
	} {
		if s.differs {
			names = append(names, s.name)
		}
	}
	return names
}
