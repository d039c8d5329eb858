package resolvconf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// state is what is at a path.
type state struct {
	// Link is the target of a symbolic link, Content what a file holds. Without either,
	// nothing is there.
	Link    string `json:"link,omitempty"`
	Content []byte `json:"content,omitempty"`
	Exists  bool   `json:"exists"`
	// Mode holds the permissions of a file.
	Mode fs.FileMode `json:"mode,omitempty"`
}

// text is a file that all may read.
func text(content string) state { return state{Exists: true, Content: []byte(content), Mode: 0o644} }

// link is a symbolic link.
func link(target string) state { return state{Exists: true, Link: target} }

// same tells whether two states are the same to a reader.
func (s state) same(other state) bool {
	return s.Exists == other.Exists && s.Link == other.Link && string(s.Content) == string(other.Content)
}

// look reads what is at a path.
func look(path string) (state, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return state{}, nil
	case err != nil:
		return state{}, err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return link(target), err
	case !info.Mode().IsRegular():
		return state{}, fmt.Errorf("%s is neither a file nor a link; move it away (a container engine makes a folder where a file to mount is missing)", path)
	}
	content, err := os.ReadFile(path)
	return state{Exists: true, Content: content, Mode: info.Mode().Perm()}, err
}

// put makes a path what s says. Readers see the old or the new, but for a path that a
// container engine has mounted: that can only be written to.
func (s state) put(path string) error {
	if !s.Exists {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	next := path + ".panteras"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var err error
	if s.Link != "" {
		err = os.Symlink(s.Link, next)
	} else {
		err = writeSynced(next, s.Content, s.Mode)
	}
	if err == nil {
		err = os.Rename(next, path)
	}
	if err == nil {
		return nil
	}
	_ = os.Remove(next)
	if errors.Is(err, unix.EBUSY) && s.Link == "" {
		return os.WriteFile(path, s.Content, s.Mode)
	}
	return err
}

func writeSynced(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()) // whatever the umask is
}
