package test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// What a host with a resolv.conf of its own asks, and is told.
const (
	ownName, ownIP     = "node-1.corp.example", "10.9.0.1"
	elsewhere, farAway = "www.example.com", "203.0.113.9"
)

// resolving is a host on which `panteras resolvconf` is tried.
type resolving struct {
	*host
	state string
	bin   string // stands for the programs of the host
}

// newResolving makes the host. Its recursor is at 127.0.0.77.
func newResolving(t *testing.T) *resolving {
	t.Helper()
	r := &resolving{host: bareHost(t), state: t.TempDir(), bin: t.TempDir()}
	// Without a link that is up, systemd-resolved asks nobody.
	connect(t, r.host, "eth0", ownIP+"/24", bareHost(t), "eth0", "10.9.0.2/24")
	r.recursor(t, "127.0.0.77:53", farAway)
	return r
}

// standIn is a program of the host.
func (r *resolving) standIn(t *testing.T, name, script string) {
	t.Helper()
	path := filepath.Join(r.bin, name)
	put(t, path, "#!/bin/sh\n"+script)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// serveNames runs the DNS server.
func (r *resolving) serveNames(t *testing.T) {
	t.Helper()
	r.do(t, func() {
		lab.Panteras(t, lab.PanterasOptions{Args: []string{
			"dns", "--ip", ownIP, "--hostname", "node-1", "--fqdn", ownName, "--dns-listen", ownIP, "--consul-dns", "127.0.0.99:8600",
			"--metrics-listen", "off",
		}})
	})
	lab.Eventually(t, patience, "the DNS server", func() bool { return r.asked(t, ownIP, ownName) == ownIP })
}

// command runs `panteras resolvconf`.
func (r *resolving) command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	args = append(append([]string{"resolvconf"}, args...), "--ip", ownIP, "--dns-listen", ownIP, "--state-dir", r.state)
	return r.try(t, []string{"PATH=" + r.bin + ":/usr/sbin:/usr/bin:/sbin:/bin"}, filepath.Join(lab.Root(t), "bin", "panteras"), args...)
}

func (r *resolving) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.command(t, args...)
	if err != nil {
		t.Fatalf("panteras resolvconf %q: %v\n%s", args, err, out)
	}
	return out
}

// asked is what a server answers; "" if nothing.
func (r *resolving) asked(t *testing.T, server, name string) string {
	t.Helper()
	reply, err := r.asks(t, server+":53", name, dns.TypeA)
	if err != nil || len(reply.Answer) == 0 {
		return ""
	}
	return reply.Answer[0].(*dns.A).A.String()
}

// files are what a host has at the paths that matter.
func (r *resolving) files(t *testing.T) string {
	t.Helper()
	return r.run(t, "sh", "-c", `for f in /etc/resolv.conf /etc/resolv.conf.orig /etc/systemd/resolved.conf.d/panteras-dns.conf /etc/NetworkManager/conf.d/90-panteras.conf; do
		[ -L $f ] && echo "$f -> $(readlink $f)"; [ -e $f ] && stat -L -c '%n %a' $f && cat $f; done; true`)
}

// resolves fails the test unless the first server of resolv.conf knows our name and
// others.
func (r *resolving) resolves(t *testing.T, server string) {
	t.Helper()
	lab.Eventually(t, patience, "our name and others at "+server, func() bool {
		return r.asked(t, server, ownName) == ownIP && r.asked(t, server, elsewhere) == farAway
	})
}

const plainConf = "# the company's\nnameserver 127.0.0.77\nsearch corp.example\noptions timeout:2\n"

func TestResolvConfOfAPlainFile(t *testing.T) {
	t.Parallel()
	r := newResolving(t)
	r.do(t, func() { put(t, "/etc/resolv.conf", plainConf) })
	before := r.files(t)
	out, err := r.command(t, "install")
	if err == nil || !strings.Contains(out, "nothing was changed") || r.files(t) != before {
		t.Errorf("without a DNS server: %v: %s\n%s", err, out, r.files(t))
	}
	r.serveNames(t)
	r.must(t, "install")
	wantText(t, "resolv.conf", r.files(t), "\nnameserver "+ownIP+"\n", "search corp.example\n", "options timeout:2\n", "/etc/resolv.conf.orig")
	r.resolves(t, ownIP)
	after := r.files(t)
	if out := r.must(t, "install"); !strings.Contains(out, "nothing had to be changed") || r.files(t) != after {
		t.Errorf("the second time: %s\n%s", out, r.files(t))
	}
	r.must(t, "restore")
	if got := r.files(t); got != before {
		t.Errorf("restored:\n%s\nwant:\n%s", got, before)
	}
	if out := r.must(t, "restore"); !strings.Contains(out, "nothing had to be changed") || r.files(t) != before {
		t.Errorf("restored twice: %s", out)
	}
	r.must(t, "install") // and what somebody changes then is left alone
	r.do(t, func() { put(t, "/etc/resolv.conf", "nameserver 127.0.0.78\n") })
	if out := r.must(t, "restore"); !strings.Contains(out, "left /etc/resolv.conf alone") {
		t.Errorf("restored over a change: %s", out)
	}
	wantText(t, "resolv.conf", r.files(t), "nameserver 127.0.0.78\n")
	if out := r.must(t, "restore", "--force"); !strings.Contains(out, "changed /etc/resolv.conf\n") || r.files(t) != before {
		t.Errorf("restored by force, later: %s\n%s", out, r.files(t))
	}
	if out := r.must(t, "restore", "--force"); !strings.Contains(out, "nothing had to be changed") {
		t.Errorf("restored by force twice: %s", out)
	}

	// Who installs again, after a change of somebody's, goes back to that.
	r.must(t, "install")
	r.do(t, func() { put(t, "/etc/resolv.conf", "nameserver 127.0.0.78\n") })
	r.must(t, "restore")
	changed := r.files(t)
	r.must(t, "install")
	r.must(t, "restore")
	if got := r.files(t); got != changed {
		t.Errorf("restored:\n%s\nwant:\n%s", got, changed)
	}
}

func TestResolvConfOfALink(t *testing.T) {
	t.Parallel()
	r := newResolving(t)
	r.do(t, func() {
		if err := os.MkdirAll("/run/resolvconf", 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, "/run/resolvconf/resolv.conf", "nameserver 127.0.0.78\n")
		if err := os.Remove("/etc/resolv.conf"); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../run/resolvconf/resolv.conf", "/etc/resolv.conf"); err != nil {
			t.Fatal(err)
		}
	})
	before := r.files(t)
	r.serveNames(t)
	r.must(t, "install")
	r.do(t, func() { put(t, "/run/resolvconf/resolv.conf", "nameserver 127.0.0.77\n") }) // as a DHCP client does
	r.resolves(t, ownIP)
	r.must(t, "restore")
	if got := r.files(t); got != strings.ReplaceAll(before, "127.0.0.78", "127.0.0.77") {
		t.Errorf("restored:\n%s\nwant:\n%s", got, before)
	}
}

// putsBack fails the test unless an installation fails, says why, and leaves the files as
// they were, and no record of what it did.
func (r *resolving) putsBack(t *testing.T, before, why string) {
	t.Helper()
	out, err := r.command(t, "install")
	if err == nil || !strings.Contains(out, "everything was put back") || !strings.Contains(out, why) {
		t.Errorf("install, want %q: %v: %s", why, err, out)
	}
	if got := r.files(t); got != before {
		t.Errorf("after the failure:\n%s\nwant:\n%s", got, before)
	}
	if _, err := os.Stat(filepath.Join(r.state, "resolvconf.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a record of what is not installed: %v", err)
	}
}

// A change that helps nobody is undone: the DNS server answered before it and does not after
// it, or the file cannot be written.
func TestResolvConfIsPutBack(t *testing.T) {
	t.Parallel()
	r := newResolving(t)
	r.do(t, func() { put(t, "/etc/resolv.conf", plainConf) })
	before := r.files(t)
	var etc *os.Root // the host's, wherever the server's goroutine is
	r.do(t, func() {
		var err error
		if etc, err = os.OpenRoot("/etc"); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { etc.Close() })
	c := r.packets(t, ownIP+":53")
	server := &dns.Server{PacketConn: c, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if text, err := etc.ReadFile("resolv.conf"); err != nil || string(text) != plainConf {
			m.Rcode = dns.RcodeRefused
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	r.putsBack(t, before, "does not answer: it says REFUSED")

	// The copy is made by then.
	r.do(t, func() {
		if err := unix.Mount("/etc/resolv.conf", "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("", "/etc/resolv.conf", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	})
	r.putsBack(t, before, "read-only file system")
}

// A container engine mounts the file: it can be written to, not replaced.
func TestResolvConfThatIsMounted(t *testing.T) {
	t.Parallel()
	r := newResolving(t)
	r.do(t, func() {
		put(t, "/etc/resolv.conf", plainConf)
		if err := unix.Mount("/etc/resolv.conf", "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	})
	before := r.files(t)
	r.serveNames(t)
	r.must(t, "install")
	r.resolves(t, ownIP)
	r.must(t, "restore")
	if got := r.files(t); got != before {
		t.Errorf("restored:\n%s\nwant:\n%s", got, before)
	}
}

// NetworkManager is a stand-in, which does as the real one on `nmcli general reload`: it
// writes its own file, and resolv.conf unless a file in conf.d says that this is not its
// business.
func TestResolvConfOfNetworkManager(t *testing.T) {
	t.Parallel()
	const generated = "# Generated by NetworkManager\nsearch corp.example\nnameserver 127.0.0.77\n"
	for name, manages := range map[string]struct{ file, reload string }{
		"a file": {generated, `cp /run/NetworkManager/resolv.conf /etc/resolv.conf`},
		"a link": {"", `ln -sf /run/NetworkManager/resolv.conf /etc/resolv.conf`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newResolving(t)
			r.do(t, func() {
				for _, dir := range []string{"/run/NetworkManager", "/etc/NetworkManager/conf.d"} {
					if err := os.MkdirAll(dir, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				put(t, "/run/NetworkManager/resolv.conf", strings.ReplaceAll(generated, "127.0.0.77", "127.0.0.78"))
				put(t, "/etc/resolv.conf", manages.file)
				if manages.file == "" {
					if err := os.Remove("/etc/resolv.conf"); err != nil {
						t.Fatal(err)
					}
					if err := os.Symlink("/run/NetworkManager/resolv.conf", "/etc/resolv.conf"); err != nil {
						t.Fatal(err)
					}
				}
			})
			nmcli := `[ "$*" = "general reload" ] || exit 2
cat /etc/NetworkManager/conf.d/*.conf 2>/dev/null | grep -q '^rc-manager=unmanaged$' || ` + manages.reload + "\n"
			r.standIn(t, "nmcli", nmcli)
			r.serveNames(t)
			before := r.files(t)
			r.must(t, "install")
			wantText(t, "the files", r.files(t), "/etc/resolv.conf.orig -> /run/NetworkManager/resolv.conf", "\nnameserver "+ownIP+"\n", "\nsearch corp.example\n", "[main]\nrc-manager=unmanaged\n")
			// Another network is joined: it is not resolv.conf that changes, and its server is asked.
			r.do(t, func() { put(t, "/run/NetworkManager/resolv.conf", generated) })
			r.run(t, filepath.Join(r.bin, "nmcli"), "general", "reload")
			r.resolves(t, ownIP)
			wantText(t, "resolv.conf", r.run(t, "cat", "/etc/resolv.conf"), "\nnameserver "+ownIP+"\n")
			r.must(t, "restore")
			// A file has what was there at first, a link what is there now; a reload gives both.
			r.run(t, filepath.Join(r.bin, "nmcli"), "general", "reload")
			before = strings.ReplaceAll(before, "127.0.0.78", "127.0.0.77")
			if got := r.files(t); got != before {
				t.Errorf("restored:\n%s\nwant:\n%s", got, before)
			}

			r.standIn(t, "nmcli", "echo it is not running >&2; exit 8\n")
			r.putsBack(t, before, "it is not running")
			r.standIn(t, "nmcli", "kill -9 $PPID\n") // in the midst of it
			if _, err := r.command(t, "install"); err == nil {
				t.Error("it was not killed")
			}
			r.standIn(t, "nmcli", nmcli)
			r.must(t, "restore")
			if got := r.files(t); got != before {
				t.Errorf("restored after kill -9:\n%s\nwant:\n%s", got, before)
			}
		})
	}
}

// systemdResolved gives the host a real systemd-resolved, which a stand-in of systemctl
// starts anew.
func (r *resolving) systemdResolved(t *testing.T) {
	t.Helper()
	_, process := r.resolved(t, "127.0.0.77")
	pidFile := filepath.Join(r.bin, "pid")
	put(t, pidFile, strconv.Itoa(process.Pid()))
	r.standIn(t, "systemctl", fmt.Sprintf(`[ "$*" = "restart systemd-resolved" ] || exit 2
old=$(cat %s)
kill $old
while kill -0 $old 2>/dev/null; do sleep 0.05; done
setsid %s >/dev/null 2>&1 </dev/null &
echo $! >%[1]s
`, pidFile, filepath.Join(lab.Root(t), "bin", "resolved", resolvedProgram)))
	t.Cleanup(func() {
		text, err := os.ReadFile(pidFile)
		if err != nil {
			t.Error(err)
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid != process.Pid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
}

func TestResolvConfOfSystemdResolved(t *testing.T) {
	t.Parallel()
	r := newResolving(t)
	r.systemdResolved(t)
	before := r.files(t)
	r.serveNames(t)
	lab.Eventually(t, patience, "systemd-resolved's own recursor", func() bool { return r.asked(t, "127.0.0.53", ownName) == farAway })
	r.must(t, "install")
	r.resolves(t, "127.0.0.53")
	r.must(t, "restore")
	if got := r.files(t); got != before {
		t.Errorf("restored:\n%s\nwant:\n%s", got, before)
	}
	lab.Eventually(t, patience, "the recursor by systemd-resolved", func() bool { return r.asked(t, "127.0.0.53", ownName) == farAway })
}

// The drop-in is taken away again where systemd-resolved does not want it, or ends of it.
func TestResolvConfOfSystemdResolvedIsPutBack(t *testing.T) {
	t.Parallel()
	r := newResolving(t)
	r.systemdResolved(t)
	before := r.files(t)
	r.serveNames(t)
	systemctl, told := filepath.Join(r.bin, "systemctl"), filepath.Join(r.bin, "told")
	if err := os.Rename(systemctl, systemctl+".works"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, why, script string }{
		{"it cannot be told", "it is masked", "[ -e " + told + " ] && exec " + systemctl + ".works \"$@\"\ntouch " + told + "\necho it is masked >&2; exit 5\n"},
		{"the change ends it", "does not answer", "[ -e /etc/systemd/resolved.conf.d/panteras-dns.conf ] || exec " + systemctl + ".works \"$@\"\nkill $(cat " + filepath.Join(r.bin, "pid") + ")\n"},
	} {
		r.standIn(t, "systemctl", c.script)
		r.putsBack(t, before, c.why)
		lab.Eventually(t, patience, "the recursor by systemd-resolved, after: "+c.what, func() bool { return r.asked(t, "127.0.0.53", elsewhere) == farAway })
	}
}
