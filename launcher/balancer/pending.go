package balancer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// pendingFile lies in RunDir from before a snapshot is applied until it is in effect, and
// holds it: something may be in its way, or HAProxy does not run. So it is not lost with the
// process that applies it, or with consul-template.
const pendingFile = "pending.json"

// keep makes a snapshot the one that is pending. Where that cannot be written nothing is:
// an older one must not come back after it, and the next change has to try again.
func (b *Balancer) keep(text []byte) {
	path := filepath.Join(b.RunDir, pendingFile)
	err := writeFile(path, text, fleeting)
	if err == nil {
		return
	}
	err = errors.Join(err, b.forget())
	if writeFile(path, text, fleeting) == nil { // in the room of the older one
		return
	}
	b.Log.Error("a snapshot that may not come into effect cannot be kept for later", "error", err)
}

// forget tells that nothing is pending.
func (b *Balancer) forget() error {
	err := os.Remove(filepath.Join(b.RunDir, pendingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// pending is the snapshot that is pending; nil if none is.
func (b *Balancer) pending() ([]byte, error) {
	text, _, err := readOwn(filepath.Join(b.RunDir, pendingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// Pending tells whether a snapshot in a RunDir is not in effect and to be tried again.
func Pending(runDir string) bool { return !PendingSince(runDir).IsZero() }

// Applying tells whether a snapshot is being applied by a process that uses a StateDir.
func Applying(stateDir string) bool {
	f, err := os.OpenFile(filepath.Join(stateDir, lockFile), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	return errors.Is(err, unix.EWOULDBLOCK)
}

// PendingSince is when the snapshot was tried last that is pending; zero if none is.
func PendingSince(runDir string) time.Time {
	info, err := os.Lstat(filepath.Join(runDir, pendingFile))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// ownBytes is how large a file of ours may be: the folder belongs to HAProxy's user, and
// who reads it may be root.
const ownBytes = 16 << 20

// readOwn reads a file of ours in a folder that belongs to somebody else.
func readOwn(path string) (text []byte, written time.Time, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	if !info.Mode().IsRegular() {
		return nil, time.Time{}, fmt.Errorf("%s is not a file but a %v", path, info.Mode())
	}
	text, err = io.ReadAll(io.LimitReader(f, ownBytes+1))
	if err == nil && len(text) > ownBytes {
		err = fmt.Errorf("%s has more than %d MiB", path, ownBytes>>20)
	}
	return text, info.ModTime(), err
}
