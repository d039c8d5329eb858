package statefile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestFlockKeepsOthersOut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Flock(path, unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Flock(path, unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("beside another one: %v", err)
	}
	unlock()
	unlock, err = Flock(path, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		t.Fatalf("after it: %v", err)
	}
	unlock()
}

// TestUnlockAlsoWhereAChildHasTheFile: a descriptor that was copied before it was closed keeps no lock.
func TestUnlockAlsoWhereAChildHasTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Flock(path, unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	copied := copyOf(t, path)
	defer unix.Close(copied)
	unlock()
	if unlock, err = Flock(path, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	unlock()
}

// copyOf copies the descriptor that this process has of a file, as a fork does.
func copyOf(t *testing.T, path string) int {
	t.Helper()
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != path {
			continue
		}
		fd, err := strconv.Atoi(filepath.Base(link))
		if err != nil {
			t.Fatal(err)
		}
		copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return copied
	}
	t.Fatalf("%s is not open", path)
	return -1
}

func TestLockWaits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	synctest.Test(t, func(t *testing.T) {
		unlock, err := Lock(t.Context(), path, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		limited, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := Lock(limited, path, time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while somebody has it: %v", err)
		}
		time.AfterFunc(time.Minute, unlock)
		start := time.Now()
		again, err := Lock(t.Context(), path, time.Second)
		if err != nil || time.Since(start) < time.Minute || time.Since(start) > time.Minute+2*time.Second {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		again()
	})
}
