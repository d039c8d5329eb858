package balancer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"panteras/configs/haproxy"
)

// lastDir lies in StateDir while what is in place has not been in effect, and has the
// files that were before. So they are there for the process that finds out that HAProxy
// does not take the new ones, which may be a later one.
const lastDir = "last"

// keepLast keeps the files that are in place, with the report of them, unless older ones
// are kept that were the last in effect.
func (b *Balancer) keepLast(config *haproxy.Config, running string) error {
	dir := filepath.Join(b.StateDir, lastDir)
	_, err := os.Lstat(filepath.Join(dir, haproxy.ConfigFile)) // there is none where nothing was in place
	started := running != "" && running == b.shapeInPlace()    // with the newer ones
	if err == nil && !started {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	aside := dir + ".new" // it is there as a whole, or not at all
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Mkdir(aside, 0o700); err != nil {
		return err
	}
	link := func(name string) error {
		err := os.Link(filepath.Join(b.StateDir, name), filepath.Join(aside, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for name := range config.Files {
		if err := link(name); err != nil {
			return err
		}
	}
	if err := link(ReportFile); err != nil {
		return err
	}
	return os.Rename(aside, dir)
}

// shapeInPlace is the description in the configuration that is in place.
func (b *Balancer) shapeInPlace() string {
	text, _ := os.ReadFile(filepath.Join(b.StateDir, haproxy.ConfigFile))
	for line := range strings.Lines(string(text)) {
		if shape, ok := strings.CutPrefix(strings.TrimSpace(line), "description "); ok {
			return shape
		}
	}
	return ""
}

// restoreLast puts back what is kept, if anything is.
func (b *Balancer) restoreLast() error {
	dir := filepath.Join(b.StateDir, lastDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := b.restoreFile(entry.Name()); err != nil {
			return err // what is kept stays for the next time
		}
	}
	if err := syncPath(b.StateDir); err != nil {
		return err
	}
	return b.forgetLast()
}

// restoreFile puts one file back, and keeps it until all are.
func (b *Balancer) restoreFile(name string) error {
	aside := filepath.Join(b.StateDir, "."+name+".last")
	_ = os.Remove(aside) // of a process that was killed
	if err := os.Link(filepath.Join(b.StateDir, lastDir, name), aside); err != nil {
		return err
	}
	defer func() { _ = os.Remove(aside) }() // a rename leaves it where both are one file
	return os.Rename(aside, filepath.Join(b.StateDir, name))
}

// forgetLast tells that what is in place is in effect.
func (b *Balancer) forgetLast() error { return os.RemoveAll(filepath.Join(b.StateDir, lastDir)) }
