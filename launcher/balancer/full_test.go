package balancer

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoRoomForPending: a snapshot that cannot be kept for later takes the place of an
// older one all the same, which would undo it.
func TestNoRoomForPending(t *testing.T) {
	r := newRig(t)
	ownDisk(t, r.RunDir)
	a := web(t, "web", "a", "haproxy")
	r.apply(a) // HAProxy does not run
	fill(t, r.RunDir)
	for _, tags := range [][]string{{"haproxy", "v=2"}, {"haproxy", "v=3", string(make([]byte, 64<<10))}} {
		text := textOf(t, with(a, tags...))
		_, err := r.Apply(t.Context(), text) // the report has no room
		t.Log(err)
		p, err := r.pending()
		if err != nil || p != nil && string(p) != string(text) {
			t.Errorf("another snapshot is pending: %s, %v", p, err)
		}
		if fits := len(tags) == 2; fits != (p != nil) {
			t.Errorf("with %d tags, pending is %s", len(tags), p)
		}
	}
}

// ownDisk puts a file system of 1 MiB at a folder, which only the test and what it starts
// see.
func ownDisk(t *testing.T, dir string) {
	t.Helper()
	runtime.LockOSThread() // for good: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// fill writes to a folder until its disk is full.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 1<<12)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
}

// TestPendingForGood: a snapshot in effect is, whatever keeps it from being forgotten.
func TestPendingForGood(t *testing.T) {
	t.Parallel()
	a := web(t, "web", "a", "haproxy")
	r := startedRig(t, a)
	r.retry()
	if err := os.MkdirAll(filepath.Join(r.RunDir, pendingFile, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.apply(a, web(t, "other", "b", "haproxy"))
	r.serves("with a folder in the way", "other", 200)
}
