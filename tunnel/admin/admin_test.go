package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"panteras/tunnel"
	"panteras/tunnel/client"
	"panteras/tunnel/store"
)

func newAdmin(t *testing.T) (*Admin, *tunnel.GatewayInfo) {
	t.Helper()
	dir := t.TempDir()
	a := &Admin{Store: store.NewMemory(time.Now), Folder: tunnel.NewFolder(dir), Host: "host1", Now: time.Now}
	var err error
	if a.Audit, err = OpenAudit(filepath.Join(dir, "log"), "tester", time.Now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Audit.Close() })
	private, err := a.Folder.PrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	g := &tunnel.GatewayInfo{
		Name: "gw1", Endpoint: "vpn.example.com:51820", PublicKey: private.Public(),
		Networks: []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16")}, Routes: []netip.Prefix{netip.MustParsePrefix("10.210.0.0/24")},
		DNS: []netip.Addr{netip.MustParseAddr("10.99.0.1")}, Domains: []string{"consul"},
	}
	if err := a.Store.Publish(t.Context(), *g); err != nil {
		t.Fatal(err)
	}
	return a, g
}

func request(name string) Request { return Request{Name: name, System: client.Linux} }

func keep(*Issued) error { return nil }

func count(t *testing.T, a *Admin) int {
	t.Helper()
	snap, err := a.Store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(snap.Peers)
}

func TestAPeerWithoutItsFileIsRemoved(t *testing.T) {
	a, _ := newAdmin(t)
	full := errors.New("the disk is full")
	if _, err := a.Add(t.Context(), request("alice"), func(*Issued) error { return full }); !errors.Is(err, full) || count(t, a) != 0 {
		t.Errorf("%v, %d peers", err, count(t, a))
	}
	// Also when the operator gave up.
	ctx, cancel := context.WithCancel(t.Context())
	_, err := a.Add(ctx, request("alice"), func(*Issued) error { cancel(); return full })
	if !errors.Is(err, full) || count(t, a) != 0 {
		t.Errorf("%v, %d peers", err, count(t, a))
	}
}

// A preshared key needs a secret that the gateway has: it is made there and nowhere else.
func TestPresharedKeysAreTheGateways(t *testing.T) {
	a, g := newAdmin(t)
	r := request("alice")
	r.Preshared = true
	issued, err := a.Add(t.Context(), r, keep)
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := a.Folder.Secrets()
	if err != nil {
		t.Fatal(err)
	}
	key, err := secrets.PresharedKey(&issued.Peer)
	if err != nil || !strings.Contains(issued.Files.Config, "PresharedKey = "+key.Reveal()+"\n") {
		t.Errorf("the gateway and the client have different keys (%v):\n%s", err, issued.Files.Config)
	}
	if stored, err := json.Marshal(issued.Peer); err != nil || strings.Contains(string(stored), key.Reveal()) {
		t.Errorf("the store holds %s, %v", stored, err)
	}
	elsewhere := *a
	elsewhere.Folder = tunnel.NewFolder(t.TempDir())
	r.Name = "bob"
	if _, err := elsewhere.Add(t.Context(), r, keep); err == nil || !strings.Contains(err.Error(), "copy tunnel/preshared.key") || count(t, a) != 1 {
		t.Errorf("on another host: %v", err)
	}
	g.PublicKey = tunnel.PublicKey{1}
	if err := a.Store.Publish(t.Context(), *g); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(a.Folder.File("preshared.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Add(t.Context(), r, keep); err == nil {
		t.Error("a secret was made on a host that is not the gateway")
	}
}

func TestSecretsOfOthersToReadAreRefused(t *testing.T) {
	a, _ := newAdmin(t)
	if err := os.Chmod(a.Folder.File("gateway.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := request("alice")
	r.Preshared = true
	if _, err := a.Add(t.Context(), r, keep); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v", err)
	}
	if _, err := a.Folder.PrivateKey(); err == nil {
		t.Error("a key that everybody can read was used")
	}
	if err := os.WriteFile(a.Folder.File("gateway.key"), []byte("garbage of a key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(a.Folder.File("gateway.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Folder.PrivateKey(); err == nil || strings.Contains(err.Error(), "garbage") || !strings.Contains(err.Error(), "gateway.key") {
		t.Errorf("a broken key: %v", err)
	}
}

func TestAnExpiredPeerIsNotEnabledByMistake(t *testing.T) {
	a, _ := newAdmin(t)
	r := request("alice")
	r.Expires = time.Now().Add(time.Hour)
	if _, err := a.Add(t.Context(), r, keep); err != nil {
		t.Fatal(err)
	}
	a.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if _, err := a.SetAccess(t.Context(), "alice", Access{Enabled: true}); err == nil || !strings.Contains(err.Error(), "--expires") {
		t.Errorf("%v", err)
	}
	until := a.Now().Add(time.Hour)
	if p, err := a.SetAccess(t.Context(), "alice", Access{Enabled: true, Expires: &until}); err != nil || p.Expired(a.Now()) {
		t.Errorf("%+v, %v", p, err)
	}
	r.Name = "bob"
	if _, err := a.Add(t.Context(), r, keep); err == nil || !strings.Contains(err.Error(), "before it exists") {
		t.Errorf("%v", err)
	}
}

func TestParseExpires(t *testing.T) {
	zone := time.FixedZone("somewhere", 2*3600)
	now := time.Date(2026, 5, 1, 12, 0, 0, 500, zone)
	for text, want := range map[string]string{
		"12h": "2026-05-01T22:00:01Z", "30d": "2026-05-31T10:00:01Z", "8w": "2026-06-26T10:00:01Z", "90m": "2026-05-01T11:30:01Z",
		"2027-01-31": "2027-01-31T22:00:00Z", "2027-01-31T18:00:00Z": "2027-01-31T18:00:00Z", "2026-05-01": "2026-05-01T22:00:00Z",
	} {
		if got, err := ParseExpires(text, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s is %v, %v, want %s", text, got, err, want)
		}
	}
	if got, err := ParseExpires("never", now); err != nil || !got.IsZero() {
		t.Errorf("never is %v, %v", got, err)
	}
	for _, bad := range []string{"", "0d", "-1h", "d", "30", "1.5d", "65535w", "999999h", "2026-04-30", "2026-13-01", "2999-01-01", "tomorrow", "0s"} {
		if got, err := ParseExpires(bad, now); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

// An import is written down once it has changed something, also where it was cut off.
func TestAnImportThatWasCutOffIsWrittenDown(t *testing.T) {
	dir, failed := t.TempDir(), errors.New("Consul is gone")
	for _, c := range []struct {
		count   int
		err     error
		written bool
	}{
		{2, nil, true}, {0, nil, true}, {0, failed, false}, {1, failed, true}, {0, fmt.Errorf("%w: %w", tunnel.ErrUnfinished, failed), true},
	} {
		audit, err := OpenAudit(dir, "tester", time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if err := audit.RecordImport(c.count, c.err); !errors.Is(err, c.err) {
			t.Errorf("%+v: %v", c, err)
		}
		if err := audit.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, AuditFile)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `"command":"peer import"`) != c.written {
			t.Errorf("%+v: the log holds %q", c, text)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// Where the gateway of a peer is gone, a new key is for the one that is there.
func TestRotateAtAnotherGateway(t *testing.T) {
	a, g := newAdmin(t)
	if _, err := a.Add(t.Context(), request("alice"), keep); err != nil {
		t.Fatal(err)
	}
	next := *g
	next.Name, next.Endpoint, next.PublicKey = "gw2", "new.example.com:51820", tunnel.PublicKey{2}
	if err := a.Store.Publish(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if issued, err := a.Rotate(t.Context(), request("alice"), keep); err != nil || issued.Gateway.Name != "gw1" || issued.Peer.Gateway != "gw1" {
		t.Errorf("as before: %+v, %v", issued, err)
	}
	if _, err := a.ForgetGateway(t.Context(), "gw3"); err == nil || !strings.Contains(err.Error(), "there are: gw1, gw2") {
		t.Errorf("one that is not there: %v", err)
	}
	if _, err := a.ForgetGateway(t.Context(), "gw1"); err != nil {
		t.Fatal(err)
	}
	if issued, err := a.Rotate(t.Context(), request("alice"), keep); err != nil || issued.Gateway.Name != "gw2" || issued.Peer.Gateway != "gw2" {
		t.Errorf("without the former one: %+v, %v", issued, err)
	}
	same := request("alice")
	if p, err := a.Store.Read(t.Context()); err != nil {
		t.Fatal(err)
	} else {
		same.PublicKey = p.Peers[0].PublicKey
	}
	if _, err := a.Rotate(t.Context(), same, keep); err == nil || !strings.Contains(err.Error(), "alice has that key already") {
		t.Errorf("its own key: %v", err)
	}
	// A new key does not help a peer whose address is of no network of the gateway.
	next.Networks = []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")}
	if err := a.Store.Publish(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Rotate(t.Context(), request("alice"), keep); err == nil || !strings.Contains(err.Error(), "remove it and add it again") {
		t.Errorf("outside the networks: %v", err)
	}
}

// Of a change that was given up nobody knows whether the store has it.
func TestAChangeThatWasGivenUpIsInDoubt(t *testing.T) {
	a, _ := newAdmin(t)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := a.Add(ctx, request("alice"), keep); err != nil {
		t.Fatal(err)
	}
	cancel()
	_, removing := a.Remove(ctx, "alice")
	_, disabling := a.SetAccess(ctx, "alice", Access{})
	for what, err := range map[string]error{"remove": removing, "disable": disabling} {
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "panteras peer show alice") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
