package control

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestClientOfALauncherThatIsStopped connects, as the kernel accepts for a process that does not run, and gets no answer: that is said, and soon.
func TestClientOfALauncherThatIsStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := NewClient(dir)
	c.soon = 50 * time.Millisecond
	for what, ask := range map[string]func(context.Context) error{
		"status":  func(ctx context.Context) error { _, err := c.Status(ctx); return err },
		"version": func(ctx context.Context) error { _, err := c.Instance(ctx); return err },
	} {
		if err := ask(t.Context()); err == nil || !strings.Contains(err.Error(), "has not answered within 50ms") || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", what, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := ask(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, when the caller has ended: %v", what, err)
		}
	}
}
