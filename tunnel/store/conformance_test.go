package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"

	"github.com/google/go-cmp/cmp"
)

// promises are what a store holds to, whatever it is built on.
var promises = map[string]func(t *testing.T, s *Store, clock *testClock){
	"behaves-like-the-model":                               behavesLikeTheModel,
	"a-transaction-happens-as-a-whole":                     aTransactionHappensAsAWhole,
	"a-peers-life":                                         aPeersLife,
	"a-freed-address-rests":                                aFreedAddressRests,
	"an-address-freed-in-the-future-does-not-rest-forever": anAddressFreedInTheFutureDoesNotRestForever,
	"many-add-at-once":                                     manyAddAtOnce,
	"one-of-many-with-a-name":                              oneOfManyWithAName,
	"the-cluster-is-made-once":                             theClusterIsMadeOnce,
	"gateways-publish-themselves":                          gatewaysPublishThemselves,
	"places-are-told":                                      placesAreTold,
	"watch-tells-every-state":                              watchTellsEveryState,
	"garbage-is-said-and-harms-nobody-else":                garbageIsSaidAndHarmsNobodyElse,
	"backup-wipe-restore":                                  backupWipeRestore,
	"what-a-deleted-peer-had-is-freed":                     whatADeletedPeerHadIsFreed,
	"a-wipe-cuts-nobody-off":                               aWipeCutsNobodyOff,
	"an-import-cuts-nobody-off":                            anImportCutsNobodyOff,
}

// Every promise is tested on the fake and on everything real.
func TestConformance(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{})
	backends := map[string]func(t *testing.T, promise string) kv{
		"memory": func(*testing.T, string) kv { return newMemory() },
		"file":   func(t *testing.T, _ string) kv { return newFile(filepath.Join(t.TempDir(), "tunnel", "peers.json")) },
		"consul": func(_ *testing.T, promise string) kv {
			return newConsulKV(node.API, node.HTTPAddr.String(), promise+"/")
		},
	}
	for name, open := range backends {
		for promise, test := range promises {
			t.Run(name+"/"+promise, func(t *testing.T) {
				t.Parallel()
				clock := newTestClock()
				test(t, &Store{kv: open(t, promise), now: clock.now}, clock)
			})
		}
	}
}

// testClock stands still until it is set.
type testClock struct {
	mu sync.Mutex
	at time.Time
}

func newTestClock() *testClock { return &testClock{at: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *testClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

var (
	network4 = netip.MustParsePrefix("10.99.0.0/16")
	network6 = netip.MustParsePrefix("fd12:3456:789a::/64")
	both     = []netip.Prefix{network4, network6}
)

func newKey() tunnel.PublicKey {
	var k tunnel.PublicKey
	rand.Read(k[:])
	return k
}

func mustAdd(t *testing.T, s *Store, name string, networks ...netip.Prefix) tunnel.Peer {
	t.Helper()
	p, err := s.Add(t.Context(), tunnel.Peer{Name: name, PublicKey: newKey()}, networks)
	if err != nil {
		t.Fatalf("add %s: %v", name, err)
	}
	return p
}

func mustRead(t *testing.T, s *Store) tunnel.Snapshot {
	t.Helper()
	snap, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func wantErr(t *testing.T, err, want error, pieces ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
		return
	}
	for _, piece := range pieces {
		if !strings.Contains(err.Error(), piece) {
			t.Errorf("error %q lacks %q", err, piece)
		}
	}
}

func aPeersLife(t *testing.T, s *Store, clock *testClock) {
	ctx := t.Context()
	if snap := mustRead(t, s); len(snap.Peers) != 0 || snap.Cluster.ULA.IsValid() || !snap.Consistent {
		t.Errorf("an empty store holds %+v", snap)
	}
	alice := mustAdd(t, s, "alice", both...)
	if !network4.Contains(alice.Addresses[0]) || !network6.Contains(alice.Addresses[1]) || !alice.Created.Equal(clock.now()) {
		t.Errorf("added %+v", alice)
	}
	_, err := s.Add(ctx, tunnel.Peer{Name: "alice", PublicKey: newKey()}, both)
	wantErr(t, err, tunnel.ErrPeerExists)
	_, err = s.Add(ctx, tunnel.Peer{Name: "bob", PublicKey: alice.PublicKey}, both)
	wantErr(t, err, tunnel.ErrKeyInUse, "alice")

	clock.add(time.Hour)
	changed, err := s.Update(ctx, "alice", func(p *tunnel.Peer) error { p.Disabled = true; return nil })
	if err != nil || !changed.Disabled || !changed.Changed.Equal(clock.now()) || changed.Created.Equal(changed.Changed) {
		t.Errorf("disabled: %+v, %v", changed, err)
	}
	refusal := errors.New("no")
	_, err = s.Update(ctx, "alice", func(*tunnel.Peer) error { return refusal })
	wantErr(t, err, refusal)
	_, err = s.Update(ctx, "nobody", func(*tunnel.Peer) error { return nil })
	wantErr(t, err, tunnel.ErrNoPeer, "nobody")
	if _, err = s.Update(ctx, "alice", func(p *tunnel.Peer) error { p.PublicKey = newKey(); return nil }); err == nil {
		t.Error("a key was changed outside Rotate")
	}

	next := newKey()
	rotated, err := s.Rotate(ctx, "alice", "gw2", next, nil)
	if err != nil || rotated.PublicKey != next || rotated.Gateway != "gw2" || !cmp.Equal(rotated.Addresses, alice.Addresses, compareAddrs) {
		t.Errorf("rotated: %+v, %v", rotated, err)
	}
	_, err = s.Rotate(ctx, "alice", "gw2", next, nil)
	wantErr(t, err, tunnel.ErrKeyInUse)
	if got, _ := snapPeer(t, s, "alice"); !got.Equal(&rotated) {
		t.Errorf("read %+v, want %+v", got, rotated)
	}
	// The old key is free again.
	if _, err := s.Add(ctx, tunnel.Peer{Name: "carol", PublicKey: alice.PublicKey}, both); err != nil {
		t.Errorf("the former key of alice: %v", err)
	}
	if _, err := s.Remove(ctx, "alice"); err != nil {
		t.Error(err)
	}
	_, err = s.Remove(ctx, "alice")
	wantErr(t, err, tunnel.ErrNoPeer, "alice")
	if snap := mustRead(t, s); len(snap.Peers) != 1 || snap.Peers[0].Name != "carol" {
		t.Errorf("left: %+v", snap.Peers)
	}
}

var compareAddrs = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func snapPeer(t *testing.T, s *Store, name string) (tunnel.Peer, bool) {
	t.Helper()
	snap := mustRead(t, s)
	return snap.Peer(name)
}

func aFreedAddressRests(t *testing.T, s *Store, clock *testClock) {
	small := netip.MustParsePrefix("10.99.0.0/30") // the network, the gateway, one peer, broadcast
	first := mustAdd(t, s, "one", small)
	if want := netip.MustParseAddr("10.99.0.2"); first.Addresses[0] != want {
		t.Fatalf("the peer has %v, want the only address there is, %v", first.Addresses, want)
	}
	add := func() error {
		_, err := s.Add(t.Context(), tunnel.Peer{Name: "two", PublicKey: newKey()}, []netip.Prefix{small})
		return err
	}
	wantErr(t, add(), tunnel.ErrPoolExhausted)
	if _, err := s.Remove(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, add(), tunnel.ErrPoolExhausted, "10m")
	clock.add(tunnel.Quarantine - time.Second)
	wantErr(t, add(), tunnel.ErrPoolExhausted)
	clock.add(time.Second)
	if err := add(); err != nil {
		t.Errorf("after its rest the address: %v", err)
	}
}

// A host's clock was years ahead when a peer was removed there.
func anAddressFreedInTheFutureDoesNotRestForever(t *testing.T, s *Store, clock *testClock) {
	small := netip.MustParsePrefix("10.99.0.0/30")
	mustAdd(t, s, "one", small)
	const years = 5 * 365 * 24 * time.Hour
	clock.add(years)
	if _, err := s.Remove(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	clock.add(-years)
	add := func() error {
		_, err := s.Add(t.Context(), tunnel.Peer{Name: "two", PublicKey: newKey()}, []netip.Prefix{small})
		return err
	}
	wantErr(t, add(), tunnel.ErrPoolExhausted)
	clock.add(tunnel.Quarantine + time.Second)
	if err := add(); err != nil {
		t.Errorf("after its rest the address: %v", err)
	}
}

func manyAddAtOnce(t *testing.T, s *Store, _ *testClock) {
	// Two stores, as two gateways or commands have them, and few addresses to
	// fight for: 509.
	stores := []*Store{s, {kv: s.kv, now: s.now}}
	narrow := []netip.Prefix{netip.MustParsePrefix("10.99.0.0/23"), network6}
	const peers = 200
	var adding sync.WaitGroup
	errs := make(chan error, peers)
	for i := range peers {
		adding.Go(func() {
			_, err := stores[i%2].Add(t.Context(), tunnel.Peer{Name: fmt.Sprint("peer", i), PublicKey: newKey()}, narrow)
			errs <- err
		})
	}
	adding.Wait()
	for range peers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	snap := mustRead(t, s)
	owners := map[netip.Addr]string{}
	for _, p := range snap.Peers {
		for _, a := range p.Addresses {
			if other, taken := owners[a]; taken {
				t.Errorf("%s and %s share %v", other, p.Name, a)
			}
			owners[a] = p.Name
		}
	}
	if len(snap.Peers) != peers || len(owners) != 2*peers {
		t.Errorf("%d peers with %d addresses", len(snap.Peers), len(owners))
	}
}

func oneOfManyWithAName(t *testing.T, s *Store, _ *testClock) {
	const rivals = 10
	errs := make(chan error, rivals)
	for range rivals {
		go func() {
			_, err := s.Add(t.Context(), tunnel.Peer{Name: "alice", PublicKey: newKey()}, both)
			errs <- err
		}()
	}
	won := 0
	for range rivals {
		switch err := <-errs; {
		case err == nil:
			won++
		default:
			wantErr(t, err, tunnel.ErrPeerExists)
		}
	}
	addresses, err := s.kv.list(t.Context(), addressesPrefix)
	if won != 1 || err != nil || len(addresses) != 2 {
		t.Errorf("%d peers were added, and %d addresses taken (%v)", won, len(addresses), err)
	}
}

func theClusterIsMadeOnce(t *testing.T, s *Store, _ *testClock) {
	const gateways = 8
	clusters := make(chan tunnel.Cluster, gateways)
	for range gateways {
		go func() {
			c, err := s.Join(t.Context(), tunnel.NewCluster())
			if err != nil {
				t.Error(err)
			}
			clusters <- c
		}()
	}
	first := <-clusters
	for range gateways - 1 {
		if c := <-clusters; c != first {
			t.Errorf("one gateway joined %v and another %v", first, c)
		}
	}
	if snap := mustRead(t, s); snap.Cluster != first || !first.ULA.IsValid() {
		t.Errorf("the store holds %v, the gateways joined %v", snap.Cluster, first)
	}
}

func placesAreTold(t *testing.T, s *Store, _ *testClock) {
	seen := make(chan map[string]tunnel.Places, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.WatchPlaces(ctx, func(all map[string]tunnel.Places, err error) {
			if err != nil {
				t.Error(err)
				return
			}
			seen <- all
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	want := func(want map[string]tunnel.Places) {
		t.Helper()
		for deadline := time.After(patience); ; {
			select {
			case got := <-seen:
				if cmp.Equal(got, want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })) {
					return
				}
			case <-deadline:
				t.Fatalf("the watch never told of %v", want)
			}
		}
	}
	want(map[string]tunnel.Places{})
	many := tunnel.Places{}
	for i, a := 0, network4.Addr(); i < 10_000; i++ {
		a = a.Next()
		many[a] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, byte(i >> 11), byte(i >> 3), byte(i * 37)}), uint16(1024+i*53))
	}
	one := tunnel.Places{netip.MustParseAddr("10.99.0.2"): netip.MustParseAddrPort("[2001:db8::7]:4711")}
	for _, step := range []struct {
		gateway string
		places  tunnel.Places
		want    map[string]tunnel.Places
	}{
		{"gw1", one, map[string]tunnel.Places{"gw1": one}},
		{"gw2", many, map[string]tunnel.Places{"gw1": one, "gw2": many}},
		{"gw1", tunnel.Places{}, map[string]tunnel.Places{"gw1": {}, "gw2": many}},
	} {
		if err := s.PublishPlaces(t.Context(), step.gateway, step.places); err != nil {
			t.Fatal(err)
		}
		want(step.want)
	}
	if err := s.put(t.Context(), placesKey("gw2"), []byte(`"garbage"`)); err != nil {
		t.Fatal(err)
	}
	want(map[string]tunnel.Places{"gw1": {}})
	if size := len(encodePlaces(many)); size > 300_000 {
		t.Errorf("the places of 10,000 peers are %d bytes; Consul takes 512 kB", size)
	}
	if err := s.PublishPlaces(t.Context(), "../gw", one); err == nil {
		t.Error("places are kept for what is no gateway's name")
	}
	if snap := mustRead(t, s); len(snap.Broken) > 0 || len(snap.Gateways) > 0 {
		t.Errorf("places are taken for something else: %+v", snap)
	}
}

func gatewaysPublishThemselves(t *testing.T, s *Store, clock *testClock) {
	g := testGateway("gw1")
	for _, endpoint := range []string{"vpn.example.com:51820", "[2001:db8::1]:51820"} {
		g.Endpoint = endpoint
		clock.add(time.Minute)
		if err := s.Publish(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		snap := mustRead(t, s)
		if got, ok := snap.Gateway("gw1"); !ok || !got.Equal(&g) || !got.Updated.Equal(clock.now()) {
			t.Errorf("published %+v, read %+v", g, got)
		}
	}
	g.Endpoint = "no port"
	if err := s.Publish(t.Context(), g); err == nil {
		t.Error("a gateway without a port was published")
	}
	for range 2 {
		if err := s.Withdraw(t.Context(), "gw1"); err != nil {
			t.Error(err)
		}
	}
	if snap := mustRead(t, s); len(snap.Gateways) != 0 {
		t.Errorf("withdrawn, and still there: %+v", snap.Gateways)
	}
}

func testGateway(name string) tunnel.GatewayInfo {
	return tunnel.GatewayInfo{
		Name: name, Endpoint: "vpn.example.com:51820", PublicKey: newKey(), Networks: both,
		Routes: []netip.Prefix{netip.MustParsePrefix("10.210.0.0/24")}, DNS: []netip.Addr{netip.MustParseAddr("10.99.0.1")},
		Domains: []string{"consul"}, MTU: 1420,
	}
}

func watchTellsEveryState(t *testing.T, s *Store, _ *testClock) {
	cluster, err := s.Join(t.Context(), tunnel.NewCluster())
	if err != nil {
		t.Fatal(err)
	}
	seen := watch(t, s)
	await := func(what string, ok func(*tunnel.Snapshot) bool) {
		t.Helper()
		// A gateway has a second; machines of tests are slow.
		deadline := time.After(patience)
		for {
			select {
			case snap := <-seen:
				if ok(&snap) {
					return
				}
			case <-deadline:
				t.Fatalf("the watch never told of %s", what)
			}
		}
	}
	await("the cluster", func(s *tunnel.Snapshot) bool { return s.Cluster == cluster && len(s.Peers) == 0 })
	mustAdd(t, s, "alice", both...)
	await("alice", func(s *tunnel.Snapshot) bool { return len(s.Peers) == 1 })
	if _, err := s.Update(t.Context(), "alice", func(p *tunnel.Peer) error { p.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	await("a change", func(s *tunnel.Snapshot) bool { return len(s.Peers) == 1 && s.Peers[0].Disabled })
	if err := s.Publish(t.Context(), testGateway("gw1")); err != nil {
		t.Fatal(err)
	}
	await("a gateway", func(s *tunnel.Snapshot) bool { return len(s.Gateways) == 1 })
	if _, err := s.Remove(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	await("a removal", func(s *tunnel.Snapshot) bool { return len(s.Peers) == 0 && s.Cluster == cluster })
}

// watch collects what a watch tells; errors fail the test. Its end is waited for.
func watch(t *testing.T, s *Store) <-chan tunnel.Snapshot {
	t.Helper()
	seen := make(chan tunnel.Snapshot, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Watch(ctx, func(snap tunnel.Snapshot, err error) {
			if err != nil {
				t.Error(err)
				return
			}
			seen <- snap
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return seen
}
