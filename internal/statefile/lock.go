package statefile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Flock locks a file, which is made if need be, as flock(2) has it: how is LOCK_EX or LOCK_SH, with LOCK_NB to fail with
// EWOULDBLOCK where somebody else has the lock.
func Flock(path string, how int) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(f.Fd()), how)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", path, err), f.Close())
	}
	return func() {
		// A child that is just being started has the file, too, and does not unlock by Close.
		_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
		_ = f.Close()
	}, nil
}

// Lock is Flock that nobody else has the lock beside, and that waits for it until ctx is done, trying again after each
// rest.
func Lock(ctx context.Context, path string, rest time.Duration) (unlock func(), err error) {
	ticker := time.NewTicker(rest)
	defer ticker.Stop()
	for {
		unlock, err := Flock(path, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return unlock, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("somebody else holds the lock %s: %w", path, ctx.Err())
		}
	}
}
