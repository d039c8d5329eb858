package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"panteras/tunnel"
)

// Store implements [tunnel.Store].
type Store struct {
	kv  kv
	now func() time.Time
}

var _ tunnel.Store = (*Store)(nil)

// Read implements [tunnel.Reader]. The cluster is looked at before everything else and after
// it: a wipe or an import in between changes it, and then what was read is of neither.
func (s *Store) Read(ctx context.Context) (tunnel.Snapshot, error) {
	for {
		views := map[string]view{}
		for _, prefix := range followed { // the cluster first
			entries, err := s.kv.list(ctx, prefix)
			if err != nil {
				return tunnel.Snapshot{}, err
			}
			views[prefix] = view{entries}
		}
		again, err := s.kv.list(ctx, clusterKey)
		if err != nil {
			return tunnel.Snapshot{}, err
		}
		if same(views[clusterKey].entries, again) {
			snap := s.snapshot(views, map[string]knownPeer{})
			snap.Consistent = true
			return snap, nil
		}
	}
}

// Add implements [tunnel.Store].
func (s *Store) Add(ctx context.Context, peer tunnel.Peer, networks []netip.Prefix) (tunnel.Peer, error) {
	var claims map[netip.Addr]claim // not looked at until an address is found taken
	for {
		now := s.now().UTC().Truncate(time.Second)
		peer.Created, peer.Changed = now, now
		addresses, ok := pick(networks, claims, now)
		if !ok {
			return peer, fmt.Errorf("%w: freed addresses rest for %v", tunnel.ErrPoolExhausted, tunnel.Quarantine)
		}
		peer.Addresses = addresses
		if err := peer.Check(); err != nil {
			return peer, err
		}
		done, err := s.kv.apply(ctx, taking(&peer, claims, 0))
		if done || err != nil {
			return peer, err
		}
		if err := s.collision(ctx, &peer); err != nil {
			return peer, err
		}
		entries, err := s.kv.list(ctx, addressesPrefix)
		if err != nil {
			return peer, err
		}
		claims = decodeClaims(entries)
		s.mendClaims(ctx, claims, now)
	}
}

// taking are the operations that make a peer and take what it needs. key is the version of
// the claim on its key, if that is its own already.
func taking(peer *tunnel.Peer, claims map[netip.Addr]claim, key uint64) []op {
	ops := []op{
		{key: peerKey(peer.Name), value: encode(peer)},
		{key: publicKey(peer.PublicKey), index: key, value: encode(claim{Peer: peer.Name})},
	}
	for _, a := range peer.Addresses {
		// An address that has rested long enough is taken over from its tombstone.
		ops = append(ops, op{key: addressKey(a), index: claims[a].index, value: encode(claim{Peer: peer.Name})})
	}
	return ops
}

// collision says what else than an address was taken already.
func (s *Store) collision(ctx context.Context, peer *tunnel.Peer) error {
	if e, err := s.kv.get(ctx, peerKey(peer.Name)); err != nil {
		return err
	} else if e.index != 0 {
		return tunnel.ErrPeerExists
	}
	e, err := s.kv.get(ctx, publicKey(peer.PublicKey))
	if err != nil || e.index == 0 {
		return err
	}
	var owner claim
	if decode(e.value, &owner) != nil {
		return tunnel.ErrKeyInUse
	}
	return fmt.Errorf("%w: %s", tunnel.ErrKeyInUse, owner.Peer)
}

// mendClaims lets addresses rest from now that were freed in the future, as they
// are after a clock ran wrong: else they would rest until that future comes.
func (s *Store) mendClaims(ctx context.Context, claims map[netip.Addr]claim, now time.Time) {
	var ops []op
	for a, c := range claims {
		if c.Freed.After(now.Add(tunnel.Quarantine)) && len(ops) < s.kv.most() {
			ops = append(ops, op{key: addressKey(a), index: c.index, value: encode(claim{Peer: c.Peer, Freed: now})})
		}
	}
	if len(ops) > 0 {
		// It is only about when they can be used again: the next one tries again.
		_, _ = s.kv.apply(ctx, ops)
	}
}

// Update implements [tunnel.Store].
func (s *Store) Update(ctx context.Context, name string, change func(*tunnel.Peer) error) (tunnel.Peer, error) {
	return s.edit(ctx, name, func(peer *tunnel.Peer) ([]op, error) {
		before := peer.Clone()
		if err := change(peer); err != nil {
			return nil, err
		}
		if peer.Name != before.Name || peer.PublicKey != before.PublicKey || !slices.Equal(peer.Addresses, before.Addresses) {
			return nil, errors.New("a peer's name, key and addresses are not to be changed so")
		}
		return nil, nil
	})
}

// Rotate implements [tunnel.Store].
func (s *Store) Rotate(ctx context.Context, name, gateway string, key tunnel.PublicKey, preshared *tunnel.Preshared) (tunnel.Peer, error) {
	return s.edit(ctx, name, func(peer *tunnel.Peer) ([]op, error) {
		next, err := s.kv.get(ctx, publicKey(key))
		if err != nil {
			return nil, err
		}
		if next.index != 0 {
			return nil, tunnel.ErrKeyInUse
		}
		ops := []op{{key: publicKey(key), value: encode(claim{Peer: name})}}
		old, err := s.release(ctx, publicKey(peer.PublicKey), name, nil)
		peer.PublicKey, peer.Preshared, peer.Gateway = key, preshared, cmp.Or(gateway, peer.Gateway)
		return append(ops, old...), err
	})
}

// Remove implements [tunnel.Store]. A peer whose entry cannot be understood is
// removed as well, with everything that it has taken; so is what is left of one whose entry
// somebody has deleted by hand.
func (s *Store) Remove(ctx context.Context, name string) (tunnel.Peer, error) {
	for {
		e, err := s.kv.get(ctx, peerKey(name))
		if err != nil {
			return tunnel.Peer{}, err
		}
		ops := []op{{key: peerKey(name), index: e.index}} // also one that is not there has to stay so
		peer, broken := decodePeer(name, e.value)
		var more []op
		if broken != nil {
			more, err = s.releaseAll(ctx, name)
		} else {
			more, err = s.releasePeer(ctx, &peer)
		}
		if err != nil {
			return peer, err
		}
		if e.index == 0 && len(more) == 0 {
			return tunnel.Peer{}, noPeer(name)
		}
		if done, err := s.kv.apply(ctx, append(ops, more...)); done || err != nil {
			return peer, err
		}
	}
}

// releasePeer gives up a peer's addresses and key.
func (s *Store) releasePeer(ctx context.Context, peer *tunnel.Peer) ([]op, error) {
	ops, err := s.release(ctx, publicKey(peer.PublicKey), peer.Name, nil)
	if err != nil {
		return nil, err
	}
	for _, a := range peer.Addresses {
		more, err := s.release(ctx, addressKey(a), peer.Name, s.tombstone(peer.Name))
		if err != nil {
			return nil, err
		}
		ops = append(ops, more...)
	}
	return ops, nil
}

// releaseAll gives up everything that is claimed for a name.
func (s *Store) releaseAll(ctx context.Context, name string) ([]op, error) {
	var ops []op
	for prefix, value := range map[string][]byte{addressesPrefix: s.tombstone(name), keysPrefix: nil} {
		entries, err := s.kv.list(ctx, prefix)
		if err != nil {
			return nil, err
		}
		for key, e := range entries {
			var c claim
			if decode(e.value, &c) == nil && c.Peer == name && c.Freed.IsZero() {
				ops = append(ops, op{key: key, index: e.index, value: value})
			}
		}
	}
	return ops, nil
}

// release replaces a claim, or deletes it, if it is the peer's.
func (s *Store) release(ctx context.Context, key, peer string, value []byte) ([]op, error) {
	e, err := s.kv.get(ctx, key)
	if err != nil || e.index == 0 {
		return nil, err
	}
	var c claim
	if decode(e.value, &c) == nil && (c.Peer != peer || !c.Freed.IsZero()) {
		return nil, nil
	}
	return []op{{key: key, index: e.index, value: value}}, nil
}

func (s *Store) tombstone(peer string) []byte {
	return encode(claim{Peer: peer, Freed: s.now().UTC().Truncate(time.Second)})
}

// edit changes the entry of a peer, and what belongs to the change, as often as
// somebody else was faster.
func (s *Store) edit(ctx context.Context, name string, change func(*tunnel.Peer) ([]op, error)) (tunnel.Peer, error) {
	for {
		e, err := s.kv.get(ctx, peerKey(name))
		if err != nil {
			return tunnel.Peer{}, err
		}
		if e.index == 0 {
			return tunnel.Peer{}, noPeer(name)
		}
		peer, err := decodePeer(name, e.value)
		if err != nil {
			return peer, fmt.Errorf("%s: %w; remove the peer and add it again", s.kv.where(peerKey(name)), err)
		}
		more, err := change(&peer)
		if err != nil {
			return peer, err
		}
		peer.Changed = s.now().UTC().Truncate(time.Second)
		if err := peer.Check(); err != nil {
			return peer, err
		}
		ops := append([]op{{key: peerKey(name), index: e.index, value: encode(&peer)}}, more...)
		if done, err := s.kv.apply(ctx, ops); done || err != nil {
			return peer, err
		}
	}
}

func noPeer(name string) error { return fmt.Errorf("%s: %w", name, tunnel.ErrNoPeer) }

// Join implements [tunnel.Store].
func (s *Store) Join(ctx context.Context, proposed tunnel.Cluster) (tunnel.Cluster, error) {
	if err := proposed.Check(); err != nil {
		return tunnel.Cluster{}, err
	}
	for {
		e, err := s.kv.get(ctx, clusterKey)
		if err != nil {
			return tunnel.Cluster{}, err
		}
		if e.index != 0 {
			cluster, err := decodeCluster(e.value)
			if err != nil {
				err = fmt.Errorf("%s: %w", s.kv.where(clusterKey), err)
			}
			return cluster, err
		}
		if done, err := s.kv.apply(ctx, []op{{key: clusterKey, value: encode(proposed)}}); done || err != nil {
			return proposed, err
		}
	}
}

// Refusal is [tunnel.Refusal] of what is in the store. A cluster that cannot be understood is
// none: gateways go by the last good one.
func (s *Store) Refusal(ctx context.Context, inForce tunnel.Cluster) (refusal, err error) {
	e, err := s.kv.get(ctx, clusterKey)
	if err != nil {
		return nil, err
	}
	var c tunnel.Cluster
	if e.index != 0 {
		if c, err = decodeCluster(e.value); err != nil {
			return nil, nil
		}
	}
	return tunnel.Refusal(c, inForce), nil
}

// Publish implements [tunnel.Store].
func (s *Store) Publish(ctx context.Context, gateway tunnel.GatewayInfo) error {
	gateway.Updated = s.now().UTC().Truncate(time.Second)
	if err := gateway.Check(); err != nil {
		return err
	}
	return s.put(ctx, gatewayKey(gateway.Name), encode(&gateway))
}

// Withdraw implements [tunnel.Store].
func (s *Store) Withdraw(ctx context.Context, name string) error {
	if err := s.put(ctx, placesKey(name), nil); err != nil {
		return err
	}
	return s.put(ctx, gatewayKey(name), nil)
}

// put writes an entry whatever it holds, or deletes it.
func (s *Store) put(ctx context.Context, key string, value []byte) error {
	for {
		e, err := s.kv.get(ctx, key)
		if err != nil || e.index == 0 && value == nil {
			return err
		}
		if done, err := s.kv.apply(ctx, []op{{key: key, index: e.index, value: value}}); done || err != nil {
			return err
		}
	}
}

// nameIn is the part of a key after its prefix.
func nameIn(prefix, key string) string { return strings.TrimPrefix(key, prefix) }
