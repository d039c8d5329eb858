package store

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"panteras/tunnel"
)

// Whatever lies in a store: it is understood and sound, or broken and said to be.
func FuzzEntries(f *testing.F) {
	f.Add("peers/alice", []byte(`{"name":"alice","public_key":"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=","addresses":["10.99.0.2","fd00::2"],"allow":["10.0.0.0/8:tcp/80"],"expires":"2027-01-01T00:00:00Z","preshared":{"salt":"AQI=","secret":"x"},"created":"2026-01-01T00:00:00Z","changed":"2026-01-01T00:00:00Z"}`))
	f.Add("peers/x\ny", []byte(`{}`))
	f.Add("gateways/gw1", []byte(`{"name":"gw1","endpoint":"a:1","public_key":"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=","networks":["10.99.0.0/16"],"routes":["10.0.0.0/8"],"dns":["10.99.0.1"],"domains":["consul"]}`))
	f.Add("cluster", []byte(`{"ula":"fd00::/64"}`))
	f.Add("cluster", []byte(`[1,2`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		views := map[string]view{}
		for _, prefix := range followed {
			if strings.HasPrefix(key, prefix) {
				views[prefix] = view{entries: map[string]entry{key: {value: value, index: 1}}}
			}
		}
		s := &Store{kv: newMemory(), now: newTestClock().now}
		known := map[string]knownPeer{}
		snap := s.snapshot(views, known)
		if again := s.snapshot(views, known); !reflect.DeepEqual(snap.Peers, again.Peers) {
			t.Fatalf("%+v, and the next time %+v", snap.Peers, again.Peers)
		}
		for i := range snap.Peers {
			p := &snap.Peers[i]
			if err := p.Check(); err != nil || peerKey(p.Name) != key {
				t.Errorf("%q is the peer %+v: %v", key, p, err)
			}
			again, err := decodePeer(p.Name, encode(p))
			if err != nil || !again.Equal(p) {
				t.Errorf("%s was written, and read as %+v, %v", value, again, err)
			}
			d := tunnel.Desire(&snap, p.Created, &tunnel.GatewayInfo{Networks: both}, func(*tunnel.Peer) (tunnel.SecretKey, error) { return tunnel.SecretKey{}, nil })
			if len(d.Peers)+len(d.Problems) > 1 || slices.ContainsFunc(d.Peers, func(p tunnel.DesiredPeer) bool { return len(p.Rules) > 0 }) {
				t.Errorf("without routes, desired: %+v", d)
			}
		}
		for i := range snap.Gateways {
			if err := snap.Gateways[i].Check(); err != nil {
				t.Errorf("%q is the gateway %+v: %v", key, snap.Gateways[i], err)
			}
		}
	})
}

// A backup that is read can be imported, and is exported the same.
func FuzzBackup(f *testing.F) {
	f.Add([]byte(`{"format":"panteras tunnel backup","version":1,"exported":"2026-01-01T00:00:00Z","cluster":{"ula":"fd00::/64"},"peers":[{"name":"alice","public_key":"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=","addresses":["10.99.0.2"],"created":"2026-01-01T00:00:00Z","changed":"2026-01-01T00:00:00Z"}],"gateways":[]}`))
	f.Add([]byte(`{"format":"panteras tunnel backup","version":1,"peers":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := ParseBackup(text)
		if err != nil {
			return
		}
		s := &Store{kv: newMemory(), now: newTestClock().now}
		if n, err := s.Import(t.Context(), b); err != nil || n != len(b.Peers) {
			t.Fatalf("imported %d of %d: %v", n, len(b.Peers), err)
		}
		exported, err := s.Export(t.Context())
		if err != nil || len(exported.Peers) != len(b.Peers) {
			t.Errorf("exported %+v, %v", exported, err)
		}
	})
}
