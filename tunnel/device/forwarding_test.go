package device

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// parameters is a folder that looks like /proc/sys.
type parameters struct {
	t    *testing.T
	root string
}

func newParameters(t *testing.T, values map[string]string) *parameters {
	p := &parameters{t, t.TempDir()}
	for name, value := range values {
		p.set(name, value)
	}
	return p
}

func (p *parameters) set(name, value string) {
	p.t.Helper()
	path := filepath.Join(p.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(value+"\n"), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *parameters) want(values map[string]string) {
	p.t.Helper()
	for name, want := range values {
		b, err := os.ReadFile(filepath.Join(p.root, name))
		if got, _, _ := strings.Cut(string(b), "\n"); err != nil || got != want {
			p.t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
}

func TestForwardingIsPutBack(t *testing.T) {
	t.Parallel()
	before := map[string]string{
		"net/ipv4/ip_forward": "0", "net/ipv6/conf/all/forwarding": "0",
		"net/ipv6/conf/eth0/accept_ra": "1", "net/ipv6/conf/eth1/accept_ra": "0",
	}
	p := newParameters(t, before)
	file := filepath.Join(t.TempDir(), "run", "forwarding.json")
	f := &Forwarding{File: file, Root: p.root}
	if _, err := f.Enable(true, true); err != nil {
		t.Fatal(err)
	}
	p.want(map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1",
		"net/ipv6/conf/eth0/accept_ra": "2", "net/ipv6/conf/eth1/accept_ra": "0",
	})
	// A process that died, and the next one, and another program in between.
	f = &Forwarding{File: file, Root: p.root}
	if changed, err := f.Enable(true, true); err != nil || changed {
		t.Fatal(changed, err)
	}
	p.set("net/ipv4/ip_forward", "0")
	if changed, err := f.Enable(true, true); err != nil || !changed {
		t.Fatal(changed, err)
	}
	p.want(map[string]string{"net/ipv4/ip_forward": "1"})
	if err := f.Restore(); err != nil {
		t.Fatal(err)
	}
	p.want(before)
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if err := f.Restore(); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestForwardingThatWasOnStaysOn(t *testing.T) {
	t.Parallel()
	before := map[string]string{"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1", "net/ipv6/conf/eth0/accept_ra": "1"}
	p := newParameters(t, before)
	f := &Forwarding{File: filepath.Join(t.TempDir(), "forwarding.json"), Root: p.root}
	if _, err := f.Enable(true, true); err != nil {
		t.Fatal(err)
	}
	p.want(before)
	if err := f.Restore(); err != nil {
		t.Fatal(err)
	}
	p.want(before)
}

func TestForwardingWithoutIPv6(t *testing.T) {
	t.Parallel()
	p := newParameters(t, map[string]string{"net/ipv4/ip_forward": "0"})
	f := &Forwarding{File: filepath.Join(t.TempDir(), "forwarding.json"), Root: p.root}
	if _, err := f.Enable(true, true); err != nil {
		t.Fatal(err)
	}
	p.want(map[string]string{"net/ipv4/ip_forward": "1"})
	if err := f.Restore(); err != nil {
		t.Fatal(err)
	}
	p.want(map[string]string{"net/ipv4/ip_forward": "0"})
}

func TestForwardingSaysWhatItCannotRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "forwarding.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Forwarding{File: file, Root: t.TempDir()}).Enable(true, false); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "remove the file") {
		t.Error(err)
	}
}
