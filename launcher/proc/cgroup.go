package proc

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Cgroup is a control group (version 2) that holds a launcher and, in groups of
// their own below it, its daemons. It limits nothing: nothing leaves it unnoticed, and
// all in it can be killed at once. A nil Cgroup does nothing.
type Cgroup struct {
	dir string
}

// cgroupPrefix begins the names of groups that NewCgroup makes.
const cgroupPrefix = "panteras-"

// NewCgroup makes a group for a launcher below the group of this process. It returns
// nil where that cannot be: no version 2, no rights, or a kernel before 5.14.
func NewCgroup() *Cgroup {
	own := findCgroup(os.DirFS("/"))
	if own == "" {
		return nil
	}
	if stale, err := filepath.Glob(filepath.Join(own, cgroupPrefix+"*")); err == nil {
		for _, dir := range stale {
			(&Cgroup{dir}).Remove() // refused if a process is in it
		}
	}
	c := &Cgroup{filepath.Join(own, cgroupPrefix+strconv.Itoa(os.Getpid()))}
	if os.Mkdir(c.dir, 0o755) != nil {
		return nil
	}
	if unix.Access(filepath.Join(c.dir, "cgroup.kill"), unix.W_OK) != nil {
		c.Remove()
		return nil
	}
	return c
}

// ownCgroup is the group that the guard of this process made for it, or nil.
func ownCgroup() *Cgroup {
	if own := findCgroup(os.DirFS("/")); strings.HasPrefix(path.Base(own), cgroupPrefix) {
		return &Cgroup{own}
	}
	return nil
}

// findCgroup returns the folder of the version 2 group that this process is in, "" if
// there is none. root is the file system from its root.
func findCgroup(root fs.FS) string {
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return ""
	}
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return ""
	}
	own := ""
	for line := range strings.Lines(string(groups)) {
		if group, found := strings.CutPrefix(line, "0::"); found {
			own = strings.TrimSpace(group)
		}
	}
	if own == "" {
		return ""
	}
	for line := range strings.Lines(string(mounts)) {
		// See proc_pid_mountinfo(5): "… root mount-point options … - type source …".
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !strings.HasPrefix(after, "cgroup2 ") || len(fields) < 5 {
			continue
		}
		below, inside := strings.CutPrefix(own, strings.TrimSuffix(fields[3], "/"))
		if !inside || (below != "" && below[0] != '/') {
			continue // another part of the hierarchy is mounted here
		}
		dir := path.Join(fields[4], below)
		if _, err := fs.Stat(root, strings.TrimPrefix(path.Join(dir, "cgroup.procs"), "/")); err == nil {
			return dir
		}
	}
	return ""
}

// CgroupAt is the group with that folder, as Dir returned it.
func CgroupAt(dir string) *Cgroup {
	if dir == "" {
		return nil
	}
	return &Cgroup{dir}
}

// Dir is the folder of the group.
func (c *Cgroup) Dir() string { return c.dir }

// Kill kills everything in the group.
func (c *Cgroup) Kill() {
	if c != nil {
		_ = os.WriteFile(filepath.Join(c.dir, "cgroup.kill"), []byte("1"), 0)
	}
}

// Remove removes the group and those below it, unless a process is in them.
func (c *Cgroup) Remove() {
	if c == nil {
		return
	}
	_ = filepath.WalkDir(c.dir, func(dir string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && dir != c.dir {
			_ = os.Remove(dir)
		}
		return nil
	})
	_ = os.Remove(c.dir)
}

// daemon is the group of a daemon.
func (c *Cgroup) daemon(name string) *Cgroup {
	if c == nil {
		return nil
	}
	return &Cgroup{filepath.Join(c.dir, "daemon-"+name)}
}

// add makes the group if need be and moves a process into it.
func (c *Cgroup) add(pid int) error {
	if c == nil {
		return nil
	}
	if err := os.Mkdir(c.dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	return os.WriteFile(filepath.Join(c.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// pids are the processes in the group itself.
func (c *Cgroup) pids() map[int]bool {
	inside := map[int]bool{}
	if c == nil {
		return inside
	}
	list, _ := os.ReadFile(filepath.Join(c.dir, "cgroup.procs"))
	for field := range strings.FieldsSeq(string(list)) {
		if pid, err := strconv.Atoi(field); err == nil {
			inside[pid] = true
		}
	}
	return inside
}
