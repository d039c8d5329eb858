package store

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"panteras/tunnel"
)

// followed are the prefixes that snapshots are made of. Addresses and keys are
// only for those who add peers: gateways need not carry them.
var followed = []string{clusterKey, peersPrefix, gatewaysPrefix}

// Watch implements [tunnel.Reader].
func (s *Store) Watch(ctx context.Context, seen func(tunnel.Snapshot, error)) {
	type news struct {
		prefix string
		view   view
		err    error
	}
	arrived := make(chan news)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	for _, prefix := range followed {
		watchers.Go(func() {
			s.kv.watch(ctx, prefix, func(v view, err error) {
				select {
				case arrived <- news{prefix, v, err}:
				case <-ctx.Done():
				}
			})
		})
	}
	views, known := map[string]view{}, map[string]knownPeer{}
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-arrived:
			if n.err != nil {
				seen(tunnel.Snapshot{}, n.err)
				continue
			}
			views[n.prefix] = n.view
			if len(views) == len(followed) {
				seen(s.snapshot(views, known), nil)
			}
		}
	}
}

// knownPeer is a peer as it was read from a value; most of thousands are the same the next
// time.
type knownPeer struct {
	value []byte
	peer  tunnel.Peer
}

// snapshot reads what was found under the followed prefixes, which need not have been at one
// moment. known is for the next time.
func (s *Store) snapshot(views map[string]view, known map[string]knownPeer) tunnel.Snapshot {
	snap := tunnel.Snapshot{Peers: make([]tunnel.Peer, 0, len(views[peersPrefix].entries))}
	for prefix, v := range views {
		for key, e := range v.entries {
			if old, ok := known[key]; ok && bytes.Equal(old.value, e.value) {
				snap.Peers = append(snap.Peers, old.peer)
				continue
			}
			if err := place(&snap, prefix, key, e.value); err != nil {
				broken := tunnel.Broken{Kind: kinds[prefix], Name: nameIn(prefix, key), Err: fmt.Errorf("%s: %w", s.kv.where(key), err)}
				snap.Broken = append(snap.Broken, broken)
			} else if prefix == peersPrefix {
				known[key] = knownPeer{e.value, snap.Peers[len(snap.Peers)-1]}
			}
		}
	}
	for key := range known {
		if _, ok := views[peersPrefix].entries[key]; !ok {
			delete(known, key)
		}
	}
	slices.SortFunc(snap.Peers, func(a, b tunnel.Peer) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(snap.Gateways, func(a, b tunnel.GatewayInfo) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(snap.Broken, func(a, b tunnel.Broken) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return snap
}

var kinds = map[string]tunnel.Kind{clusterKey: tunnel.KindCluster, peersPrefix: tunnel.KindPeer, gatewaysPrefix: tunnel.KindGateway}

// place puts an entry where it belongs in a snapshot.
func place(snap *tunnel.Snapshot, prefix, key string, value []byte) error {
	switch {
	case prefix == peersPrefix:
		p, err := decodePeer(nameIn(prefix, key), value)
		if err == nil {
			snap.Peers = append(snap.Peers, p)
		}
		return err
	case prefix == gatewaysPrefix:
		g, err := decodeGateway(nameIn(prefix, key), value)
		if err == nil {
			snap.Gateways = append(snap.Gateways, g)
		}
		return err
	case key == clusterKey:
		c, err := decodeCluster(value)
		if err == nil {
			snap.Cluster = c
		}
		return err
	}
	return nil // a key that only begins like that of the cluster
}
