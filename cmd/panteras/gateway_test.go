package main

import (
	"bytes"
	"net/netip"
	"os"
	"strings"
	"testing"

	"panteras/tunnel"
	"panteras/tunnel/admin"
)

// The first use makes the gateway's key, in a folder of its own, and every use tells the
// public half of it and nothing else.
func TestGatewayKey(t *testing.T) {
	o := &office{t: t, dir: t.TempDir()}
	key := func() outcome {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run([]string{"gateway", "key", "--restricted", o.dir, "--state-dir", o.path("state")}, []string{"IP=10.0.0.5", "HOSTNAME=host1"}, &stdout, &stderr)
		return outcome{code, stdout.String(), stderr.String()}
	}
	first := key()
	secrets, err := tunnel.NewFolder(o.path("state")).Secrets()
	if err != nil || secrets.Private.IsZero() {
		t.Fatalf("no key was made: %v, %s", err, first.stderr)
	}
	for path, want := range map[string]os.FileMode{o.path("state", "tunnel"): 0o700, o.path("state", "tunnel", "gateway.key"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info, err, want)
		}
	}
	for i, got := range []outcome{first, key()} {
		if got.code != 0 || got.stdout != secrets.Private.Public().String()+"\n" {
			t.Errorf("use %d: exit code %d, %q, %s", i+1, got.code, got.stdout, got.stderr)
		}
		if strings.Contains(got.stdout+got.stderr, secrets.Private.Reveal()) {
			t.Errorf("use %d shows the private key", i+1)
		}
	}
	// A key that others may read is nobody's own any more.
	if err := os.Chmod(o.path("state", "tunnel", "gateway.key"), 0o640); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, key(), 1, "gateway.key", "0640")
}

// A gateway that is gone stands in the way of client files until it is forgotten.
func TestGatewayForget(t *testing.T) {
	o := newOffice(t)
	o.publish(tunnel.GatewayInfo{
		Name: "gone", Endpoint: "gone.example.com:51820", PublicKey: tunnel.PublicKey{1}, Networks: []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16")},
	})
	wantOutcome(t, o.peer("add", "alice"), 1, "several gateways: gone, gw1", "panteras gateway forget NAME")
	wantOutcome(t, o.command("gateway", "forget", "typo"), 1, "there are: gone, gw1")
	wantOutcome(t, o.command("gateway", "forget", "gone"), 0, "forgot gone")
	wantOutcome(t, o.peer("add", "alice"), 0, "at gateway gw1")
	if log := o.read("log", admin.AuditFile); !strings.Contains(log, `"command":"gateway forget","gateway":"gone"`) {
		t.Errorf("the audit log: %s", log)
	}
}
