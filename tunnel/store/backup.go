package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"panteras/tunnel"
)

// Backup is everything that a store holds and that cannot be made again. The
// secrets of gateways are not part of it.
type Backup struct {
	Format   string               `json:"format"`
	Version  int                  `json:"version"`
	Exported time.Time            `json:"exported"`
	Cluster  tunnel.Cluster       `json:"cluster"`
	Peers    []tunnel.Peer        `json:"peers"`
	Gateways []tunnel.GatewayInfo `json:"gateways"`
}

// What a backup says of itself.
const (
	BackupFormat  = "panteras tunnel backup"
	BackupVersion = 1
)

// Export reads a store for a backup. A store with entries that cannot be
// understood is not exported: a backup that lacks somebody is found out too late.
func (s *Store) Export(ctx context.Context) (*Backup, error) {
	snap, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, b := range snap.Broken {
		problems = append(problems, b.Err)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if snap.Cluster.Importing {
		return nil, fmt.Errorf("not all peers are there: an import has not ended (%s says so); run it again", s.kv.where(clusterKey))
	}
	if !snap.Cluster.ULA.IsValid() {
		return nil, fmt.Errorf("there is nothing to export: %s does not exist", s.kv.where(clusterKey))
	}
	return &Backup{
		Format: BackupFormat, Version: BackupVersion, Exported: s.now().UTC().Truncate(time.Second),
		Cluster: snap.Cluster, Peers: snap.Peers, Gateways: snap.Gateways,
	}, nil
}

// Encode is a backup as text.
func (b *Backup) Encode() []byte {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("store: a backup cannot be written: %v", err))
	}
	return append(text, '\n')
}

// ParseBackup reads a backup and checks all of it, so that importing one never
// stops in the middle because of what it says.
func ParseBackup(text []byte) (*Backup, error) {
	var b Backup
	if err := decode(bytes.TrimSpace(text), &b); err != nil {
		return nil, err
	}
	if b.Format != BackupFormat || b.Version != BackupVersion {
		return nil, fmt.Errorf("it is not a %s of version %d", BackupFormat, BackupVersion)
	}
	if err := b.Cluster.Check(); err != nil {
		return nil, err
	}
	if b.Cluster.Importing {
		return nil, errors.New("it says of itself that it is not whole (cluster.importing)")
	}
	names, keys, addresses := map[string]bool{}, map[tunnel.PublicKey]string{}, map[netip.Addr]string{}
	for i := range b.Peers {
		p := &b.Peers[i]
		if err := p.Check(); err != nil {
			return nil, fmt.Errorf("peer %q: %w", p.Name, err)
		}
		if names[p.Name] {
			return nil, fmt.Errorf("it holds peer %s twice", p.Name)
		}
		if other, ok := keys[p.PublicKey]; ok {
			return nil, fmt.Errorf("peers %s and %s have the same public key", other, p.Name)
		}
		names[p.Name], keys[p.PublicKey] = true, p.Name
		for _, a := range p.Addresses {
			if other, ok := addresses[a]; ok {
				return nil, fmt.Errorf("peers %s and %s have the same address %s", other, p.Name, a)
			}
			addresses[a] = p.Name
		}
	}
	for i := range b.Gateways {
		if err := b.Gateways[i].Check(); err != nil {
			return nil, fmt.Errorf("gateway %q: %w", b.Gateways[i].Name, err)
		}
	}
	return &b, nil
}

// Import puts a backup into a store. What is there and equal stays; anything else
// that is in the way is an error before anything is changed. It may be run again
// after it was cut off. Gateways that publish themselves now keep what they say.
// Gateways have all of it in force at once, when it is done. It tells how many peers it
// has put there. With [tunnel.ErrUnfinished] it was cut off after it had begun.
func (s *Store) Import(ctx context.Context, b *Backup) (imported int, err error) {
	todo, err := s.missing(ctx, b)
	if err != nil {
		return 0, err
	}
	marked, wrote, err := s.begin(ctx, b)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil && wrote {
			err = fmt.Errorf("%w: %w", tunnel.ErrUnfinished, err)
		}
	}()
	for _, g := range b.Gateways {
		if e, err := s.kv.get(ctx, gatewayKey(g.Name)); err != nil {
			return 0, err
		} else if e.index != 0 {
			continue
		}
		if _, err := s.kv.apply(ctx, []op{{key: gatewayKey(g.Name), value: encode(&g)}}); err != nil {
			return 0, err
		}
		wrote = true
	}
	for len(todo) > 0 {
		var ops []op
		n := 0
		for n < len(todo) && len(ops)+len(todo[n]) <= s.kv.most() {
			ops = append(ops, todo[n]...)
			n++
		}
		done, err := s.kv.apply(ctx, ops)
		if err != nil {
			return imported, err
		}
		if !done {
			return imported, errors.New("somebody else changed the store meanwhile; run the import again")
		}
		imported, wrote = imported+n, true
		todo = todo[n:]
	}
	if marked { // by us, or by one that was cut off
		err = s.put(ctx, clusterKey, encode(b.Cluster))
	}
	return imported, err
}

// missing are the operations for each peer of a backup that the store lacks.
func (s *Store) missing(ctx context.Context, b *Backup) ([][]op, error) {
	peers, err := s.kv.list(ctx, peersPrefix)
	if err != nil {
		return nil, err
	}
	addresses, err := s.kv.list(ctx, addressesPrefix)
	if err != nil {
		return nil, err
	}
	keys, err := s.kv.list(ctx, keysPrefix)
	if err != nil {
		return nil, err
	}
	claims, now := decodeClaims(addresses), s.now()
	var todo [][]op
	var problems []error
	for i := range b.Peers {
		p := &b.Peers[i]
		if e, ok := peers[peerKey(p.Name)]; ok {
			if there, err := decodePeer(p.Name, e.value); err != nil || !there.Equal(p) {
				problems = append(problems, fmt.Errorf("%s: %w, and it differs from that of the backup; remove it first", p.Name, tunnel.ErrPeerExists))
			}
			continue
		}
		// What is its own already it may take back: an address that rests, and what is left where
		// somebody has deleted the peers by hand.
		key := keys[publicKey(p.PublicKey)]
		if owner := (claim{}); key.index != 0 && (decode(key.value, &owner) != nil || owner.Peer != p.Name) {
			problems = append(problems, fmt.Errorf("%s: %w: %s; remove it first", p.Name, tunnel.ErrKeyInUse, owner.Peer))
		}
		for _, a := range p.Addresses {
			if c, ok := claims[a]; ok && !c.free(now) && c.Peer != p.Name {
				problems = append(problems, fmt.Errorf("%s: %w or had it until just now: %s", p.Name, tunnel.ErrAddressInUse, a))
			}
		}
		todo = append(todo, taking(p, claims, key.index))
	}
	return todo, errors.Join(problems...)
}

// begin makes the cluster of a backup that of the store, and marks it: gateways keep what
// they have in force until the mark goes, be it the peers that were lost or, if they came
// with a store of their own meanwhile, none. It tells whether there is a mark, and whether it
// is by us. A store that has other peers keeps its cluster.
func (s *Store) begin(ctx context.Context, b *Backup) (marked, wrote bool, err error) {
	e, err := s.kv.get(ctx, clusterKey)
	if err != nil {
		return false, false, err
	}
	if e.index != 0 {
		there, err := decodeCluster(e.value)
		if err != nil {
			return false, false, fmt.Errorf("%s: %w; delete it and run the import again", s.kv.where(clusterKey), err)
		}
		if there.ULA == b.Cluster.ULA {
			return there.Importing, false, nil
		}
		peers, err := s.kv.list(ctx, peersPrefix)
		if err != nil {
			return false, false, err
		}
		if len(peers) > 0 {
			return false, false, fmt.Errorf("the store has peers of its own already, and its IPv6 network %s is not that of the backup, %s; remove them first", there.ULA, b.Cluster.ULA)
		}
	}
	err = s.put(ctx, clusterKey, encode(tunnel.Cluster{ULA: b.Cluster.ULA, Importing: true}))
	return err == nil, err == nil, err
}
