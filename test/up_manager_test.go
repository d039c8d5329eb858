package test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serviceManager is a service manager as far as sd_notify(3) goes.
type serviceManager struct{ *net.UnixConn }

// next is what the manager is told next, by its variables.
func (m serviceManager) next(t *testing.T) map[string]string {
	t.Helper()
	_ = m.SetReadDeadline(time.Now().Add(readyTime))
	packet := make([]byte, 4096)
	n, err := m.Read(packet)
	if err != nil {
		t.Fatalf("the service manager is told nothing: %v", err)
	}
	told := map[string]string{}
	for line := range strings.Lines(string(packet[:n])) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		told[name] = value
	}
	return told
}

// TestUpTellsTheServiceManager is a launcher whose service manager wants to know: when it
// runs, reads its settings anew, has become another program, and stops. Daemons have no part
// in that.
func TestUpTellsTheServiceManager(t *testing.T) {
	t.Parallel()
	h := smallHost(t)
	path := h.path("manager")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	m := serviceManager{conn}
	h.env = append(h.env, "NOTIFY_SOCKET="+path)
	want := func(what, name string) map[string]string {
		t.Helper()
		told := m.next(t)
		if told[name] != "1" || len(told) != 1 && name != "RELOADING" {
			t.Errorf("%s, the service manager is told %v, want %s=1", what, told, name)
		}
		return told
	}
	h.up(t)
	want("after the start", "READY")
	h.ready(t, "marathon", "dns")
	for name, pid := range h.pids() {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || strings.Contains(string(env), path) {
			t.Errorf("%s knows the service manager's socket (%v)", name, err)
		}
	}
	h.Signal(syscall.SIGHUP)
	told := want("before a reload", "RELOADING")
	if at, err := strconv.ParseInt(told["MONOTONIC_USEC"], 10, 64); err != nil || at <= 0 {
		t.Errorf("the time of the reload is %q", told["MONOTONIC_USEC"])
	}
	want("after a reload", "READY")
	h.must(t, "upgrade")
	want("after an upgrade", "READY")
	h.ready(t, "marathon", "dns")
	h.Signal(syscall.SIGTERM)
	want("when it stops", "STOPPING")
	if code := h.Wait(t, readyTime); code != 0 {
		t.Errorf("stopped with exit code %d", code)
	}
	_ = m.SetReadDeadline(time.Now())
	if n, err := m.Read(make([]byte, 1)); err == nil {
		t.Errorf("the service manager is told more: %d bytes", n)
	}
}
