// Package lab gives tests real surroundings: Consul servers, dnsmasq, the
// panteras binary itself, and DNS upstreams that misbehave on command.
//
// It is for tests of every package of this module and is imported by nothing
// else. Every helper takes a [testing.TB], fails that test with a sentence that
// says what to do, and leaves nothing behind: processes are killed and waited
// for, sockets closed and folders removed before the test is over. When the
// test failed, the output of the programs is attached to its log.
//
// Ports come from [Port] and stay reserved until the test is over, so that
// packages tested in parallel never take each other's.
package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"
)

// Eventually polls condition until it holds, and fails the test, naming what
// was waited for, when it does not within timeout. It is the one place where
// tests wait for time to pass.
func Eventually(t testing.TB, timeout time.Duration, what string, condition func() bool) {
	t.Helper()
	if !poll(timeout, condition) {
		t.Fatalf("waited %v in vain: %s", timeout, what)
	}
}

// pollInterval is how long poll rests between two looks.
const pollInterval = 10 * time.Millisecond

// poll reports whether condition came true within timeout. It looks at least
// once, and once more at the very end.
func poll(timeout time.Duration, condition func() bool) bool {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	deadline := time.Now().Add(timeout)
	for !condition() {
		if time.Now().After(deadline) {
			return false
		}
		<-ticker.C
	}
	return true
}

// moduleLine is how the go.mod of this module begins.
var moduleLine = regexp.MustCompile(`(?m)^module panteras$`)

// Root returns the folder of this module's go.mod: tests run in the folder of
// their package, and find bin/ and testdata of others from here.
func Root(t testing.TB) string {
	t.Helper()
	root, err := root()
	if err != nil {
		t.Fatalf("cannot find the folder of module panteras: %v", err)
	}
	return root
}

var root = sync.OnceValues(func() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && moduleLine.Match(mod) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", os.ErrNotExist
		}
	}
})

// builtBinary returns the path of bin/name, which `make target` builds.
func builtBinary(t testing.TB, name, target string) string {
	t.Helper()
	path := filepath.Join(Root(t), "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make %s` first", err, target)
	}
	return path
}

// system returns the path of a program of the distribution. Debian keeps some
// in /usr/sbin, which is not in everybody's PATH.
func system(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: run `make deps` first", name)
	return ""
}
