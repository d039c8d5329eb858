package test

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// packaged is the version of which TestDist makes a release, and debianVersion what it is
// in Debian's words.
const (
	packaged      = "v1.2.3-4-gabcdef0"
	debianVersion = "1.2.3+4.gabcdef0"
)

// packageHost is a host on which a package may be installed: what that writes to is its own.
// systemctl is a stand-in that starts what a unit starts, and stops it.
func packageHost(t *testing.T) *typedHost {
	t.Helper()
	bare := bareHost(t)
	connect(t, bare, "eth0", typedIP+"/24", bareHost(t), "eth0", "10.7.0.2/24")
	bare.run(t, "ip", "route", "add", "default", "via", "10.7.0.2")
	bare.recursor(t, "127.0.0.77:53", farAway)
	h := newTypedHost(t, bare, typedIP)
	if err := os.Remove(filepath.Join(h.bin, "panteras")); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{
		"sudoedit": strings.Join(append(only("consul", "dns"), "IP="+typedIP, "HOSTNAME=node-1", "DNS_UPSTREAMS=127.0.0.77", `CONSUL_PARAMS="`+quickConsul+`"`), "\n"),
		"systemctl": `case "$*" in
daemon-reload) ;;
"enable --now panteras")
	unit=/etc/systemd/system/panteras.service
	[ -e $unit ] || unit=/lib/systemd/system/panteras.service
	eval "setsid $(sed -n 's/^ExecStart=//p' $unit) >/dev/null 2>&1 </dev/null &"
	echo $! >/run/unit.pid ;;
"disable --now panteras")
	kill $(cat /run/unit.pid) || exit 1
	while kill -0 $(cat /run/unit.pid) 2>/dev/null; do sleep 0.1; done ;;
*) exit 1 ;;
esac
`,
	} {
		if name == "sudoedit" {
			script = "cat >>\"$1\" <<'END'\n" + script + "\nEND\n"
		}
		put(t, filepath.Join(h.bin, name), "#!/bin/sh\n"+script)
		if err := os.Chmod(filepath.Join(h.bin, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.do(t, func() {
		put(t, "/etc/resolv.conf", "nameserver 127.0.0.77\n")
		for _, dir := range []string{"/var/lib", "/var/log"} {
			if err := unix.Unmount(dir, 0); err != nil {
				t.Fatal(err)
			}
		}
		for _, dir := range []string{"/usr", "/var"} {
			for _, sub := range []string{"upper", "work"} {
				if err := os.MkdirAll("/run/own"+dir+"/"+sub, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := unix.Mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir=/run/own"+dir+"/upper,workdir=/run/own"+dir+"/work"); err != nil {
				t.Skipf("cannot put something over %s: %v", dir, err)
			}
		}
		if err := os.MkdirAll("/run/systemd/system", 0o755); err != nil { // as if systemd ran
			t.Fatal(err)
		}
		// apt gives the scripts of a package a PATH of its own.
		if err := os.Remove("/usr/bin/systemctl"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(h.bin, "systemctl"), "/usr/bin/systemctl"); err != nil {
			t.Fatal(err)
		}
	})
	return h
}

// TestDist makes a release of both architectures as the README says, installs the package
// of this one on a host with folders of its own, and removes it again.
func TestDist(t *testing.T) {
	t.Parallel()
	seenSources(t)
	h := packageHost(t)
	copyOfModule(t, h.host)
	h.run(t, "rmdir", filepath.Join(lab.Root(t), "restricted")) // settings there come before those of /etc/panteras
	for _, name := range []string{"consul", "consul-template"} {
		h.run(t, "ln", "-s", filepath.Join(h.bin, name), "/usr/local/bin/"+name)
	}
	h.env = append(h.env, "MAKEFLAGS= -- VERSION="+packaged)
	commands := readPage(t, readme).typedOn("package")[0].commands(t)
	shell := h.console(t, true)
	shell.wait = 10 * time.Minute // all is compiled twice, where nothing is cached
	shell.follow(commands[:1])
	released(t, h)
	sameBytesAgain(t, h)
	shell.follow(commands[1:])
	h.run(t, "ln", "-s", "/usr/bin/panteras", filepath.Join(h.bin, "panteras"))
	h.ready(t, "consul", "dns")
	wantText(t, "the version", h.run(t, "/usr/bin/panteras", "version"), packaged)
	wantText(t, "the file of settings", h.run(t, "cat", "/etc/panteras/host"), "# Settings of this host", "HOSTNAME=node-1")
	wantText(t, "resolv.conf", h.run(t, "cat", "/etc/resolv.conf"), "nameserver "+typedIP+"\n")
	wantText(t, "the unit", h.run(t, "cat", "/lib/systemd/system/panteras.service"), "ExecStart=/usr/bin/panteras up --restricted /etc/panteras\n", "Type=notify\n")
	h.run(t, "systemd-analyze", "verify", "/lib/systemd/system/panteras.service")
	installedPages(t, h)

	// Another package in its place: daemons go on, and the host goes on asking them.
	deb := filepath.Join(lab.Root(t), "dist", "panteras_"+debianVersion+"_"+architecture(t, h)+".deb")
	before := h.pids(t)
	h.run(t, "dpkg", "--install", deb)
	h.ready(t, "consul", "dns")
	if after := h.pids(t); after["consul"] != before["consul"] || after["dns"] == before["dns"] {
		t.Errorf("an upgrade of the package makes %v of the processes %v; want the DNS server alone to be another one", after, before)
	}
	wantText(t, "resolv.conf after an upgrade", h.run(t, "cat", "/etc/resolv.conf"), "nameserver "+typedIP+"\n")

	// A host that was pointed at its DNS server is not left without one, whatever else is in
	// its file by now.
	h.run(t, "sh", "-c", "echo options rotate >>/etc/resolv.conf")
	h.console(t, false).follow([]printed{{command: "dpkg --remove panteras"}})
	wantText(t, "resolv.conf after the removal", h.run(t, "cat", "/etc/resolv.conf"), "nameserver 127.0.0.77\n")
	if h.reaches(t, typedIP+":53") {
		t.Error("the DNS server goes on without its package")
	}
	wantText(t, "the purge", h.run(t, "dpkg", "--purge", "panteras"), "/var/lib/panteras stays")
	if out := strings.TrimSpace(h.run(t, "sh", "-c", "ls -d /usr/bin/panteras /etc/panteras /lib/systemd/system/panteras.service /usr/share/doc/panteras 2>/dev/null; true")); out != "" {
		t.Errorf("left behind: %s", out)
	}

	// What cannot be put back keeps no package.
	h.run(t, "dpkg", "--install", deb)
	h.do(t, func() { put(t, "/var/lib/panteras/resolvconf.json", "nonsense") })
	wantText(t, "the removal", h.run(t, "dpkg", "--remove", "panteras"), "look at /etc/resolv.conf", "it may still run")

	// Without the package, by a unit that the host exports.
	h.run(t, "install", "-m", "755", panterasPath(t), filepath.Join(h.bin, "panteras"))
	h.console(t, false).follow([]printed{{command: "rm /var/lib/panteras/resolvconf.json"}, {command: "mkdir -p /etc/panteras && sudoedit /etc/panteras/host"}})
	for _, b := range readPage(t, "docs/export.md").typedOn("package") {
		h.console(t, false).follow(b.commands(t))
	}
	h.ready(t, "consul", "dns")
}

// architecture is what Debian calls this machine's.
func architecture(t *testing.T, h *typedHost) string {
	t.Helper()
	return strings.TrimSpace(h.run(t, "dpkg", "--print-architecture"))
}

// released looks at everything that a release is.
func released(t *testing.T, h *typedHost) {
	t.Helper()
	dist := filepath.Join(lab.Root(t), "dist")
	h.run(t, "sh", "-c", "cd "+dist+" && sha256sum --check --strict SHA256SUMS")
	machines := map[string]string{"amd64": "x86-64", "arm64": "aarch64"}
	for arch, machine := range machines {
		name := "panteras_" + packaged + "_linux_" + arch
		deb := filepath.Join(dist, "panteras_"+debianVersion+"_"+arch+".deb")
		sums := h.run(t, "cat", filepath.Join(dist, "SHA256SUMS"))
		wantText(t, "SHA256SUMS", sums, name+".tar.gz\n", name+".cdx.json\n", filepath.Base(deb)+"\n")
		wantText(t, "the tar file", h.run(t, "tar", "-tzf", filepath.Join(dist, name+".tar.gz")), name+"/panteras\n", name+"/LICENSE\n", name+"/panteras.service\n")
		wantText(t, "the package", h.run(t, "dpkg-deb", "--info", deb), "Architecture: "+arch+"\n", "Version: "+debianVersion+"\n", "Recommends: haproxy, nftables\n")
		h.run(t, "sh", "-c", fmt.Sprintf("mkdir -p /run/%[1]s && dpkg-deb -x %[2]s /run/%[1]s/deb && tar -xzf %[3]s -C /run/%[1]s && cmp /run/%[1]s/deb/usr/bin/panteras /run/%[1]s/%[4]s/panteras", arch, deb, filepath.Join(dist, name+".tar.gz"), name))
		h.do(t, func() {
			if got := machineOf(t, "/run/"+arch+"/deb/usr/bin/panteras"); got != machine {
				t.Errorf("the program of %s is for %s", arch, got)
			}
			billOfMaterials(t, filepath.Join(dist, name+".cdx.json"))
		})
	}
}

// sameBytesAgain makes the release of this machine's architecture once more, later, by
// somebody whose files nobody else may read.
func sameBytesAgain(t *testing.T, h *typedHost) {
	t.Helper()
	files := "LICENSE README.md docs examples tools/dist"
	h.console(t, true).follow([]printed{
		{command: "find " + files + " -type f -exec chmod go= {} + -exec touch {} +"},
		{command: "(umask 077; DIST=/run/again ARCHITECTURES=" + architecture(t, h) + " VERSION=" + packaged + " tools/dist.sh)"},
		{command: "test $(wc -l < /run/again/SHA256SUMS) = 3"},
		{command: "(cd dist && sha256sum --check --strict /run/again/SHA256SUMS)"},
	})
}

// installedPages follows the links of the pages that a package brings.
func installedPages(t *testing.T, h *typedHost) {
	t.Helper()
	const doc = "/usr/share/doc/panteras"
	h.do(t, func() {
		for _, p := range pages(t) {
			text, err := os.ReadFile(filepath.Join(doc, p.name))
			if err != nil || string(text) != p.text {
				t.Errorf("the package lacks %s, or has another one: %v", p.name, err)
			}
			for _, m := range pageLink.FindAllStringSubmatch(p.prose(), -1) {
				file, _, _ := strings.Cut(m[1], "#")
				if strings.Contains(m[1], "://") || file == "" || file == "LICENSE" { // that is "copyright" there
					continue
				}
				if _, err := os.Stat(filepath.Join(doc, filepath.Dir(p.name), file)); err != nil {
					t.Errorf("%s of the package leads to %s: %v", p.name, file, err)
				}
			}
		}
	})
}

// machineOf is what a program runs on.
func machineOf(t *testing.T, path string) string {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if file.Section(".interp") != nil {
		t.Errorf("%s is not static", path)
	}
	return map[elf.Machine]string{elf.EM_X86_64: "x86-64", elf.EM_AARCH64: "aarch64"}[file.Machine]
}

// billOfMaterials looks whether it is one, and names what the program is made of.
func billOfMaterials(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BOMFormat  string
		Metadata   struct{ Component struct{ Name string } }
		Components []struct{ PURL, Version string }
	}
	if err := json.Unmarshal(text, &bill); err != nil || bill.BOMFormat != "CycloneDX" || bill.Metadata.Component.Name != "panteras" {
		t.Errorf("%s is no bill of materials of panteras: %v, %s, %s", path, err, bill.BOMFormat, bill.Metadata.Component.Name)
	}
	for _, module := range []string{"github.com/miekg/dns", "golang.zx2c4.com/wireguard"} {
		if !slices.ContainsFunc(bill.Components, func(c struct{ PURL, Version string }) bool {
			return strings.HasPrefix(c.PURL, "pkg:golang/"+module+"@") && c.Version != ""
		}) {
			t.Errorf("%s lacks %s", path, module)
		}
	}
}
