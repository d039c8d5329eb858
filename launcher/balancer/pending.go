package balancer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// pendingFile lies in RunDir from before a snapshot is applied until it is in effect, so
// that it is not lost with the process that applies it, or with consul-template.
const pendingFile = "pending.json"

// mostRefusals is how often HAProxy is shown a configuration that it does not take: what
// it complains of may pass, such as a port that somebody took at that moment.
const mostRefusals = 5

// pending is a snapshot that is not in effect, and may be later: something was in its
// way, or HAProxy does not run.
type pending struct {
	// Refused is how often HAProxy did not take it.
	Refused  int             `json:"refused,omitempty"`
	Snapshot json.RawMessage `json:"snapshot"`
}

// notTaken is an error of HAProxy's about a configuration.
type notTaken struct{ error }

func (e *notTaken) Unwrap() error { return e.error }

// keep makes a snapshot the one that is pending. Where that cannot be written nothing
// tries again by itself, and the next change has to.
func (b *Balancer) keep(p *pending) {
	text, err := json.Marshal(p)
	if err == nil {
		err = writeFile(filepath.Join(b.RunDir, pendingFile), text, fleeting)
	}
	if err != nil {
		b.Log.Error("a snapshot that may not come into effect cannot be kept for later", "error", err)
	}
}

// forget tells that nothing is pending.
func (b *Balancer) forget() error {
	err := os.Remove(filepath.Join(b.RunDir, pendingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// pending is what is pending; nil if nothing is.
func (b *Balancer) pending() (*pending, error) {
	path := filepath.Join(b.RunDir, pendingFile)
	text, _, err := readOwn(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &pending{}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is no snapshot: %w", path, err), b.forget())
	}
	return p, nil
}

// Pending tells whether a snapshot in a RunDir is not in effect and to be tried again.
func Pending(runDir string) bool { return !PendingSince(runDir).IsZero() }

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
