package balancer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"panteras/configs/haproxy"
)

// differs tells whether any file is not in place as it is in config.
func (b *Balancer) differs(config *haproxy.Config) (bool, error) {
	for name, content := range config.Files {
		have, err := os.ReadFile(filepath.Join(b.StateDir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if err != nil || string(have) != content {
			return true, nil
		}
	}
	return false, nil
}

// stage writes a configuration aside and lets HAProxy check it, while it goes to the disk.
func (b *Balancer) stage(ctx context.Context, config *haproxy.Config) error {
	next := filepath.Join(b.StateDir, nextDir)
	if err := os.RemoveAll(next); err != nil {
		return err
	}
	if err := os.Mkdir(next, 0o700); err != nil {
		return err
	}
	var written []string
	for name, content := range config.Files {
		is, err := b.stageFile(name, content)
		if err != nil {
			return err
		}
		if is {
			written = append(written, name)
		}
	}
	program := b.Program
	if program == "" {
		program = "haproxy"
	}
	synced := make(chan error, 1)
	go func() { synced <- syncFiles(next, written) }()
	output, err := exec.CommandContext(ctx, program, "-c", "-q", "-f", filepath.Join(next, haproxy.ConfigFile)).CombinedOutput()
	if syncErr := <-synced; syncErr != nil {
		return syncErr
	}
	if err != nil {
		return fmt.Errorf("HAProxy does not take the configuration in %s, so the last good one stays: %w: %s", next, err, bytes.TrimSpace(output))
	}
	return nil
}

// stageFile writes a file aside, or links the one that is in place where it is the same:
// each that is written has to reach the disk, and most are pages that never change.
func (b *Balancer) stageFile(name, content string) (written bool, err error) {
	next, place := filepath.Join(b.StateDir, nextDir, name), filepath.Join(b.StateDir, name)
	if have, err := os.ReadFile(place); err == nil && string(have) == content && os.Link(place, next) == nil {
		return false, nil
	}
	return true, writeFile(next, []byte(content), fleeting)
}

// syncFiles waits until files are on the disk, all at once.
func syncFiles(dir string, names []string) error {
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			if err := syncPath(filepath.Join(dir, name)); err != nil {
				errs[i] = fmt.Errorf("cannot write %s: %w", name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// install moves what was staged into place, haproxy.cfg last: its map files are there
// before a name in them is needed.
func (b *Balancer) install(config *haproxy.Config) error {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(config.Files)), func(name string) bool { return name == haproxy.ConfigFile })
	for _, name := range append(names, haproxy.ConfigFile) {
		if err := os.Rename(filepath.Join(b.StateDir, nextDir, name), filepath.Join(b.StateDir, name)); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(b.StateDir, nextDir))
}

// lastReport is the report of what is in place; nil if there is none.
func (b *Balancer) lastReport() *haproxy.Report {
	var r haproxy.Report
	if !b.readJSON(filepath.Join(b.StateDir, ReportFile), &r) {
		return nil
	}
	return &r
}

// shapes are those that a running HAProxy may have, by ID.
func (b *Balancer) shapes() map[string]haproxy.Shape {
	var s map[string]haproxy.Shape
	b.readJSON(filepath.Join(b.StateDir, shapesFile), &s)
	return s
}

// readJSON reads a file of ours. A broken one is as good as none: it only says what
// can be spared.
func (b *Balancer) readJSON(path string, value any) bool {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil {
		err = json.Unmarshal(text, value)
	}
	if err != nil {
		b.Log.Warn("cannot read a file of ours, and go on without", "path", path, "error", err)
	}
	return err == nil
}

// durability is whether a file has to be whole after the host lost power. To wait for
// the disk is most of what a change takes on a host that is busy.
type durability bool

const (
	// lasting is what HAProxy, and who holds which route, begin with after a boot.
	lasting durability = true
	// fleeting is what tells of a HAProxy that runs.
	fleeting durability = false
)

// marshal is a value as our files have it.
func marshal(value any) ([]byte, error) {
	text, err := json.MarshalIndent(value, "", " ")
	return append(text, '\n'), err
}

// writeFile replaces a file as a whole, or not at all.
func writeFile(path string, content []byte, d durability) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(content)
	if err == nil && d == lasting {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

// writeReport writes what the next snapshot begins with, and what people read.
func (b *Balancer) writeReport(r haproxy.Report) error {
	text, err := marshal(r)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(b.StateDir, ReportFile), text, lasting); err != nil {
		return err
	}
	return writeFile(filepath.Join(b.RunDir, ReportFile), text, fleeting)
}

// writeRefusal tells people why a snapshot has no effect; the next one begins with what
// the last good one left.
func (b *Balancer) writeRefusal(r haproxy.Report) error {
	text, err := marshal(r)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(b.RunDir, ReportFile), text, fleeting)
}

// writeShapes writes which shapes a running HAProxy may have.
func (b *Balancer) writeShapes(known map[string]haproxy.Shape) error {
	text, err := marshal(known)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(b.StateDir, shapesFile), text, fleeting)
}

// syncPath waits until a file, or what a folder says of its files, is on the disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}

// ReadReport reads the report in a RunDir; written is when it was.
func ReadReport(runDir string) (r *haproxy.Report, written time.Time, err error) {
	path := filepath.Join(runDir, ReportFile)
	text, written, err := readOwn(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	r = &haproxy.Report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, time.Time{}, fmt.Errorf("%s is not a report: %s", path, strings.TrimSpace(err.Error()))
	}
	return r, written, nil
}
