package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"panteras/configs"
	"panteras/internal/lab"
	"panteras/tunnel"
	"panteras/tunnel/store"
)

const testPatience = 20 * time.Second

// rig is a gateway on a fake host, with a store in memory.
type rig struct {
	t        *testing.T
	host     *fakeHost
	store    tunnel.Store
	folder   tunnel.Folder
	settings configs.Settings
	log      *logBuffer
	level    slog.Level // of the log
	gateway  *Gateway
	end      func() error
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t *testing.T) *rig {
	state := t.TempDir()
	return &rig{
		t: t, host: newFakeHost(), store: store.NewMemory(time.Now), folder: tunnel.NewFolder(state), log: &logBuffer{},
		settings: configs.Settings{
			Hostname: "gw", TunnelEndpoint: "gw.example:51820", TunnelCIDR: netip.MustParsePrefix("10.99.0.0/16"), ConsulDomain: "consul", DNSPort: 53,
			TunnelSettings: configs.TunnelSettings{
				TunnelPort: 51820, TunnelInterface: "wg-test", TunnelRoutes: []netip.Prefix{netip.MustParsePrefix("10.210.0.0/24")},
				TunnelNAT: true, TunnelDatapath: "auto", StateDir: state, RunDir: filepath.Join(state, "run"),
			},
		},
	}
}

// start runs the gateway until the test is over, or end is called.
func (r *rig) start() {
	r.t.Helper()
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: r.level}))
	settings := r.settings
	g := newGateway(Options{Settings: &settings, Store: r.store, Folder: r.folder, Log: log}, r.host.effects())
	r.gateway = g
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- g.Run(ctx, func() { close(ready) }) }()
	r.end = sync.OnceValue(func() error { cancel(); return <-done })
	r.t.Cleanup(func() { _ = r.end() })
	select {
	case <-ready:
	case err := <-done:
		done <- err
		r.t.Fatalf("the gateway ended: %v", err)
	case <-time.After(testPatience):
		r.t.Fatal("the gateway does not start")
	}
}

// whileBusy runs f while the gateway waits for its host, and hears of nothing else.
func (r *rig) whileBusy(f func()) {
	r.t.Helper()
	busy, free, asked := make(chan struct{}), make(chan struct{}), make(chan bool, 1)
	r.host.look(func() { r.host.pause = func() { close(busy); <-free } })
	go func() {
		_, ok := r.gateway.askReport()
		asked <- ok
	}()
	<-busy
	defer func() {
		close(free)
		if !<-asked {
			r.t.Error("the gateway has ended")
		}
	}()
	f()
}

func (r *rig) add(name string, change func(*tunnel.Peer)) tunnel.Peer {
	r.t.Helper()
	key, err := tunnel.NewPrivateKey()
	if err != nil {
		r.t.Fatal(err)
	}
	p := tunnel.Peer{Name: name, PublicKey: key.Public()}
	if change != nil {
		change(&p)
	}
	kept, err := r.store.Add(context.Background(), p, []netip.Prefix{r.settings.TunnelCIDR})
	if err != nil {
		r.t.Fatal(err)
	}
	return kept
}

// have waits until exactly these peers have access, at the interface and in the firewall.
func (r *rig) have(peers ...tunnel.Peer) {
	r.t.Helper()
	var wire, rules []string
	for _, p := range peers {
		wire, rules = append(wire, keyAndAddress(&p)), append(rules, p.Addresses[0].String())
	}
	slices.Sort(wire)
	slices.Sort(rules)
	lab.Eventually(r.t, testPatience, "the right peers to have access", func() bool {
		a, b := r.host.access()
		slices.Sort(a)
		slices.Sort(b)
		return slices.Equal(a, wire) && slices.Equal(b, rules)
	})
}

// keyAndAddress is what fakeHost.access lists of a peer at the interface.
func keyAndAddress(p *tunnel.Peer) string { return fmt.Sprint(wgKey(p.PublicKey), " ", p.Addresses[0]) }

// The rules are there before a peer is, and the interface comes up last; at the end the
// interface goes first.
func TestNothingIsUpWithoutRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.add("alice", nil)
	r.start()
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	var order []string
	r.host.look(func() { order = slices.Clone(r.host.done) })
	text := strings.Join(order, " ")
	if !strings.HasPrefix(text, "open forward rules peers up") || !strings.HasSuffix(text, "close remove restore") {
		t.Errorf("order: %s", text)
	}
	if r.host.forwards {
		t.Error("forwarding stays on")
	}
	if _, err := os.Stat(tunnel.StatusSocket(r.settings.RunDir, r.settings.StateDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the status socket: %v", err)
	}
}

// For a restart the rules stay in force, and forwarding on, unless it becomes an end.
func TestRulesStayForTheNextGateway(t *testing.T) {
	t.Parallel()
	for _, left := range []bool{true, false} {
		r := newRig(t)
		r.add("alice", nil)
		r.start()
		r.gateway.LeaveRules(true)
		r.gateway.LeaveRules(left)
		if err := r.end(); err != nil {
			t.Fatal(err)
		}
		var last string
		r.host.look(func() { last = r.host.done[len(r.host.done)-1] })
		if want := map[bool]string{true: "leave", false: "restore"}[left]; last != want || r.host.forwards != left {
			t.Errorf("left %v: at last %q, forwarding %v", left, last, r.host.forwards)
		}
	}
	// What never came up leaves nothing.
	r := newRig(t)
	r.host.failing = errBroken
	log := slog.New(slog.NewTextHandler(r.log, nil))
	r.gateway = newGateway(Options{Settings: &r.settings, Store: r.store, Folder: r.folder, Log: log}, r.host.effects())
	r.gateway.LeaveRules(true)
	if err := r.gateway.Run(t.Context(), func() {}); !errors.Is(err, errBroken) || r.host.done[len(r.host.done)-1] != "restore" {
		t.Errorf("%v: %v", err, r.host.done)
	}
}

func TestPeersFollowTheStore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alice := r.add("alice", nil)
	r.start()
	r.have(alice)
	bob := r.add("bob", nil)
	soon := time.Now().Add(time.Second)
	carol := r.add("carol", func(p *tunnel.Peer) { p.Expires = soon })
	r.have(alice, bob, carol)
	if _, err := r.store.Update(context.Background(), "bob", func(p *tunnel.Peer) error { p.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	other, err := tunnel.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	if alice, err = r.store.Rotate(t.Context(), "alice", "", other.Public(), nil); err != nil {
		t.Fatal(err)
	}
	r.have(alice)
	if time.Now().Before(soon) {
		t.Error("carol had no access before her time was over")
	}
	for _, want := range []string{`"peer disabled"`, `"peer has another key"`, `"peer expired"`, `"peer has access"`, "audit=true", "peer=carol"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	secrets, err := r.folder.Secrets()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.log.String(), secrets.Private.Reveal()) {
		t.Error("the private key is in the log")
	}
	lab.Eventually(t, testPatience, "the gateway to be published", func() bool {
		s, err := r.store.Read(context.Background())
		g, ok := s.Gateway("gw")
		return err == nil && ok && g.Endpoint == "gw.example:51820" && g.PublicKey == secrets.Private.Public() && len(g.Networks) == 2 && g.MTU == 1420
	})
}

// deaf is a store that does not answer.
type deaf struct{ tunnel.Store }

func (deaf) Read(context.Context) (tunnel.Snapshot, error) { return tunnel.Snapshot{}, errBroken }

func (deaf) Join(context.Context, tunnel.Cluster) (tunnel.Cluster, error) {
	return tunnel.Cluster{}, errBroken
}
func (deaf) Publish(context.Context, tunnel.GatewayInfo) error { return errBroken }
func (deaf) Watch(ctx context.Context, seen func(tunnel.Snapshot, error)) {
	seen(tunnel.Snapshot{}, errBroken)
	<-ctx.Done()
}

// The last state is in force while the store is gone, over a restart too, and ends where
// it says so.
func TestTheLastStateStays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alice := r.add("alice", nil)
	bob := r.add("bob", func(p *tunnel.Peer) { p.Expires = time.Now().Add(2 * time.Second) })
	r.start()
	r.have(alice, bob)
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(r.folder.File(memoryFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	r.store = deaf{}
	r.start()
	r.have(alice) // bob's time is over
	var mtu int
	r.host.look(func() { mtu = r.host.inner })
	if mtu != 1420 || !strings.Contains(r.log.String(), "broken") {
		t.Errorf("MTU %d, log:\n%s", mtu, r.log)
	}
}

// A store that was wiped is no removal of everybody, neither for those who start then nor
// for those who run. What was there comes back by an import.
func TestAWipedStoreStaysOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alice := r.add("alice", nil)
	r.start()
	r.have(alice)
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	// The gateway's own memory is a backup.
	text, err := os.ReadFile(r.folder.File(memoryFile))
	if err != nil {
		t.Fatal(err)
	}
	backup, err := store.ParseBackup(text)
	if err != nil {
		t.Fatal(err)
	}
	fresh := store.NewMemory(time.Now)
	r.store = fresh
	r.start()
	lab.Eventually(t, testPatience, "the gateway to be published", func() bool {
		s, err := fresh.Read(t.Context())
		_, ok := s.Gateway("gw")
		return err == nil && ok
	})
	// Everything that it does with the store was done before it published itself.
	s, err := fresh.Read(t.Context())
	if err != nil || s.Cluster.ULA.IsValid() {
		t.Errorf("the store was made anew: %v, %v", s.Cluster, err)
	}
	r.add("mallory", nil)
	lab.Eventually(t, testPatience, "the loss to be told", func() bool { return strings.Contains(r.log.String(), "peer import") })
	r.have(alice)
	if _, err := fresh.Remove(t.Context(), "mallory"); err != nil {
		t.Fatal(err)
	}
	if n, err := fresh.Import(t.Context(), backup); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	bob := r.add("bob", nil)
	r.have(alice, bob)
}

// A last state that cannot be read is nobody's access, and no reason not to start.
func TestABrokenLastStateIsNoReasonToStayDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := os.MkdirAll(string(r.folder), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.folder.File(memoryFile), []byte(`{"peers":[{"name":"../x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.store = deaf{}
	r.start()
	r.have()
	if !strings.Contains(r.log.String(), "cannot use the last state") {
		t.Errorf("log:\n%s", r.log)
	}
}

func TestWhatOthersBreakIsMended(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alice := r.add("alice", nil)
	r.start()
	r.have(alice)
	r.host.look(func() { r.host.lost = true })
	lab.Eventually(t, testPatience, "the table to be put back", func() (back bool) {
		r.host.look(func() { back = !r.host.lost })
		return back
	})
	r.host.look(func() { r.host.forwards = false })
	lab.Eventually(t, testPatience, "forwarding to be turned on again", func() (on bool) {
		r.host.look(func() { on = r.host.forwards })
		return on && strings.Contains(r.log.String(), "turned forwarding off")
	})
	r.host.look(func() { r.host.mtu = 1400 })
	r.host.changes <- struct{}{}
	lab.Eventually(t, testPatience, "the MTU to be followed", func() (followed bool) {
		r.host.look(func() { followed = r.host.inner == 1320 })
		return followed
	})
	// Without rules nobody new gets in.
	r.host.look(func() { r.host.failing = errBroken })
	bob := r.add("bob", nil)
	lab.Eventually(t, testPatience, "the failure to be told", func() bool { return strings.Contains(r.log.String(), "not as it should be") })
	if list, _ := r.host.access(); slices.Contains(list, keyAndAddress(&bob)) {
		t.Error("a peer without rules is at the interface")
	}
	r.host.look(func() { r.host.failing = nil })
	r.have(alice, bob)
	lab.Eventually(t, testPatience, "the end of it to be told", func() bool { return strings.Contains(r.log.String(), "as it should be again") })
}

// Damage to the rules is logged also where a change of peers finds it, before anybody looks.
func TestDamageThatAChangeMendsIsLogged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alice := r.add("alice", nil)
	r.store = silent{r.store}
	r.start()
	r.have(alice)
	state, err := r.store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const times = 5 // the look of each second may come first once
	for i := range times {
		next := state
		if i%2 == 0 {
			next.Peers = nil
		}
		r.whileBusy(func() {
			r.host.look(func() { r.host.lost = true })
			r.gateway.accept(next)
		})
		r.have(next.Peers...)
		if got := strings.Count(r.log.String(), "another program has removed or changed"); got != i+1 {
			t.Fatalf("damaged %d times, and %d are logged", i+1, got)
		}
	}
}
