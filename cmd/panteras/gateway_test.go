package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"panteras/tunnel"
	"panteras/tunnel/admin"
	"panteras/tunnel/store"
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

// A gateway that was forgotten is none that files are made for, and its peers get files for
// another one. One that runs on this host is not forgotten.
func TestGatewayForget(t *testing.T) {
	o := newOffice(t)
	o.must("add", "alice", "--output", o.path("alice.conf"))
	forget := func(name string) outcome {
		t.Helper()
		var stdout, stderr bytes.Buffer
		env := []string{"IP=10.0.0.5", "HOSTNAME=host1", "STATE_DIR=" + o.path("state"), "RUN_DIR=" + o.path("run"), "LOG_DIR=" + o.path("log")}
		code := run([]string{"--restricted", o.dir, "gateway", "forget", name}, env, &stdout, &stderr)
		return outcome{code, stdout.String(), stderr.String()}
	}
	gw1 := o.gateway("gw1")
	twin, other, far := gw1, gw1, gw1
	twin.Name = "gw2"
	other.Name, other.Endpoint = "gw3", "vpn3.example.com:51820"
	far.Name, far.Endpoint, far.Networks = "gw4", "vpn4.example.com:51820", []netip.Prefix{netip.MustParsePrefix("10.98.0.0/16")}
	for _, g := range []tunnel.GatewayInfo{twin, other, far} {
		o.publish(g)
	}
	folder := tunnel.NewFolder(o.path("state"))
	peers := store.NewFile(store.FileIn(folder))
	if err := peers.PublishPlaces(t.Context(), "gw1", tunnel.Places{netip.MustParseAddr("10.99.0.2"): netip.MustParseAddrPort("192.0.2.1:1")}); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, forget("gw9"), 1, `there is no gateway "gw9"; there are: gw1, gw2, gw3, gw4`)

	if err := os.MkdirAll(o.path("run"), 0o755); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", tunnel.StatusSocket(o.path("run"), o.path("state")))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := socket.Accept()
			if err != nil {
				return
			}
			_ = json.NewEncoder(c).Encode(tunnel.Status{Gateway: "gw1"})
			c.Close()
		}
	}()
	wantOutcome(t, forget("gw1"), 1, "gateway gw1 runs on this host", "end it first")
	socket.Close()

	wantOutcome(t, forget("gw1"), 0, "forgot gateway gw1", "alice: client files are for it, and go on with its twin gw2")
	if text := o.read("state", "tunnel", "peers.json"); strings.Contains(text, "gateways/gw1") || strings.Contains(text, "places/gw1") {
		t.Errorf("it is still in the store:\n%s", text)
	}
	if log := o.read("log", admin.AuditFile); !strings.Contains(log, `"command":"gateway forget","gateway":"gw1"}`) {
		t.Errorf("the audit log says\n%s", log)
	}
	wantOutcome(t, forget("gw1"), 1, `there is no gateway "gw1"`)
	wantOutcome(t, o.peer("rotate", "alice"), 1, "there are several gateways: gw2, gw3, gw4; say which one with --gateway")
	wantOutcome(t, o.peer("rotate", "alice", "--gateway", "gw4"), 1, "outside the gateway's networks")
	got := o.must("rotate", "alice", "--gateway", "gw3")
	if parsed := parseFile(t, got.stdout); parsed.Endpoint != other.Endpoint {
		t.Errorf("the file is for %s", parsed.Endpoint)
	}
	if got := o.must("rotate", "alice"); parseFile(t, got.stdout).Endpoint != other.Endpoint {
		t.Error("the next file is for another gateway")
	}
	wantOutcome(t, forget("gw3"), 0, "alice: client files are for it, and no other gateway will do")
	wantOutcome(t, forget("gw4"), 0, "forgot gateway gw4")
	if got := o.must("rotate", "alice"); parseFile(t, got.stdout).Endpoint != gw1.Endpoint {
		t.Error("the only gateway that is left is not taken")
	}
	// One that nobody understands can be forgotten as well.
	text := o.read("state", "tunnel", "peers.json")
	broken := strings.Replace(text, `"endpoint":"`+gw1.Endpoint+`"`, `"endpoint":""`, 1)
	if err := os.WriteFile(store.FileIn(folder), []byte(broken), 0o600); err != nil || broken == text {
		t.Fatal(err)
	}
	wantOutcome(t, forget("gw2"), 0, "forgot gateway gw2")
}

// gateway is what a gateway has published.
func (o *office) gateway(name string) tunnel.GatewayInfo {
	o.t.Helper()
	snap, err := store.NewFile(store.FileIn(tunnel.NewFolder(o.path("state")))).Read(o.t.Context())
	g, ok := snap.Gateway(name)
	if err != nil || !ok {
		o.t.Fatalf("gateway %s: %v", name, err)
	}
	return g
}
