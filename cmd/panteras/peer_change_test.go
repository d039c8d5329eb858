package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/internal/statefile"
	"panteras/tunnel"
	"panteras/tunnel/admin"
	"panteras/tunnel/store"

	"golang.org/x/sys/unix"
)

// Who takes access away is told where gateways do not follow, so that it goes on.
func TestPeerChangesWarnWhereGatewaysDoNotFollow(t *testing.T) {
	o := newOffice(t)
	o.must("add", "alice")
	file := store.FileIn(tunnel.NewFolder(o.path("state")))
	// put changes the entry that the cluster has in the store.
	put := func(change func(entries map[string]any)) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		content := map[string]any{}
		if err := json.Unmarshal(text, &content); err != nil {
			t.Fatal(err)
		}
		change(content["entries"].(map[string]any))
		if text, err = json.Marshal(content); err == nil {
			err = os.WriteFile(file, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cluster := func(ula string) map[string]any {
		return map[string]any{"index": 1, "value": map[string]any{"ula": ula}}
	}
	lost, err := json.Marshal(tunnel.Peer{Name: "lost", PublicKey: tunnel.PublicKey{1}, Addresses: []netip.Addr{netip.MustParseAddr("10.99.0.9")}})
	if err != nil {
		t.Fatal(err)
	}
	// inForce is what the gateway of this host had last.
	inForce := func(ula string, peers ...json.RawMessage) {
		t.Helper()
		text, err := json.Marshal(map[string]any{"cluster": map[string]any{"ula": ula}, "peers": peers})
		if err == nil {
			err = os.WriteFile(tunnel.NewFolder(o.path("state")).File("last-state.json"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		change func(map[string]any)
		want   string // "" for no warning
	}{
		{func(map[string]any) {}, ""},
		{func(e map[string]any) { e["cluster"].(map[string]any)["value"].(map[string]any)["importing"] = true }, "an import into the store has not ended"},
		{func(e map[string]any) { e["cluster"].(map[string]any)["value"] = "garbage" }, ""}, // they go by the last good one
		{func(e map[string]any) { delete(e, "cluster") }, "lacks what all gateways share"},
		{func(e map[string]any) { e["cluster"] = cluster("fd00:1::/64") }, ""},
		{func(map[string]any) { inForce("fd00:1::/64") }, ""},
		{func(map[string]any) { inForce("fd00:2::/64") }, ""}, // nobody to lose
		{func(map[string]any) { inForce("fd00:2::/64", lost) }, "the store was made anew: it was fd00:2::/64 and is fd00:1::/64"},
		{func(map[string]any) { inForce("fd00:1::/64", lost) }, ""},
		{func(e map[string]any) { delete(e, "cluster") }, "lacks what all gateways share"},
	} {
		put(c.change)
		for _, command := range []string{"disable", "enable"} {
			got := o.must(command, "alice")
			if c.want == "" && strings.Contains(got.stderr, "warning") || !strings.Contains(got.stderr, c.want) {
				t.Errorf("%s says %q, want %q", command, got.stderr, c.want)
			}
		}
	}
	wantOutcome(t, o.peer("remove", "alice"), 0, "warning: this is in the store, but not in force", "panteras peer import", "removed alice")
}

// The audit log says who: also who became root by sudo, and for whom this program runs itself.
func TestTheAuditLogSaysWho(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ sudo, asker, want string }{
		{"", "", me.Username + " on host1"},
		{"carol", "", "carol as " + me.Username + " on host1"},
		{me.Username, "", me.Username + " on host1"},
		{"carol", "dave", "dave as " + me.Username + " on host1"},
	} {
		t.Setenv("SUDO_USER", c.sudo)
		t.Setenv(askerVariable, c.asker)
		o := newOffice(t)
		o.must("add", "alice")
		var entry struct{ By string }
		if err := json.Unmarshal([]byte(o.read("log", admin.AuditFile)), &entry); err != nil || entry.By != c.want {
			t.Errorf("by %q, %v; want %q", entry.By, err, c.want)
		}
	}
}

// An operator who does not want to wait any longer is told what may have become of the change.
func TestAChangeIsGivenUpByASignal(t *testing.T) {
	o := newOffice(t)
	unlock, err := statefile.Flock(store.FileIn(tunnel.NewFolder(o.path("state")))+".lock", unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	// One that comes before the command expects it, or after it, must not end the tests.
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT)
	given := func() (got outcome) {
		done := make(chan outcome, 1)
		go func() { done <- o.peer("add", "alice") }()
		lab.Eventually(t, 20*time.Second, "the command to end", func() bool {
			_ = unix.Kill(os.Getpid(), unix.SIGINT)
			select {
			case got = <-done:
				return true
			default:
				return false
			}
		})
		return got
	}
	got := given()
	for range 20 {
		if !strings.Contains(got.stderr, "canceled") || strings.Contains(got.stderr, "peer show") {
			break
		}
		// It was given up before it came to the change.
		wantOutcome(t, got, 1, "cannot add alice")
		got = given()
	}
	wantOutcome(t, got, 1, "cannot add alice", "panteras peer show alice")
}

// What a peer may reach is changed without a new client file.
func TestPeerAllowChanges(t *testing.T) {
	o := newOffice(t)
	o.must("add", "alice")
	allow := func() string {
		t.Helper()
		var shown struct{ Allow []string }
		if err := json.Unmarshal([]byte(o.must("show", "alice", "--json").stdout), &shown); err != nil {
			t.Fatal(err)
		}
		return strings.Join(shown.Allow, " ")
	}
	for _, step := range []struct{ allow, want string }{
		{"10.210.0.0/25:tcp/80", "10.210.0.0/25:tcp/80"}, {"", "10.210.0.0/25:tcp/80"}, {"10.210.0.7", "10.210.0.7/32"}, {"all", ""},
	} {
		args := []string{"enable", "alice"}
		if step.allow != "" {
			args = append(args, "--allow", step.allow)
		}
		o.must(args...)
		if got := allow(); got != step.want {
			t.Errorf("after %v: %q, want %q", args, got, step.want)
		}
	}
	wantOutcome(t, o.peer("enable", "alice", "--allow", "10.0.0.0/8"), 1, "10.0.0.0/8 is outside what peers may reach")
	wantOutcome(t, o.peer("enable", "alice", "--allow", "10.210.0.7", "--allow", "all"), 2, `"all" is not CIDR`)
	if got := allow(); got != "" {
		t.Errorf("a change that was refused has made it %q", got)
	}
}
