package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/launcher/page"
	"panteras/tunnel"
	"panteras/tunnel/admin"
	"panteras/tunnel/client"
	"panteras/tunnel/store"

	"github.com/google/go-cmp/cmp"
)

// office is a host with a file store in which a gateway has made itself known.
type office struct {
	t   *testing.T
	dir string
	env []string
	// stdout is where commands print, for one that looks what that is.
	stdout io.Writer
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, dir: t.TempDir()}
	folder := tunnel.NewFolder(o.path("state"))
	key, err := folder.PrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	o.publish(tunnel.GatewayInfo{
		Name: "gw1", Endpoint: "vpn.example.com:51820", PublicKey: key.Public(),
		Networks: []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16"), netip.MustParsePrefix("fd12:3456:789a::/64")},
		Routes:   []netip.Prefix{netip.MustParsePrefix("10.210.0.0/24")},
		DNS:      []netip.Addr{netip.MustParseAddr("10.99.0.1")}, Domains: []string{"consul"},
	})
	return o
}

func (o *office) publish(g tunnel.GatewayInfo) {
	o.t.Helper()
	folder := tunnel.NewFolder(o.path("state"))
	if _, err := store.Choose(folder, store.InFile, true); err != nil {
		o.t.Fatal(err)
	}
	s := store.NewFile(store.FileIn(folder))
	if _, err := s.Join(o.t.Context(), tunnel.NewCluster()); err != nil {
		o.t.Fatal(err)
	}
	if err := s.Publish(o.t.Context(), g); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) path(elements ...string) string {
	return filepath.Join(append([]string{o.dir}, elements...)...)
}

// peer runs a command about peers.
func (o *office) peer(args ...string) outcome {
	o.t.Helper()
	return o.command(append([]string{"peer"}, args...)...)
}

// command runs any command.
func (o *office) command(args ...string) outcome {
	o.t.Helper()
	env := []string{"IP=10.0.0.5", "HOSTNAME=host1", "STATE_DIR=" + o.path("state"), "RUN_DIR=" + o.path("run"), "LOG_DIR=" + o.path("log")}
	env = append(env, o.env...)
	var stdout, stderr bytes.Buffer
	out := io.Writer(&stdout)
	if o.stdout != nil {
		out = o.stdout
	}
	code := run(append([]string{"--restricted", o.dir}, args...), env, out, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// must is peer for commands that succeed.
func (o *office) must(args ...string) outcome {
	o.t.Helper()
	got := o.peer(args...)
	if got.code != 0 {
		o.t.Fatalf("peer %s: exit code %d, %s", strings.Join(args, " "), got.code, got.stderr)
	}
	return got
}

func (o *office) list() []map[string]any {
	o.t.Helper()
	var list []map[string]any
	if err := json.Unmarshal([]byte(o.must("list", "--json").stdout), &list); err != nil {
		o.t.Fatal(err)
	}
	return list
}

func (o *office) read(elements ...string) string {
	o.t.Helper()
	text, err := os.ReadFile(o.path(elements...))
	if err != nil {
		o.t.Fatal(err)
	}
	return string(text)
}

func parseFile(t *testing.T, text string) *client.Parsed {
	t.Helper()
	parsed, err := client.Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return parsed
}

func wantOutcome(t *testing.T, got outcome, code int, pieces ...string) {
	t.Helper()
	for _, piece := range pieces {
		if got.code != code || !strings.Contains(got.stderr, piece) {
			t.Errorf("exit code %d, stderr %q; want %d and %q", got.code, got.stderr, code, piece)
		}
	}
}

func TestPeerAddListRemove(t *testing.T) {
	o := newOffice(t)
	if got := o.must("list", "--json").stdout; got != "[]\n" {
		t.Errorf("no peers are %q", got)
	}
	got := o.must("add", "alice-laptop")
	parsed := parseFile(t, got.stdout)
	if len(parsed.Hooks) != 2 || parsed.Endpoint != "vpn.example.com:51820" || len(parsed.Addresses) != 2 {
		t.Errorf("the file says %+v", parsed)
	}
	wantOutcome(t, got, 0, "added alice-laptop: 10.99.", "at gateway gw1 (vpn.example.com:51820)")
	private := parsed.PrivateKey.Reveal()
	if strings.Contains(got.stderr, private) {
		t.Error("the private key is on stderr")
	}
	list := o.list()
	want := []map[string]any{{
		"name": "alice-laptop", "public_key": parsed.PrivateKey.Public().String(), "addresses": []any{parsed.Addresses[0].String(), parsed.Addresses[1].String()},
		"enabled": true, "expires": nil, "last_handshake": nil, "rx_bytes": 0.0, "tx_bytes": 0.0, "endpoint": nil,
	}}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	wantOutcome(t, o.peer("add", "alice-laptop"), 1, "cannot add alice-laptop: there is a peer of that name already")
	o.must("disable", "alice-laptop")
	if got := o.list()[0]["enabled"]; got != false {
		t.Errorf("a disabled peer is enabled: %v", got)
	}
	if table := o.must("list").stdout; !strings.Contains(table, "alice-laptop  10.99.") || !strings.Contains(table, "disabled") {
		t.Errorf("list for people:\n%s", table)
	}
	o.must("enable", "alice-laptop", "--expires", "30d")
	if at, err := time.Parse(time.RFC3339, o.list()[0]["expires"].(string)); err != nil || time.Until(at) < 29*24*time.Hour || time.Until(at) > 30*24*time.Hour+time.Second {
		t.Errorf("expires %v, %v", at, err)
	}
	o.must("remove", "alice-laptop")
	if len(o.list()) != 0 {
		t.Error("a removed peer is listed")
	}
	for _, command := range []string{"remove", "disable", "enable", "rotate", "show"} {
		wantOutcome(t, o.peer(command, "alice-laptop"), 1, "alice-laptop", "there is no such peer")
	}
	o.checkNoSecretIsKept(private)
	log := o.read("log", admin.AuditFile)
	var commands []string
	for line := range strings.Lines(log) {
		var entry struct{ By, Command, Peer string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || !strings.HasSuffix(entry.By, " on host1") || entry.Peer != "alice-laptop" {
			t.Errorf("audit log: %s, %v", line, err)
		}
		commands = append(commands, entry.Command)
	}
	if want := "peer add, peer disable, peer enable, peer remove"; strings.Join(commands, ", ") != want {
		t.Errorf("the audit log holds %q, want %s", commands, want)
	}
}

// checkNoSecretIsKept looks for a client's private key in every file of the host.
func (o *office) checkNoSecretIsKept(private string) {
	o.t.Helper()
	err := filepath.WalkDir(o.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), private) {
			o.t.Errorf("%s holds the private key (%v)", path, err)
		}
		return nil
	})
	if err != nil {
		o.t.Error(err)
	}
}

func TestPeerListShowsWhatTheGatewayKnows(t *testing.T) {
	o := newOffice(t)
	public := parseFile(t, o.must("add", "alice").stdout).PrivateKey.Public()
	o.must("add", "bob")
	if err := os.MkdirAll(o.path("run"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", tunnel.StatusSocket(o.path("run"), o.path("state")))
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan string)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for answer := range answers {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(answer))
			_ = conn.Close()
		}
	}()
	defer func() { close(answers); l.Close(); <-done }()
	status, err := json.Marshal(tunnel.Status{Gateway: "gw1", Peers: []tunnel.PeerStatus{{
		PublicKey: public, LastHandshake: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), RxBytes: 7, TxBytes: 9, Endpoint: netip.MustParseAddrPort("192.0.2.1:1234"),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	answers <- string(status)
	list := o.list()
	alice, bob := list[0], list[1]
	if alice["last_handshake"] != "2026-05-01T12:00:00Z" || alice["rx_bytes"] != 7.0 || alice["tx_bytes"] != 9.0 || alice["endpoint"] != "192.0.2.1:1234" {
		t.Errorf("alice: %v", alice)
	}
	if bob["last_handshake"] != nil || bob["rx_bytes"] != 0.0 || bob["endpoint"] != nil {
		t.Errorf("bob: %v", bob)
	}
	// The status page reads the same.
	answers <- string(status)
	var shown []page.Peer
	if err := decode([]byte(o.must("list", "--json").stdout), &shown); err != nil || len(shown) != 2 {
		t.Fatalf("the status page reads %v, %v", shown, err)
	}
	if a := shown[0]; a.Name != "alice" || len(a.Addresses) == 0 || !a.Enabled || a.Expires != nil || a.LastHandshake == nil || a.LastHandshake.Day() != 1 ||
		a.RxBytes != 7 || a.TxBytes != 9 || a.Endpoint != "192.0.2.1:1234" {
		t.Errorf("the status page reads of alice: %+v", a)
	}
	if b := shown[1]; b.Name != "bob" || b.LastHandshake != nil {
		t.Errorf("the status page reads of bob: %+v", b)
	}
	// A gateway that talks nonsense hides nothing of what the store knows.
	answers <- "nonsense"
	got := o.must("list", "--json")
	wantOutcome(t, got, 0, "cannot be read")
	if !strings.Contains(got.stdout, "alice") {
		t.Errorf("listed: %s", got.stdout)
	}
	answers <- string(status)
	if shown := o.must("show", "alice").stdout; !strings.Contains(shown, "endpoint        192.0.2.1:1234") || !strings.Contains(shown, "all that the gateway routes") {
		t.Errorf("show:\n%s", shown)
	}
}

func TestPeerKeyOfTheClient(t *testing.T) {
	o := newOffice(t)
	public := strings.TrimSpace(o.must("keygen", "--output", o.path("bob.key")).stdout)
	private, err := tunnel.ParseSecretKey(strings.TrimSpace(o.read("bob.key")))
	if err != nil || private.Public().String() != public {
		t.Fatalf("%s, %v", public, err)
	}
	wantOutcome(t, o.peer("keygen", "--output", o.path("bob.key")), 1, "exists already")
	got := o.must("add", "bob", "--public-key", public, "--allow", "10.210.0.0/25:tcp/80,443", "--allow", "10.210.0.7:udp/53")
	wantOutcome(t, got, 0, "private key has to be put into the file")
	if !strings.Contains(got.stdout, "PrivateKey = PUT-YOUR-PRIVATE-KEY-HERE\n") || strings.Contains(got.stdout, private.Reveal()) {
		t.Errorf("the file is\n%s", got.stdout)
	}
	if shown := o.must("show", "bob", "--json").stdout; !strings.Contains(shown, `"10.210.0.0/25:tcp/80,443"`) || !strings.Contains(shown, `"10.210.0.7/32:udp/53"`) {
		t.Errorf("show: %s", shown)
	}
	wantOutcome(t, o.peer("add", "other", "--public-key", public), 1, "another peer has that public key: bob")
	plain := o.must("keygen").stdout
	if lines := strings.Split(plain, "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], "PrivateKey = ") || !strings.HasPrefix(lines[1], "PublicKey = ") {
		t.Errorf("keygen printed %q", plain)
	}
}

func TestPeerUsage(t *testing.T) {
	o := newOffice(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"add"}, "accepts 1 arg"},
		{[]string{"add", "a b"}, "cannot be the name of a peer"},
		{[]string{"add", "x\nPostUp = id"}, "cannot be the name of a peer"},
		{[]string{"add", "../../etc/passwd"}, "cannot be the name of a peer"},
		{[]string{"add", "alice", "--os", "beos"}, "linux, macos, windows and mobile"},
		{[]string{"add", "alice", "--public-key", "x"}, "--public-key is not a WireGuard key"},
		{[]string{"add", "alice", "--public-key", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "--qr"}, "a QR code is of no use"},
		{[]string{"add", "alice", "--expires", "yesterday"}, `"yesterday" is neither how long nor until when`},
		{[]string{"add", "alice", "--expires", "2020-01-01"}, "is not in the next hundred years"},
		{[]string{"add", "alice", "--allow", "10.0.0.0/8:icmp"}, "is not CIDR[:tcp|udp[/ports]]"},
		{[]string{"enable", "alice", "--expires", "0d"}, "neither how long"},
		{[]string{"nonsense"}, "unknown command"},
	} {
		wantOutcome(t, o.peer(test.args...), 2, test.want)
	}
	wantOutcome(t, o.peer("add", "alice", "--allow", "10.0.0.0/8"), 1, "10.0.0.0/8 is outside what peers may reach at that gateway: 10.210.0.0/24")
	wantOutcome(t, o.peer("add", "alice", "--gateway", "gw9"), 1, `there is no gateway "gw9"; there are: gw1`)
	wantOutcome(t, o.peer("list", "--tunnel-store", "consul"), 1, "TUNNEL_STORE is consul, but the peers of this host are kept in file")
	if len(o.list()) != 0 {
		t.Error("a command that was refused has added a peer")
	}
}

// Without its audit log nothing is changed.
func TestPeerChangesAreWrittenDown(t *testing.T) {
	o := newOffice(t)
	if err := os.WriteFile(o.path("log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, o.peer("add", "alice"), 1, "changes of peers are written down, and that cannot be done", "LOG_DIR")
	if len(o.list()) != 0 {
		t.Error("a peer was added without being written down")
	}
}

func TestPeerExpires(t *testing.T) {
	o := newOffice(t)
	o.must("add", "alice", "--expires", "1h")
	if o.list()[0]["expires"] == nil {
		t.Error("it never expires")
	}
	wantOutcome(t, o.peer("enable", "alice", "--expires", "never"), 0, "")
	if o.list()[0]["expires"] != nil {
		t.Error("it expires")
	}
}

func TestPeerMovesToConsul(t *testing.T) {
	o := newOffice(t)
	o.must("add", "alice")
	before := o.must("list", "--json").stdout
	o.must("export", "--output", o.path("backup.json"))
	node := lab.Consul(t, lab.ConsulOptions{})
	o.env = []string{"CONSUL_HTTP_ADDR=" + node.HTTPAddr.String()}
	wantOutcome(t, o.peer("import", "--tunnel-store", "consul", o.path("backup.json")), 0, "imported 1 of 1 peers", "restart its gateway", "follows file until then")
	if got := o.must("import", "--tunnel-store", "consul", o.path("backup.json")); strings.Contains(got.stderr, "restart") {
		t.Errorf("once it is there: %s", got.stderr)
	}
	if err := os.Remove(store.FileIn(tunnel.NewFolder(o.path("state")))); err != nil {
		t.Fatal(err)
	}
	if after := o.must("list", "--json").stdout; after != before {
		t.Errorf("before %s, after %s", before, after)
	}
	o.must("add", "bob")
	node.Kill()
	wantOutcome(t, o.peer("list"), 1, "cannot reach Consul at "+node.HTTPAddr.String())
}

func TestPeerBackup(t *testing.T) {
	o := newOffice(t)
	for _, name := range []string{"alice", "bob"} {
		o.must("add", name)
	}
	before := o.must("list", "--json").stdout
	o.must("export", "--output", o.path("backup.json"))
	if printed := o.must("export").stdout; !strings.Contains(printed, `"alice"`) {
		t.Errorf("export printed %s", printed)
	}
	wantOutcome(t, o.peer("export", "--output", o.path("backup.json")), 1, "exists already")
	if err := os.Remove(store.FileIn(tunnel.NewFolder(o.path("state")))); err != nil {
		t.Fatal(err)
	}
	if len(o.list()) != 0 {
		t.Fatal("the store was not wiped")
	}
	wantOutcome(t, o.peer("import", o.path("backup.json")), 0, "imported 2 of 2 peers")
	if after := o.must("list", "--json").stdout; after != before {
		t.Errorf("before %s, after %s", before, after)
	}
	if err := os.WriteFile(o.path("bad.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, o.peer("import", o.path("bad.json")), 1, "bad.json cannot be imported", "panteras tunnel backup")
	wantOutcome(t, o.peer("import", o.path("none.json")), 1, "none.json")
}
