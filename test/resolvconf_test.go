package test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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

	within string // the seconds after which a command is ended, if set
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

// locked keeps the commands waiting, which are ended soon, until unlock.
func (r *resolving) locked(t *testing.T) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(r.state, "resolvconf.json.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	r.within = "3"
	return func() { f.Close(); r.within = "" }
}

// command runs `panteras resolvconf`.
func (r *resolving) command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	args = append(append([]string{"resolvconf"}, args...), "--ip", ownIP, "--dns-listen", ownIP, "--state-dir", r.state)
	argv := append([]string{filepath.Join(lab.Root(t), "bin", "panteras")}, args...)
	if r.within != "" {
		argv = append([]string{"timeout", r.within}, argv...)
	}
	return r.try(t, []string{"PATH=" + r.bin + ":/usr/sbin:/usr/bin:/sbin:/bin"}, argv[0], argv[1:]...)
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
	unlock := r.locked(t)
	if out, err := r.command(t, "install"); err == nil || r.files(t) != before {
		t.Errorf("while another one is at work: %v: %s\n%s", err, out, r.files(t))
	}
	unlock()
	r.must(t, "install")
	wantText(t, "resolv.conf", r.files(t), "\nnameserver "+ownIP+"\n", "search corp.example\n", "options timeout:2\n", "/etc/resolv.conf.orig")
	r.resolves(t, ownIP)
	after := r.files(t)
	if out := r.must(t, "install"); !strings.Contains(out, "nothing had to be changed") || r.files(t) != after {
		t.Errorf("the second time: %s\n%s", out, r.files(t))
	}
	r.recursorsStay(t, before)
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

// recursorsStay does to a resolv.conf that is installed what people do, none of which takes
// the host's recursors away; it is installed again in the end.
func (r *resolving) recursorsStay(t *testing.T, before string) {
	t.Helper()
	const added = "options rotate\n"
	edit := func() {
		t.Helper()
		r.run(t, "sh", "-c", "printf '"+added+"' >>/etc/resolv.conf")
	}
	edit()
	edited := r.files(t)
	if out := r.must(t, "install"); !strings.Contains(out, "nothing had to be changed") || r.files(t) != edited {
		t.Errorf("installed again where somebody has added a line: %s\n%s", out, r.files(t))
	}
	r.resolves(t, ownIP)
	if out := r.must(t, "restore"); !strings.Contains(out, "what it was is in /etc/resolv.conf.edited\n") || r.files(t) != before {
		t.Errorf("restored where somebody has added a line: %s\n%s", out, r.files(t))
	}
	wantText(t, "what somebody has added", r.run(t, "cat", "/etc/resolv.conf.edited"), "\nnameserver "+ownIP+"\n", added)

	r.must(t, "install")
	edit()
	r.run(t, "cp", "/etc/resolv.conf", "/etc/resolv.conf.orig")
	if out := r.must(t, "install"); !strings.Contains(out, "/etc/resolv.conf.edited\n") {
		t.Errorf("installed where the copy was overwritten: %s", out)
	}
	wantText(t, "the copy", r.run(t, "cat", "/etc/resolv.conf.orig"), "nameserver 127.0.0.77\n")
	r.resolves(t, ownIP)

	// The copy of what is left alone is gone.
	r.do(t, func() { put(t, "/etc/resolv.conf", "nameserver 127.0.0.78\n") })
	r.must(t, "restore")
	r.do(t, func() { put(t, "/etc/resolv.conf", "nameserver "+ownIP+"\n") })
	r.must(t, "install")
	r.resolves(t, ownIP)

	installed := r.files(t)
	// As `chattr +i` does, by which some keep DHCP clients away.
	r.run(t, "sh", "-c", "mount --bind /etc/resolv.conf /etc/resolv.conf && mount -o remount,bind,ro /etc/resolv.conf")
	if out, err := r.command(t, "restore"); err == nil || !strings.Contains(out, "cannot put /etc/resolv.conf back") {
		t.Errorf("restored what cannot be written: %v: %s", err, out)
	}
	if got := r.files(t); got != installed {
		t.Errorf("after a restore that failed:\n%s\nwant:\n%s", got, installed)
	}
	r.run(t, "umount", "/etc/resolv.conf")
	r.must(t, "restore")
	if got := r.files(t); got != before {
		t.Errorf("restored:\n%s\nwant:\n%s", got, before)
	}
	r.must(t, "install")
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
	r.state = filepath.Join(r.state, "new")
	r.must(t, "install")
	if info, err := os.Stat(r.state); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("STATE_DIR, which daemons of other users walk through, is %v, %v", info.Mode(), err)
	}
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
	var works atomic.Bool
	server := &dns.Server{PacketConn: c, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if text, err := etc.ReadFile("resolv.conf"); err != nil || strings.Contains(string(text), ownIP) && !works.Load() {
			m.Rcode = dns.RcodeRefused
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	r.putsBack(t, before, "does not answer: it says REFUSED")

	// What was kept for later is still there after another installation that fails.
	works.Store(true)
	r.must(t, "install")
	works.Store(false)
	r.do(t, func() { put(t, "/etc/resolv.conf", "nameserver 127.0.0.78\n") })
	if out, err := r.command(t, "install"); err == nil || !strings.Contains(out, "everything was put back") {
		t.Errorf("install over a change of somebody's: %v: %s", err, out)
	}
	wantText(t, "resolv.conf", r.files(t), "nameserver 127.0.0.78\n")
	r.must(t, "restore", "--force")
	if got := r.files(t); got != before {
		t.Errorf("restored by force, after that:\n%s\nwant:\n%s", got, before)
	}

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
