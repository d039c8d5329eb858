package store

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"

	consul "github.com/hashicorp/consul/api"
)

// follower keeps what a gateway would have in force.
type follower struct {
	mu       sync.Mutex
	force    tunnel.Snapshot
	problems []string
	least    int // of peers in force, since the first state
	states   int
}

func follow(t *testing.T, s *Store) *follower {
	t.Helper()
	f := &follower{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tunnel.Follow(ctx, s, tunnel.Snapshot{}, func(snap tunnel.Snapshot) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.force = snap; f.states == 0 || len(snap.Peers) < f.least {
				f.least = len(snap.Peers)
			}
			f.states++
			for _, b := range snap.Broken {
				f.problems = append(f.problems, b.Err.Error())
			}
		}, func(err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.problems = append(f.problems, err.Error())
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

func (f *follower) names() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, p := range f.force.Peers {
		names = append(names, p.Name)
	}
	return strings.Join(names, " ")
}

func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.force.Peers)
}

func (f *follower) fewest() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.least
}

func (f *follower) cluster() tunnel.Cluster {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.force.Cluster
}

func (f *follower) said(piece string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Contains(strings.Join(f.problems, "\n"), piece)
}

const patience = time.Minute

// What a gateway has in force, through everything that befalls Consul.
func TestAGatewayThroughConsulsTroubles(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{})
	s := NewConsul(node.API, node.HTTPAddr.String())
	if _, err := s.Join(t.Context(), tunnel.NewCluster()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		mustAdd(t, s, name, both...)
	}
	f := follow(t, s)
	lab.Eventually(t, patience, "all peers in force", func() bool { return f.names() == "a b c" })

	// Garbage.
	kv := node.API.KV()
	if _, err := kv.Put(&consul.KVPair{Key: "panteras/tunnel/peers/b", Value: []byte("\x00garbage")}, nil); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "the garbage to be said", func() bool { return f.said("panteras/tunnel/peers/b") && f.said("last good state") })
	mustAdd(t, s, "d", both...)
	lab.Eventually(t, patience, "a new peer beside the garbage", func() bool { return f.names() == "a b c d" })

	// Consul restarts.
	node.Restart(t)
	lab.Eventually(t, patience, "the loss to be said", func() bool { return f.said("the last state stays in force") })
	if got := f.names(); got != "a b c d" {
		t.Errorf("without Consul in force: %q", got)
	}
	node.WaitLeader(t)
	mustAdd(t, s, "e", both...)
	lab.Eventually(t, patience, "a new peer after the restart", func() bool { return f.names() == "a b c d e" })

	// All peers are removed by hand, which a second read confirms.
	if _, err := kv.DeleteTree("panteras/tunnel/peers/", nil); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "the removal to be in force", func() bool { return f.names() == "" })
	if !f.said("5 of 5 peers are gone") {
		t.Errorf("said: %q", f.problems)
	}
	mustAdd(t, s, "z", both...)
	lab.Eventually(t, patience, "a new peer", func() bool { return f.names() == "z" })

	// Everything is wiped.
	if _, err := kv.DeleteTree("panteras/", nil); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "the wipe to be said", func() bool { return f.said("it was wiped, or the token may not read it") })
	if got := f.names(); got != "z" {
		t.Errorf("after the wipe in force: %q", got)
	}
}

// A token that loses its rights sees an empty store: nobody may lose access by that.
func TestATokenThatSeesNothing(t *testing.T) {
	t.Parallel()
	const management = "11111111-2222-3333-4444-555555555555"
	node := lab.Consul(t, lab.ConsulOptions{ManagementToken: management})
	s := NewConsul(node.API, node.HTTPAddr.String())
	if _, err := s.Join(t.Context(), tunnel.NewCluster()); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, s, "alice", both...)
	acl := node.API.ACL()
	policy, _, err := acl.PolicyCreate(&consul.ACLPolicy{Name: "gateway", Rules: `key_prefix "panteras/tunnel/" { policy = "write" }`}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := acl.TokenCreate(&consul.ACLToken{Policies: []*consul.ACLLink{{ID: policy.ID}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config := consul.DefaultNonPooledConfig()
	config.Address, config.Token = node.HTTPAddr.String(), token.SecretID
	client, err := consul.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	limited := NewConsul(client, node.HTTPAddr.String())
	f := follow(t, limited)
	lab.Eventually(t, patience, "the peer in force", func() bool { return f.names() == "alice" })
	policy.Rules = `key_prefix "something/else/" { policy = "read" }`
	if _, _, err := acl.PolicyUpdate(policy, nil); err != nil {
		t.Fatal(err)
	}
	// A change wakes the watch, which now sees nothing; if not at once, as the question that
	// is under way may have the rights that it began with, then with the next one.
	added, next := 0, time.Now()
	lab.Eventually(t, patience, "the loss of rights to be said", func() bool {
		if time.Now().After(next) {
			mustAdd(t, s, fmt.Sprint("bob", added), both...)
			added, next = added+1, time.Now().Add(3*time.Second)
		}
		return f.said("stays in force")
	})
	if got := f.names(); !strings.HasPrefix(got, "alice") {
		t.Errorf("in force: %q", got)
	}
	if _, err := limited.Add(t.Context(), tunnel.Peer{Name: "carol", PublicKey: newKey()}, both); err == nil || !strings.Contains(err.Error(), "lacks key:write") {
		t.Errorf("adding without rights: %v", err)
	}
	// That it may only read is never taken for a name that is taken, whatever the name says.
	policy.Rules = `key_prefix "panteras/tunnel/" { policy = "read" }`
	if _, _, err := acl.PolicyUpdate(policy, nil); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "the right to read", func() bool { _, err := limited.Read(t.Context()); return err == nil })
	const name = "exists-index-is-stale"
	mustAdd(t, s, name, both...)
	for what, change := range map[string]func(context.Context) error{
		"add": func(ctx context.Context) error {
			_, err := limited.Add(ctx, tunnel.Peer{Name: name + "2", PublicKey: newKey()}, both)
			return err
		},
		"update": func(ctx context.Context) error {
			_, err := limited.Update(ctx, name, func(p *tunnel.Peer) error { p.Disabled = true; return nil })
			return err
		},
		"remove": func(ctx context.Context) error { _, err := limited.Remove(ctx, name); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := change(ctx); err == nil || !strings.Contains(err.Error(), "lacks key:write") {
			t.Errorf("%s without rights: %v", what, err)
		}
		cancel()
	}
}

// A transaction is small, however many peers there are.
func TestAddingIsOneTransaction(t *testing.T) {
	t.Parallel()
	p := tunnel.Peer{Name: "alice", PublicKey: newKey(), Addresses: []netip.Addr{netip.MustParseAddr("10.99.0.2"), netip.MustParseAddr("fd00::2")}}
	creating := func(ops []op) int {
		n := 0
		for _, o := range ops {
			n += map[bool]int{true: 2, false: 1}[o.index == 0]
		}
		return n
	}
	if n := creating(taking(&p, nil, 0)); n != 8 {
		t.Errorf("adding a peer takes %d operations, want 8", n)
	}
	p.Addresses = p.Addresses[:1]
	if n := creating(taking(&p, nil, 0)); n != 6 {
		t.Errorf("adding a peer without IPv6 takes %d operations, want 6", n)
	}
	if most := new(consulKV).most(); 2*most > 128 {
		t.Errorf("%d operations are more than Consul takes", 2*most)
	}
}

// both4And6 are the addresses at a distance from the beginnings of the networks.
func both4And6(offset uint64) []netip.Addr {
	return []netip.Addr{at(network4, offset), at(network6, offset)}
}

// A backup of many peers is put back within Consul's limits.
func TestImportOfManyPeers(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{})
	b := &Backup{Format: BackupFormat, Version: BackupVersion, Cluster: tunnel.NewCluster()}
	const peers = 300
	for i := range uint64(peers) {
		b.Peers = append(b.Peers, tunnel.Peer{Name: fmt.Sprint("peer", i), PublicKey: newKey(), Addresses: both4And6(2 + i)})
	}
	s := NewConsul(node.API, node.HTTPAddr.String())
	if n, err := s.Import(t.Context(), b); err != nil || n != peers {
		t.Fatalf("imported %d, %v", n, err)
	}
	if snap := mustRead(t, s); len(snap.Peers) != peers {
		t.Errorf("%d peers are there", len(snap.Peers))
	}
}
