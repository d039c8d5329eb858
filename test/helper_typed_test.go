package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
	"panteras/launcher"
)

// typedHost is a machine on which the commands of pages are typed, with an /etc, a /run
// and places for state and logs of its own, so that all is where it is on any machine.
type typedHost struct {
	*host
	ip       string
	bin, dir string // programs, and where its owner is
	env      []string
	shell    *console
	module   *console
}

// newTypedHost makes one at an address of an interface that is connected already.
func newTypedHost(t *testing.T, h *host, ip string) *typedHost {
	t.Helper()
	d := &typedHost{host: h, ip: ip, bin: t.TempDir(), dir: t.TempDir()}
	for _, dir := range []string{d.bin, filepath.Dir(d.bin)} { // the DNS server runs as nobody
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, from := range map[string]string{"panteras": panterasPath(t), "consul": lab.Built(t, "consul"), "consul-template": lab.Built(t, "consul-template")} {
		if err := os.Link(shared(t, from), filepath.Join(d.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	// Who types is root already.
	put(t, filepath.Join(d.bin, "sudo"), "#!/bin/sh\nexec \"$@\"\n")
	if err := os.Chmod(filepath.Join(d.bin, "sudo"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.do(t, func() {
		for _, dir := range []string{"/var/lib", "/var/log"} {
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll("/etc/panteras", 0o755); err != nil {
			t.Fatal(err)
		}
		network := networkOf(t)
		t.Cleanup(func() { // what a page has left running, or a test that failed
			lab.Eventually(t, patience, "that nobody is left on the host", func() bool {
				list := inNetwork(network)
				for _, line := range list {
					text, _, _ := strings.Cut(line, " ")
					if pid, err := strconv.Atoi(text); err == nil {
						_ = syscall.Kill(pid, syscall.SIGKILL)
					}
				}
				return len(list) == 0
			})
		})
	})
	// GIT_OPTIONAL_LOCKS: git is asked about a copy, and must not note down what it saw.
	d.env = []string{"HOSTNAME=node-1", "GIT_OPTIONAL_LOCKS=0", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", currentWireGuard(t)}
	for _, e := range os.Environ() {
		// With what `make test` has in its environment, make tells more than it tells people.
		if name, _, _ := strings.Cut(e, "="); !slices.Contains([]string{"HOSTNAME", "PATH", "MAKELEVEL", "MAKEFLAGS", "MFLAGS"}, name) {
			d.env = append(d.env, e)
		}
	}
	d.env = append(d.env, "PATH="+d.bin+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	return d
}

// console is a shell of the host's owner, or of one who is in the folder of this module.
func (d *typedHost) console(t *testing.T, inModule bool) *console {
	t.Helper()
	shell, dir := &d.shell, d.dir
	if inModule {
		shell, dir = &d.module, lab.Root(t)
	}
	if *shell == nil {
		d.do(t, func() { *shell = newConsole(t, d.env, dir) })
	}
	return *shell
}

// start runs `panteras up` as a machine does at boot, with a settings file.
func (d *typedHost) start(t *testing.T, settings ...string) {
	t.Helper()
	d.do(t, func() {
		put(t, "/etc/panteras/host", strings.Join(settings, "\n")+"\n")
		cmd := exec.Command(filepath.Join(d.bin, "panteras"), "up")
		cmd.Env, cmd.Dir = []string{"PATH=" + d.bin + ":/usr/sbin:/usr/bin:/sbin:/bin"}, "/"
		p := lab.Start(t, cmd)
		t.Cleanup(func() {
			p.Signal(syscall.SIGTERM)
			p.Wait(t, readyTime)
		})
	})
}

// daemons are those of the host; nil while it does not tell.
func (d *typedHost) daemons(t *testing.T) []launcher.DaemonStatus {
	t.Helper()
	out, err := d.try(t, nil, filepath.Join(d.bin, "panteras"), "status", "--json")
	var status struct{ Daemons []launcher.DaemonStatus }
	if err != nil || json.Unmarshal([]byte(out), &status) != nil {
		return nil
	}
	return status.Daemons
}

// pids are the processes of daemons by their names.
func (d *typedHost) pids(t *testing.T) map[string]int {
	t.Helper()
	pids := map[string]int{}
	for _, daemon := range d.daemons(t) {
		pids[daemon.Name] = daemon.Pid
	}
	return pids
}

// ready waits until daemons are ready.
func (d *typedHost) ready(t *testing.T, names ...string) {
	t.Helper()
	lab.Eventually(t, readyTime, strings.Join(names, ", ")+" to be ready", func() bool {
		list := d.daemons(t)
		for _, daemon := range list {
			if daemon.State != launcher.StateReady && slices.Contains(names, daemon.Name) {
				return false
			}
		}
		return len(list) > 0
	})
}
