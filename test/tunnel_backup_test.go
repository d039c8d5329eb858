package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// A gateway that lost everything but the backup that docs/gateway.md asks for is the same to
// its clients, whose files nobody touches.
func TestTunnelBackupBringsEverybodyBack(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	other := bareHost(t)
	connect(t, other, "eth0", "10.201.0.2/24", l.gateway, "wan2", "10.201.0.1/24")
	other.route(t, "10.200.0.0/24", "10.201.0.1")
	l.service.echo(t, serviceAddr+":80")
	l.start()
	lab.Eventually(t, patience, "the gateway to be published", func() bool { return strings.Contains(l.process.Stderr(), "published in the store") })
	dir := t.TempDir()
	panteras := filepath.Join(lab.Root(t), "bin", "panteras")
	peer := func(args ...string) {
		t.Helper()
		l.gateway.run(t, panteras, append(append([]string{"peer"}, args...), "--tunnel-store", "file", "--state-dir", l.state, "--log-dir", dir)...)
	}
	alice, bob := filepath.Join(dir, "alice.conf"), filepath.Join(dir, "bob.conf")
	peer("add", "alice", "--output", alice)
	peer("add", "bob", "--output", bob, "--preshared-key")
	wgQuickUp(t, l.client, alice, currentWireGuard(t))
	wgQuickUp(t, other, bob, currentWireGuard(t))
	works := func(what string) {
		t.Helper()
		for name, h := range map[string]*host{"alice": l.client, "bob": other} {
			lab.Eventually(t, 2*patience, what+": "+name+" to reach the service", func() bool { return h.reaches(t, serviceAddr+":80") })
		}
	}
	works("at first")

	backup := filepath.Join(dir, "backup.json")
	peer("export", "--output", backup)
	folder := tunnel.NewFolder(l.state)
	keys := map[string][]byte{}
	for _, name := range []string{"gateway.key", "preshared.key"} {
		text, err := os.ReadFile(folder.File(name))
		if err != nil {
			t.Fatal(err)
		}
		keys[folder.File(name)] = text
	}
	l.stop()
	if err := os.RemoveAll(l.state); err != nil {
		t.Fatal(err)
	}
	if l.client.pings(t, serviceAddr) {
		t.Fatal("the service is reached without a gateway")
	}
	for file, text := range keys {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.start()
	if l.client.reaches(t, serviceAddr+":80") {
		t.Fatal("a peer that nobody knows is let in")
	}
	peer("import", backup)
	works("restored")
}
