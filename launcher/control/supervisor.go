package control

import (
	"context"
	"errors"

	"panteras/launcher"
	"panteras/launcher/logs"
)

// ErrRefused is wrapped by errors of a [Supervisor] that tell why something cannot be
// done in the state that things are in, such as the start of a daemon whose program is
// not installed.
var ErrRefused = errors.New("refused")

// Supervisor is the part of the launcher that is controlled. Its methods return when
// the thing is done or ctx is; what was begun goes on then. It is asked only about
// daemons that its status names.
type Supervisor interface {
	Status() launcher.Status
	Start(ctx context.Context, name string) error
	Stop(ctx context.Context, name string) error
	Restart(ctx context.Context, name string) error
	// Reload makes a daemon read its settings again; name "" reads all settings again
	// and does what differs.
	Reload(ctx context.Context, name string) error
	// Upgrade goes on as the program at path, an absolute one. It returns when the
	// program was found fit; the change follows, and no daemon notices.
	Upgrade(ctx context.Context, path string) error
}

// Logs is the output of daemons.
type Logs interface {
	Tail(daemon string, n int) []logs.Line
	Follow(ctx context.Context, daemon string, n int) <-chan logs.Line
	Dropped() (console, files uint64)
}
