package proc

import (
	"errors"
	"os"
)

// EnvDaemon marks every process of a daemon: its value is the daemon's name.
const EnvDaemon = "PANTERAS_DAEMON"

// ErrAbsent is a program that is not installed.
var ErrAbsent = errors.New("not installed")

// Spec says what to run and how.
type Spec struct {
	// Name is that of the daemon.
	Name string
	// Argv is the program and its arguments. The program is looked up in the PATH of
	// Env, unless it is a path.
	Argv []string
	// Env is the whole environment; EnvDaemon, and for Listen the variables of
	// sd_listen_fds(3), are added.
	Env map[string]string
	// User is a name or a number; "" and the user that runs this mean no change.
	User string
	// NOFile is how many files it may have open, as soft and as hard limit; 0 leaves
	// the limit as it is.
	NOFile int
	// Caps are the capabilities (unix.CAP_…) that a User who is not root keeps, and the
	// only ones that root has; none leaves root all.
	Caps []uintptr
	// Dir is the folder it works in; "" is the root.
	Dir string
	// Stdout and Stderr may be nil: /dev/null, as stdin always is.
	Stdout, Stderr *os.File
	// Listen are sockets that it finds as descriptors 3 and up.
	Listen []Listener
	// Self says that Argv[0] is this very program, whatever lies at its path now.
	Self bool
}

// Listener is a socket handed over, with the name of sd_listen_fds_with_names(3).
type Listener struct {
	Name string
	File *os.File
}
