package store

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"panteras/tunnel"

	"github.com/google/go-cmp/cmp"
)

func garbageIsSaidAndHarmsNobodyElse(t *testing.T, s *Store, _ *testClock) {
	alice := mustAdd(t, s, "alice", both...)
	mallory := mustAdd(t, s, "mallory", both...)
	for name, garbage := range map[string]string{
		"text": `"hello"`, "array": `[]`, "null": `null`, "empty": `{}`, "other-name": string(encode(&alice)),
		"no-key":  `{"name":"no-key","addresses":["10.99.0.9"]}`,
		"self":    `{"name":"self","public_key":"` + newKey().String() + `","addresses":["127.0.0.1"]}`,
		"beyond":  `{"name":"beyond","public_key":"` + newKey().String() + `","addresses":["10.99.0.9"],"allow":["10.0.0.0/33"]}`,
		"mallory": `{"name":"mallory\nPostUp = evil","public_key":"` + newKey().String() + `","addresses":["10.99.0.9"]}`,
	} {
		if err := s.put(t.Context(), peerKey(name), []byte(garbage)); err != nil {
			t.Fatal(err)
		}
	}
	snap := mustRead(t, s)
	if len(snap.Peers) != 1 || !snap.Peers[0].Equal(&alice) || len(snap.Broken) != 9 {
		t.Errorf("peers %+v, %d broken", snap.Peers, len(snap.Broken))
	}
	for _, b := range snap.Broken {
		if b.Kind != tunnel.KindPeer || !strings.Contains(b.Err.Error(), s.kv.where(peerKey(b.Name))) || strings.Contains(b.Err.Error(), "\n") {
			t.Errorf("broken: %+v", b)
		}
	}
	if _, err := s.Export(t.Context()); err == nil || !strings.Contains(err.Error(), "peers/mallory") {
		t.Errorf("a backup that would lack peers: %v", err)
	}
	if _, err := s.Update(t.Context(), "mallory", func(*tunnel.Peer) error { return nil }); err == nil {
		t.Error("a broken peer was changed")
	}
	// What a broken peer has is still its own, until it is removed.
	if _, err := s.Add(t.Context(), tunnel.Peer{Name: "bob", PublicKey: mallory.PublicKey}, both); !errors.Is(err, tunnel.ErrKeyInUse) {
		t.Errorf("the key of a broken peer: %v", err)
	}
	if _, err := s.Remove(t.Context(), "mallory"); err != nil {
		t.Error(err)
	}
	if _, err := s.Add(t.Context(), tunnel.Peer{Name: "bob", PublicKey: mallory.PublicKey}, both); err != nil {
		t.Errorf("the key of a removed peer: %v", err)
	}
}

func backupWipeRestore(t *testing.T, s *Store, clock *testClock) {
	ctx := t.Context()
	if _, err := s.Export(ctx); err == nil {
		t.Error("nothing was exported without an error")
	}
	if _, err := s.Join(ctx, tunnel.NewCluster()); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(ctx, testGateway("gw1")); err != nil {
		t.Fatal(err)
	}
	for i := range 40 { // more than one transaction holds
		mustAdd(t, s, fmt.Sprint("peer", i), both...)
	}
	if _, err := s.Update(ctx, "peer7", func(p *tunnel.Peer) error {
		p.Disabled, p.Expires = true, clock.now().Add(time.Hour)
		p.Preshared = &tunnel.Preshared{Salt: []byte{1, 2, 3}, Secret: "abcd"}
		rule, err := tunnel.ParseRule("10.210.0.0/25:tcp/80,443")
		p.Allow = []tunnel.Rule{rule}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	before := mustRead(t, s)
	exported, err := s.Export(ctx)
	if err != nil {
		t.Fatal(err)
	}
	backup, err := ParseBackup(exported.Encode())
	if err != nil {
		t.Fatal(err)
	}
	wipe(t, s)
	// A gateway that is started on the wiped store makes a cluster of its own.
	if _, err := s.Join(ctx, tunnel.NewCluster()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Import(ctx, backup); err != nil || n != 40 {
		t.Fatalf("imported %d, %v", n, err)
	}
	after := mustRead(t, s)
	if diff := cmp.Diff(before, after, compareAddrs, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("after the restore (-before +after):\n%s", diff)
	}
	if n, err := s.Import(ctx, backup); err != nil || n != 0 {
		t.Errorf("the second import: %d, %v", n, err)
	}
	// Removed by mistake, restored at once: its address need not rest from itself.
	if _, err := s.Remove(ctx, "peer3"); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Import(ctx, backup); err != nil || n != 1 {
		t.Errorf("one peer restored: %d, %v", n, err)
	}
	// Deleted by hand, with what they had taken still there.
	for _, name := range []string{"peer8", "peer9"} {
		e, err := s.kv.get(ctx, peerKey(name))
		if err != nil {
			t.Fatal(err)
		}
		if done, err := s.kv.apply(ctx, []op{{key: peerKey(name), index: e.index}}); !done || err != nil {
			t.Fatal(done, err)
		}
	}
	if n, err := s.Import(ctx, backup); err != nil || n != 2 {
		t.Errorf("two that were deleted by hand restored: %d, %v", n, err)
	}
	if diff := cmp.Diff(before, mustRead(t, s), compareAddrs, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("after that (-before +after):\n%s", diff)
	}
	// What is in the way is said, and nothing is changed.
	if _, err := s.Remove(ctx, "peer4"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rotate(ctx, "peer5", "", newKey(), nil); err != nil {
		t.Fatal(err)
	}
	_, err = s.Import(ctx, backup)
	wantErr(t, err, tunnel.ErrPeerExists, "peer5")
	if _, ok := snapPeer(t, s, "peer4"); ok {
		t.Error("an import that was refused has changed the store")
	}
}

// Who deletes a peer's entry by hand leaves its key and addresses taken; remove frees them.
func whatADeletedPeerHadIsFreed(t *testing.T, s *Store, _ *testClock) {
	ctx := t.Context()
	alice := mustAdd(t, s, "alice", both...)
	e, err := s.kv.get(ctx, peerKey("alice"))
	if err != nil {
		t.Fatal(err)
	}
	if done, err := s.kv.apply(ctx, []op{{key: peerKey("alice"), index: e.index}}); !done || err != nil {
		t.Fatal(done, err)
	}
	again := tunnel.Peer{Name: "alice", PublicKey: alice.PublicKey}
	_, err = s.Add(ctx, again, both)
	wantErr(t, err, tunnel.ErrKeyInUse, "alice")
	if _, err := s.Remove(ctx, "alice"); err != nil {
		t.Errorf("what is left is not removed: %v", err)
	}
	_, err = s.Remove(ctx, "alice")
	wantErr(t, err, tunnel.ErrNoPeer, "alice")
	entries, err := s.kv.list(ctx, addressesPrefix)
	if err != nil {
		t.Fatal(err)
	}
	for a, c := range decodeClaims(entries) {
		if c.Freed.IsZero() {
			t.Errorf("%s is still taken by %s", a, c.Peer)
		}
	}
	if _, err := s.Add(ctx, again, both); err != nil {
		t.Errorf("added again: %v", err)
	}
}

// wipe deletes everything, as who deletes Consul's data does.
func wipe(t *testing.T, s *Store) {
	t.Helper()
	for {
		entries, err := s.kv.list(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var ops []op
		for key, e := range entries {
			if len(ops) < s.kv.most() {
				ops = append(ops, op{key: key, index: e.index})
			}
		}
		if len(ops) == 0 {
			return
		}
		if done, err := s.kv.apply(t.Context(), ops); !done || err != nil {
			t.Fatal(done, err)
		}
	}
}
