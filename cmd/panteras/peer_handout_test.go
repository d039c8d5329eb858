package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"panteras/tunnel"
	"panteras/tunnel/admin"
	"panteras/tunnel/client"
	"panteras/tunnel/store"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestPeerFiles(t *testing.T) {
	o := newOffice(t)
	o.must("add", "alice", "--output", o.path("alice.conf"), "--preshared-key")
	first := parseFile(t, o.read("alice.conf"))
	if info, err := os.Stat(o.path("alice.conf")); err != nil || info.Mode().Perm() != 0o600 || first.PresharedKey.IsZero() {
		t.Errorf("%v, %v, %+v", info, err, first)
	}
	wantOutcome(t, o.peer("add", "bob", "--output", o.path("alice.conf")), 1, "alice.conf exists already")
	if len(o.list()) != 1 {
		t.Error("a peer that got no file has stayed")
	}
	got := o.must("add", "mac", "--os", "macos", "--output", o.path("the-mac-of-the-boss.conf"))
	short := client.FilePath(o.path("the-mac-of-the-boss.conf"))
	wantOutcome(t, got, 0, "so the file is "+short, "run "+strings.TrimSuffix(short, ".conf")+"-dns.sh once")
	if script := o.read(filepath.Base(strings.TrimSuffix(short, ".conf") + "-dns.sh")); !strings.Contains(script, "/etc/resolver/consul") {
		t.Errorf("the script is %s", script)
	}
	if err := os.Mkdir(o.path("files"), 0o700); err != nil {
		t.Fatal(err)
	}
	o.must("add", "win", "--os", "windows", "--output", o.path("files"))
	parseFile(t, o.read("files", "win.conf"))
	got = o.must("add", "phone", "--os", "mobile", "--qr", "--png", o.path("phone.png"), "--output", o.path("phone.conf"))
	if !strings.Contains(got.stdout, "█") || strings.Contains(got.stdout, "PrivateKey") || !strings.HasPrefix(o.read("phone.png"), "\x89PNG") {
		t.Errorf("printed %q", got.stdout)
	}
	if got := scanned(t, o.path("phone.png")); got != o.read("phone.conf") {
		t.Errorf("the picture says %q, the file %q", got, o.read("phone.conf"))
	}
	if phone := parseFile(t, o.read("phone.conf")); len(phone.DNS) != 1 || len(phone.Hooks) != 0 {
		t.Errorf("the phone's file says %+v", phone)
	}

	got = o.must("rotate", "alice", "--output", o.path("alice2.conf"))
	second := parseFile(t, o.read("alice2.conf"))
	wantOutcome(t, got, 0, "rotated alice")
	if second.PrivateKey == first.PrivateKey || second.PresharedKey == first.PresharedKey || second.PresharedKey.IsZero() || !cmp.Equal(second.Addresses, first.Addresses, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
		t.Errorf("rotated from %+v to %+v", first, second)
	}
	wantOutcome(t, o.peer("rotate", "alice", "--output", o.path("alice2.conf")), 1, "exists already")
	if o.list()[0]["public_key"] != second.PrivateKey.Public().String() {
		t.Error("a rotation whose file could not be written has changed the key")
	}
	if shown := o.must("show", "alice", "--json").stdout; !strings.Contains(shown, `"preshared_key": true`) || strings.Contains(shown, second.PresharedKey.Reveal()) {
		t.Errorf("show: %s", shown)
	}
}

// scanned reads a QR code as a phone does.
func scanned(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("zbarimg", "--quiet", "--raw", "--oneshot", "-Sbinary", path).Output()
	if err != nil {
		t.Fatalf("zbarimg: %v", err)
	}
	return string(out)
}

// On a terminal the file is printed with its QR code; what is piped is the file alone.
func TestQRCodeIsDrawnOnATerminal(t *testing.T) {
	o := newOffice(t)
	for _, terminal := range []bool{true, false} {
		reader, writer, err := os.Pipe()
		if terminal {
			reader, writer, err = openTerminal()
		}
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		printed := make(chan string)
		go func() {
			text, _ := io.ReadAll(reader) // of a terminal whose other end was closed: EIO
			printed <- string(text)
		}()
		o.stdout = writer
		code := o.peer("add", fmt.Sprint("terminal-", terminal), "--os", "mobile").code
		_ = writer.Close()
		got := <-printed
		if code != 0 || !strings.Contains(got, "PrivateKey = ") || strings.Contains(got, "█") != terminal {
			t.Errorf("terminal %v: exit code %d, printed\n%s", terminal, code, got)
		}
	}
}

// Where there are many routes a file has no QR code; it is handed out unless that was asked for.
func TestFilesTooLongForAQRCode(t *testing.T) {
	o := newOffice(t)
	g := tunnel.GatewayInfo{
		Name: "gw1", Endpoint: "vpn.example.com:51820", PublicKey: tunnel.PublicKey{1}, Networks: []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16")},
	}
	for i := range 200 {
		g.Routes = append(g.Routes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 210, byte(i), 0}), 24))
	}
	o.publish(g)
	got := o.must("add", "json", "--json")
	var handed struct{ Config, QR string }
	if err := json.Unmarshal([]byte(got.stdout), &handed); err != nil || handed.QR != "" || !strings.Contains(got.stderr, "too long for a QR code") {
		t.Errorf("%v, %+v, %s", err, handed, got.stderr)
	}
	parseFile(t, handed.Config)
	reader, writer, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	o.stdout = writer
	wantOutcome(t, o.peer("add", "terminal"), 0, "too long for a QR code", "added terminal")
	wantOutcome(t, o.peer("add", "asked", "--qr"), 1, "too long for a QR code")
	_ = writer.Close()
	o.stdout = nil
	wantOutcome(t, o.peer("add", "png", "--png", o.path("qr.png")), 1, "too long for a QR code")
	if list := o.list(); len(list) != 2 {
		t.Errorf("in the end there are %v", list)
	}
}

// openTerminal makes a terminal: what a program writes to one end is read at the other.
// See pts(4).
func openTerminal() (reader, writer *os.File, err error) {
	if reader, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	number, err := unix.IoctlGetUint32(int(reader.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(reader.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		writer, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	return reader, writer, err
}

// A line of the audit log tells everything about a change but secrets.
func TestAuditLinesAreWhole(t *testing.T) {
	o := newOffice(t)
	began := time.Now().Add(-time.Second)
	o.must("add", "alice", "--allow", "10.210.0.0/25:tcp/80,443", "--expires", "2w", "--output", o.path("alice.conf"), "--preshared-key")
	first := parseFile(t, o.read("alice.conf"))
	o.must("rotate", "alice", "--output", o.path("alice2.conf"))
	second := parseFile(t, o.read("alice2.conf"))
	o.must("disable", "alice")
	o.must("export", "--output", o.path("backup.json"))
	expires := o.list()[0]["expires"]
	if err := os.Remove(store.FileIn(tunnel.NewFolder(o.path("state")))); err != nil {
		t.Fatal(err)
	}
	o.must("import", o.path("backup.json"))
	line := func(command string, key tunnel.PublicKey, enabled bool) map[string]any {
		return map[string]any{
			"command": command, "peer": "alice", "public_key": key.String(), "enabled": enabled, "expires": expires,
			"addresses": []any{first.Addresses[0].String(), first.Addresses[1].String()}, "allow": []any{"10.210.0.0/25:tcp/80,443"},
		}
	}
	want := []map[string]any{
		line("peer add", first.PrivateKey.Public(), true), line("peer rotate", second.PrivateKey.Public(), true), line("peer disable", second.PrivateKey.Public(), false),
		{"command": "peer import", "count": 1.0},
	}
	log := o.read("log", admin.AuditFile)
	var got []map[string]any
	for text := range strings.Lines(log) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(text), &entry); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		at, err := time.Parse(time.RFC3339, fmt.Sprint(entry["time"]))
		if err != nil || at.Before(began) || at.After(time.Now()) || !strings.HasSuffix(fmt.Sprint(entry["by"]), " on host1") {
			t.Errorf("when and by whom: %s", text)
		}
		delete(entry, "time")
		delete(entry, "by")
		got = append(got, entry)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
	for _, secret := range []tunnel.SecretKey{first.PrivateKey, first.PresharedKey, second.PrivateKey, second.PresharedKey} {
		if strings.Contains(log, secret.Reveal()) {
			t.Error("a secret is in the audit log")
		}
	}
	if info, err := os.Stat(o.path("log", admin.AuditFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
