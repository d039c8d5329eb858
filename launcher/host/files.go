package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"panteras/internal/statefile"
	"panteras/launcher"
	"panteras/launcher/proc"
)

// owner is who a daemon's files belong to; -1 leaves that as it is.
type owner struct{ uid, gid int }

// ownerOf finds the owner of a daemon's files. Only root can give files away.
func ownerOf(user string) (owner, error) {
	if os.Geteuid() != 0 || user == "" {
		return owner{-1, -1}, nil
	}
	uid, gid, _, err := proc.Account(user)
	return owner{int(uid), int(gid)}, err
}

// take makes what is there its owner's. On a file system that is read-only by now, what is
// right already is good enough.
func (own owner) take(info os.FileInfo, mode os.FileMode, chown func(uid, gid int) error, chmod func(os.FileMode) error) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || own.uid >= 0 && int(stat.Uid) != own.uid || own.gid >= 0 && int(stat.Gid) != own.gid {
		if err := chown(own.uid, own.gid); err != nil {
			return err
		}
	}
	if info.Mode().Perm() == mode {
		return nil
	}
	return chmod(mode)
}

// folders makes the folders that a daemon may write to: its own in RUN_DIR and in
// STATE_DIR, and those that its files lie in. Nobody else can look into them.
func (h *Host) folders(d launcher.Daemon, own owner) error {
	settings := h.settings()
	list := []string{filepath.Join(settings.RunDir, d.Name)}
	for _, f := range d.Files {
		list = append(list, filepath.Dir(f.Path))
	}
	for _, dir := range list {
		if err := folder(dir, own); err != nil {
			return err
		}
	}
	err := folder(filepath.Join(settings.StateDir, d.Name), own)
	if err != nil && d.Self { // answers are better than what is kept for the next time
		h.o.Log.Error("a daemon starts without a folder for what it keeps; look at STATE_DIR", "daemon", d.Name, "error", err)
		return nil
	}
	return err
}

// folder makes one, or makes one that is there its owner's.
func folder(dir string, own owner) error {
	if err := statefile.MakeOpenFolder(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	err = own.take(info, 0o700, func(uid, gid int) error { return os.Chown(dir, uid, gid) }, func(mode os.FileMode) error { return os.Chmod(dir, mode) })
	if err != nil {
		return err
	}
	return reachable(dir, own)
}

// reachable says which folder above one is closed to a user. A file system may not
// care for modes; then nothing is lost.
func reachable(dir string, own owner) error {
	if own.uid <= 0 {
		return nil
	}
	for up := filepath.Dir(dir); up != "/" && up != "."; up = filepath.Dir(up) {
		info, err := os.Stat(up)
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		mode := info.Mode().Perm()
		if !ok || mode&0o001 != 0 || int(stat.Uid) == own.uid && mode&0o100 != 0 || int(stat.Gid) == own.gid && mode&0o010 != 0 {
			continue
		}
		return fmt.Errorf("user %d cannot reach %s, because %s is closed to it (mode %s); open it (chmod o+x), or set another STATE_DIR, RUN_DIR or user", own.uid, dir, up, info.Mode())
	}
	return nil
}

// writeFiles writes what a daemon reads, each file whole or not at all.
func (h *Host) writeFiles(d launcher.Daemon) error {
	own, err := ownerOf(d.User)
	if err != nil {
		return err
	}
	if err := h.folders(d, own); err != nil {
		return fmt.Errorf("cannot prepare the folders of %s: %w", d.Name, err)
	}
	for _, f := range d.Files {
		if err := writeFile(f, own); err != nil {
			return fmt.Errorf("cannot write a file of %s: %w", d.Name, err)
		}
	}
	return nil
}

// keepFile makes a file that is as it should be its owner's, and tells whether it is.
// The folder may be that of a daemon that somebody has taken over: what is no file, or
// has other names too, is not looked at, since it may lead to a file of root's.
func keepFile(f launcher.File, own owner, mode os.FileMode) (bool, error) {
	file, err := os.OpenFile(f.Path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, nil // a new one will do, or tells what is wrong
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || !info.Mode().IsRegular() || stat.Nlink != 1 {
		return false, nil
	}
	if !f.Keep {
		// One byte more tells a longer file.
		had, err := io.ReadAll(io.LimitReader(file, int64(len(f.Content))+1))
		if err != nil || string(had) != f.Content {
			return false, nil
		}
	}
	return true, own.take(info, mode, file.Chown, file.Chmod)
}

func writeFile(f launcher.File, own owner) error {
	mode, err := strconv.ParseUint(f.Mode, 8, 9)
	if err != nil {
		return fmt.Errorf("%s has the mode %q: %w", f.Path, f.Mode, err)
	}
	if done, err := keepFile(f, own, os.FileMode(mode)); done || err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(f.Path), "."+filepath.Base(f.Path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // fails once it has been renamed
	_, err = strings.NewReader(f.Content).WriteTo(temp)
	err = errors.Join(err, temp.Chmod(os.FileMode(mode)), temp.Chown(own.uid, own.gid), temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), f.Path)
}
