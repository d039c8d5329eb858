package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Forwarding lets the host pass on packets, and puts everything back as it was. What was
// before is in a file until then, so that a start after a crash still knows it.
type Forwarding struct {
	// File remembers what was before. It should not outlive a reboot.
	File string
	// Root is where the kernel's parameters are; "/proc/sys" unless a test has its own.
	Root string
}

// Enable turns on forwarding for the families, and says whether something had to change. A
// host that takes its IPv6 default route from router advertisements keeps doing so, which
// Linux would end with forwarding.
func (f *Forwarding) Enable(v4, v6 bool) (changed bool, err error) {
	before, err := f.remembered()
	if err != nil {
		return false, err
	}
	want := map[string]string{}
	if v4 {
		want["net/ipv4/ip_forward"] = "1"
	}
	if v6 {
		const all = "net/ipv6/conf/all/forwarding"
		if now, err := f.read(all); err == nil && now != "1" {
			for name := range f.advertised() {
				want[name] = "2" // accept them although forwarding
			}
		}
		want[all] = "1"
	}
	// The parameters of interfaces first: forwarding would drop their routes.
	names := slices.SortedFunc(maps.Keys(want), func(a, b string) int { return strings.Compare(b, a) })
	changes := map[string]string{}
	for _, name := range names {
		now, err := f.read(name)
		if errors.Is(err, fs.ErrNotExist) && name != "net/ipv4/ip_forward" {
			continue // a host without IPv6
		}
		if err != nil {
			return false, permission("cannot read "+name, err)
		}
		if now == want[name] {
			continue
		}
		changes[name] = now
		if _, ok := before[name]; !ok {
			before[name] = now
		}
	}
	if len(changes) == 0 {
		return false, nil
	}
	if err := f.remember(before); err != nil {
		return false, err
	}
	for _, name := range names {
		if _, ok := changes[name]; !ok {
			continue
		}
		if err := f.write(name, want[name]); err != nil {
			return false, permission(fmt.Sprintf("cannot set %s to %s (as root: sysctl -w %s=%s)", name, want[name], strings.ReplaceAll(name, "/", "."), want[name]), err)
		}
	}
	return true, nil
}

// advertised returns the parameters of interfaces that accept router advertisements only
// as long as the host does not forward.
func (f *Forwarding) advertised() map[string]bool {
	out := map[string]bool{}
	files, _ := filepath.Glob(filepath.Join(f.root(), "net/ipv6/conf/*/accept_ra"))
	for _, file := range files {
		name, err := filepath.Rel(f.root(), file)
		if err != nil {
			continue
		}
		if now, err := f.read(name); err == nil && now == "1" {
			out[name] = true
		}
	}
	return out
}

// Restore puts back what Enable changed, of this process or of one that died.
func (f *Forwarding) Restore() error {
	before, err := f.remembered()
	if err != nil || len(before) == 0 {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if err := f.write(name, before[name]); err != nil && !errors.Is(err, fs.ErrNotExist) { // an interface may have gone
			errs = append(errs, permission("cannot restore "+name, err))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, os.Remove(f.File))
	}
	return errors.Join(errs...)
}

func (f *Forwarding) root() string {
	if f.Root == "" {
		return "/proc/sys"
	}
	return f.Root
}

func (f *Forwarding) read(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(f.root(), name))
	return strings.TrimSpace(string(b)), err
}

func (f *Forwarding) write(name, value string) error {
	file, err := os.OpenFile(filepath.Join(f.root(), name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}

func (f *Forwarding) remembered() (map[string]string, error) {
	before := map[string]string{}
	b, err := os.ReadFile(f.File)
	if errors.Is(err, fs.ErrNotExist) {
		return before, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &before)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what forwarding was before in %s: %w; remove the file if nothing else helps", f.File, err)
	}
	return before, nil
}

func (f *Forwarding) remember(before map[string]string) error {
	b, err := json.Marshal(before)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(f.File), 0o700)
	}
	if err == nil {
		next := f.File + ".new"
		if err = os.WriteFile(next, b, 0o600); err == nil {
			err = os.Rename(next, f.File)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot note what forwarding was before: %w", err)
	}
	return nil
}
