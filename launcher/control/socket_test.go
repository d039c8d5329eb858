package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestSocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	path := filepath.Join(dir, SocketName)
	first, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{dir: 0o700, path: 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	_, err = Listen(dir)
	running := (*RunningError)(nil)
	if !errors.As(err, &running) || running.Pid != os.Getpid() || !strings.Contains(err.Error(), fmt.Sprintf("panteras is already running (pid %d)", os.Getpid())) {
		t.Errorf("beside one that lives: %v", err)
	}
	_ = first.Close()
	second, err := Listen(dir)
	if err != nil {
		t.Fatalf("after one that died: %v", err)
	}
	_ = second.Close()
	if left, _ := filepath.Glob(dir + "/.s*"); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(dir); err == nil || !strings.Contains(err.Error(), "no socket lies there") {
		t.Errorf("where a file lies: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Error("the file is gone")
	}
	if _, err := Listen(filepath.Join(dir, strings.Repeat("x", 100))); err == nil || !strings.Contains(err.Error(), "give RUN_DIR a shorter one") {
		t.Errorf("a long path: %v", err)
	}
}

// TestOneOfManyGetsTheSocket starts many at once, where a dead one has been.
func TestOneOfManyGetsTheSocket(t *testing.T) {
	for range 30 {
		oneOfMany(t)
	}
}

func oneOfMany(t *testing.T) {
	dir := t.TempDir()
	dead, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []net.Listener
	for range 20 {
		wg.Go(func() {
			l, err := Listen(dir)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, l)
			} else if running := (*RunningError)(nil); !errors.As(err, &running) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d have the socket", len(won))
	}
	for _, l := range won {
		_ = l.Close()
	}
}
