package host

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"panteras/launcher"
)

// nobody is a user that this test can give files to.
var nobody = owner{65534, 65534}

// stranger is a file that is none of a daemon's.
func stranger(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "shadow")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFilesOfADaemonThatWasTakenOver has, where the launcher writes as root, what
// somebody would put there who has taken the daemon over, and owns its folder.
func TestFilesOfADaemonThatWasTakenOver(t *testing.T) {
	for _, keep := range []bool{false, true} {
		for name, put := range map[string]func(stranger, path string) error{
			"a symbolic link":        os.Symlink,
			"a hard link":            os.Link,
			"a link to nothing":      func(_, path string) error { return os.Symlink("/nowhere/at/all", path) },
			"a pipe without readers": func(_, path string) error { return unix.Mkfifo(path, 0o600) },
		} {
			dir := t.TempDir()
			other := stranger(t, dir)
			path := filepath.Join(dir, "haproxy.cfg")
			if err := put(other, path); err != nil {
				t.Fatal(err)
			}
			written := make(chan error, 1)
			go func() {
				written <- writeFile(launcher.File{Path: path, Mode: "0640", Content: "secret", Keep: keep}, nobody)
			}()
			select {
			case err := <-written:
				if err != nil {
					t.Errorf("%s, keep %v: %v", name, keep, err)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("%s, keep %v: the launcher hangs", name, keep)
			}
			checkFile(t, name+": the file that is not the daemon's", other, "secret", 0o600, os.Getuid())
			checkFile(t, name, path, "secret", 0o640, nobody.uid)
		}
	}
}

// TestFilesThatAreThere are kept, whole or not at all, and made their owner's.
func TestFilesThatAreThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, c := range []struct {
		had, content string
		keep         bool
		want         string
		same         bool // it is the very file that was there
	}{
		{"old", "old", false, "old", true},
		{"older", "old", false, "old", false},
		{"ol", "old", false, "old", false},
		{"anything", "old", true, "anything", true},
	} {
		if err := os.WriteFile(path, []byte(c.had), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, 0, 0); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFile(launcher.File{Path: path, Mode: "0640", Content: c.content, Keep: c.keep}, nobody); err != nil {
			t.Fatal(err)
		}
		checkFile(t, c.had+" becomes "+c.content, path, c.want, 0o640, nobody.uid)
		if after, err := os.Stat(path); err != nil || os.SameFile(before, after) != c.same {
			t.Errorf("%s becomes %s: the same file is %v", c.had, c.content, !c.same)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFilesOnABadDisk: those that are as they should be are good enough for a daemon that starts again when the disk can
// only be read by now.
func TestFilesOnABadDisk(t *testing.T) {
	runtime.LockOSThread() // for good: the thread ends with the test, and with it what it has mounted
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	disk, root := t.TempDir(), owner{0, 0}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	dir := filepath.Join(disk, "haproxy")
	files := []launcher.File{
		{Path: filepath.Join(dir, "haproxy.cfg"), Mode: "0600", Content: "without services", Keep: true},
		{Path: filepath.Join(dir, "myid"), Mode: "0600", Content: "1"},
	}
	write := func() (errs []error) {
		errs = append(errs, folder(dir, root))
		for _, f := range files {
			errs = append(errs, writeFile(f, root))
		}
		return errs
	}
	if err := errors.Join(write()...); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write()...); err != nil {
		t.Error(err)
	}
	files[1].Content = "2"
	if err := errors.Join(write()...); !errors.Is(err, unix.EROFS) {
		t.Errorf("what differs is no error but %v", err)
	}
}

func checkFile(t *testing.T, what, path, content string, mode os.FileMode, uid int) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		t.Fatal(err)
	}
	if info.Mode() != mode || int(stat.Uid) != uid {
		t.Errorf("%s has mode %v of user %d, want %v of %d", what, info.Mode(), stat.Uid, mode, uid)
		return
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != content {
		t.Errorf("%s holds %q (%v)", what, text, err)
	}
}
