package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// TestDist makes what is released for this machine, installs the package on a host with
// folders of its own, and removes it again.
func TestDist(t *testing.T) {
	out := filepath.Join(t.TempDir(), "dist")
	cmd := exec.Command(filepath.Join(lab.Root(t), "tools", "dist.sh"))
	cmd.Env = append(os.Environ(), "ARCHITECTURES="+runtime.GOARCH, "DIST="+out, "VERSION=v1.2.3-4-gabcdef0")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	name := "panteras_v1.2.3-4-gabcdef0_linux_" + runtime.GOARCH
	deb := filepath.Join(out, "panteras_1.2.3+4.gabcdef0_"+runtime.GOARCH+".deb")
	h := bareHost(t)
	h.run(t, "sh", "-c", "cd "+out+" && sha256sum --check --strict SHA256SUMS")
	wantText(t, "the tar file", h.run(t, "tar", "-tzf", filepath.Join(out, name+".tar.gz")), name+"/panteras\n", name+"/LICENSE\n", name+"/panteras.service\n")
	bill, err := os.ReadFile(filepath.Join(out, name+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, "the bill of materials", string(bill), `"CycloneDX"`, "pkg:golang/github.com/miekg/dns@", "pkg:golang/golang.zx2c4.com/wireguard@")

	h.do(t, func() { // what a package writes to
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
	})
	wantText(t, "the installation", h.run(t, "dpkg", "--install", deb), "panteras plan")
	wantText(t, "the version", h.run(t, "/usr/bin/panteras", "version"), "v1.2.3-4-gabcdef0")
	h.run(t, "systemd-analyze", "verify", "/lib/systemd/system/panteras.service")
	wantText(t, "the unit", h.run(t, "cat", "/lib/systemd/system/panteras.service"), "ExecStart=/usr/bin/panteras up --restricted /etc/panteras\n", "Type=notify\n")
	h.run(t, "/usr/bin/panteras", "settings", "--ip", "192.0.2.1")

	// A host that was pointed at its DNS server is not left without one.
	h.do(t, func() {
		if err := os.MkdirAll("/var/lib/panteras", 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, "/var/lib/panteras/resolvconf.json", `{"changes":[{"path":"/etc/resolv.conf","before":{"exists":true,"content":"bmFtZXNlcnZlciAxOTIuMC4yLjUzCg==","mode":420},"after":{"exists":true,"content":"bmFtZXNlcnZlciAxMC45LjAuMQo="}}]}`)
		put(t, "/etc/resolv.conf", "nameserver 10.9.0.1\n")
	})
	h.run(t, "dpkg", "--remove", "panteras")
	if got := h.run(t, "cat", "/etc/resolv.conf"); got != "nameserver 192.0.2.53\n" {
		t.Errorf("resolv.conf after the removal:\n%s", got)
	}
	wantText(t, "the purge", h.run(t, "dpkg", "--purge", "panteras"), "/var/lib/panteras stays")
	if out := strings.TrimSpace(h.run(t, "sh", "-c", "ls -d /usr/bin/panteras /etc/panteras /lib/systemd/system/panteras.service 2>/dev/null; true")); out != "" {
		t.Errorf("left behind: %s", out)
	}
}
