package lab

import (
	"net/netip"
	"regexp"
	"testing"
	"time"
)

// PanterasOptions says how to run bin/panteras and when it counts as started.
type PanterasOptions struct {
	Args []string // the command and its flags: "dns", "--dns-listen=127.0.0.1"
	Env  []string // the whole environment ("NAME=value"); nothing is inherited
	Dir  string   // working folder; an empty temporary one if not set

	ReadyLine *regexp.Regexp // wait until stderr has a match
	ReadyDNS  netip.AddrPort // wait until this port answers a DNS query over UDP
	Timeout   time.Duration  // for becoming ready; 30 s if not set
}

// Panteras runs the binary that `make build` made, and returns when it is
// ready; with neither ReadyLine nor ReadyDNS set, at once. The test fails if
// the program ends or the time is over before it is ready.
func Panteras(t testing.TB, o PanterasOptions) *Process {
	t.Helper()
	return launch(t, builtBinary(t, "panteras", "build"), o)
}

// launch runs the program at path as o says.
func launch(t testing.TB, path string, o PanterasOptions) *Process {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Env == nil {
		o.Env = []string{} // nil would mean: inherit
	}
	p := start(t, command{path: path, args: o.Args, env: o.Env, dir: o.Dir})
	p.await(t, o.Timeout, "to be ready", func() bool {
		if o.ReadyLine != nil && !o.ReadyLine.MatchString(p.Stderr()) {
			return false
		}
		return !o.ReadyDNS.IsValid() || answers(o.ReadyDNS)
	})
	return p
}

// Program runs another program as [Panteras] runs ours.
func Program(t testing.TB, path string, o PanterasOptions) *Process {
	t.Helper()
	return launch(t, path, o)
}

// Built returns the path of a program that `make tools` built.
func Built(t testing.TB, name string) string {
	t.Helper()
	return builtBinary(t, name, "tools")
}

// await waits for a condition and fails the test when the process ends before
// it holds: there is no point in waiting for the dead.
func (p *Process) await(t testing.TB, timeout time.Duration, what string, condition func() bool) {
	t.Helper()
	met := false
	poll(timeout, func() bool {
		met = condition()
		return met || p.ended()
	})
	switch {
	case met:
	case p.ended():
		t.Fatalf("%s ended (%v) while we waited for it %s:\n%s", p.name, p.cmd.ProcessState, what, p.Stderr())
	default:
		t.Fatalf("waited %v in vain for %s %s", timeout, p.name, what)
	}
}
