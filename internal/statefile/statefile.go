// Package statefile keeps files that must survive a crash and be nobody else's:
// 0600 in folders of 0700, and on disk before a call returns.
package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	filePerm = 0o600
	dirPerm  = 0o700
	openPerm = 0o755
)

// Write replaces a file, or makes it, and its folder where it lacks. Whoever
// reads the file sees the old content or the new one, whatever happens.
func Write(path string, content []byte) error {
	temp, err := write(path, content)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

// Create makes a file that must not exist: errors.Is(err, fs.ErrExist) tells that
// somebody was faster. Nobody ever sees a part of it.
func Create(path string, content []byte) error {
	temp, err := write(path, content)
	if err != nil {
		return err
	}
	// A link, unlike a rename, refuses to replace what is there.
	err = os.Link(temp, path)
	if err := errors.Join(err, os.Remove(temp)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// ReadSecret reads a file that holds a secret. One that others may read is
// refused, because it is no secret any more.
func ReadSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read or changed by others than its owner (mode %04o); make sure that nobody has read it, then run: chmod 600 %[1]s", path, info.Mode().Perm())
	}
	const most = 64 << 10 // a secret is small; whatever is larger is something else
	content := make([]byte, min(info.Size(), most))
	n, err := f.ReadAt(content, 0)
	if n < len(content) {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return content, nil
}

// MakeFolder makes a folder that is nobody else's, where it lacks. Those above it that lack
// too are open as folders are: daemons of other users have theirs beside this one.
func MakeFolder(dir string) error {
	if err := MakeOpenFolder(filepath.Dir(dir)); err != nil {
		return err
	}
	return os.MkdirAll(dir, dirPerm)
}

// MakeOpenFolder makes a folder that everybody may walk through, such as STATE_DIR, where it
// lacks: daemons of other users have theirs in it.
func MakeOpenFolder(dir string) error { return os.MkdirAll(dir, openPerm) }

// write puts the content on disk beside the file.
func write(path string, content []byte) (temp string, err error) {
	dir := filepath.Dir(path)
	if err := MakeFolder(dir); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(filePerm), f.Sync(), f.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, fs.ErrInvalid) {
		err = nil // a file system that does not know folders as files
	}
	return errors.Join(err, d.Close())
}
