package main

import (
	"fmt"
	"strings"

	"panteras/launcher"
)

// checkReady is an error that names the daemons of a host which should do their work
// and do not. Those that are not for it, not installed, or stopped by an operator are
// as they should be.
func checkReady(st launcher.Status) error {
	var amiss []string
	for _, d := range st.Daemons {
		switch d.State {
		case launcher.StateReady, launcher.StateDisabled, launcher.StateAbsent, launcher.StateStopped:
		default:
			amiss = append(amiss, fmt.Sprintf("%s (%s)", d.Name, d.State))
		}
	}
	if len(amiss) > 0 {
		return fmt.Errorf("not ready: %s; `panteras status` says why, and `panteras logs DAEMON` what it prints", strings.Join(amiss, ", "))
	}
	return nil
}
