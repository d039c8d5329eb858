package store

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"

	"golang.org/x/sys/unix"
)

func TestTheFileIsNobodyElses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tunnel", "peers.json")
	mustAdd(t, NewFile(path), "alice", both...)
	for file, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700, path + ".lock": 0o600} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %v", file, info, err, want)
		}
	}
}

// A file that cannot be understood is left as it is, and nothing is done.
func TestAFileOfGarbageIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "peers.json")
	s := NewFile(path)
	for _, garbage := range []string{
		"", "{", "null", `{"format":"another","version":1}`, `{"format":"panteras tunnel store","version":2}`, `{} {}`,
		`{"format":"panteras tunnel store","version":1,"index":1,"entries":{"peers/a":{"index":2,"value":{}}}}`,
		`{"format":"panteras tunnel store","version":1,"index":1,"entries":{"peers/a":{"value":{}}}}`,
	} {
		if err := os.WriteFile(path, []byte(garbage), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q was read: %v", garbage, err)
		}
		if _, err := s.Add(t.Context(), tunnel.Peer{Name: "alice", PublicKey: newKey()}, both); err == nil {
			t.Errorf("a peer was added to %q", garbage)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != garbage {
			t.Errorf("%q has become %q, %v", garbage, text, err)
		}
	}
}

// A watch says once that the file is broken, and goes on when it is mended.
func TestWatchOfAFileThatBreaks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "peers.json")
	s := NewFile(path)
	mustAdd(t, s, "alice", both...)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Watch(ctx, func(snap tunnel.Snapshot, err error) {
			if err != nil {
				events <- "error"
				return
			}
			events <- fmt.Sprint(len(snap.Peers), " peers")
		})
	}()
	defer func() { cancel(); <-done }()
	await := func(want string) {
		t.Helper()
		timeout := time.After(patience)
		for {
			select {
			case got := <-events:
				if got == want {
					return
				}
			case <-timeout:
				t.Fatalf("the watch never told %q", want)
			}
		}
	}
	await("1 peers")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	await("error")
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	await("1 peers")
	mustAdd(t, s, "bob", both...)
	await("2 peers")
}

// Somebody else's lock is waited for, and not for ever.
func TestTheLockIsWaitedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "peers.json")
	holder, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(holder.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := NewFile(path).Add(ctx, tunnel.Peer{Name: "alice", PublicKey: newKey()}, both); err == nil || !strings.Contains(err.Error(), path+".lock") {
		t.Errorf("added in spite of the lock: %v", err)
	}
	added := make(chan error, 1)
	go func() {
		_, err := NewFile(path).Add(t.Context(), tunnel.Peer{Name: "bob", PublicKey: newKey()}, both)
		added <- err
	}()
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-added; err != nil {
		t.Error(err)
	}
}

// A writer that is killed at any moment leaves the old file or the new one.
func TestKilledWhileWriting(t *testing.T) {
	const role = "PANTERAS_TEST_WRITER"
	if path := os.Getenv(role); path != "" {
		s := NewFile(path)
		for i := 0; ; i++ {
			if _, err := s.Add(t.Context(), tunnel.Peer{Name: fmt.Sprint("peer", os.Getpid(), "-", i), PublicKey: newKey()}, both); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "peers.json")
	s, before := NewFile(path), 0
	for range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileWriting$")
		cmd.Env = append(os.Environ(), role+"="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lab.Eventually(t, patience, "the other process to add peers", func() bool { return len(mustRead(t, s).Peers) >= before+3 })
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		snap := mustRead(t, s)
		if len(snap.Broken) > 0 {
			t.Fatalf("broken: %+v", snap.Broken)
		}
		before = len(snap.Peers)
		mustAdd(t, s, fmt.Sprint("after", before), both...)
	}
}
