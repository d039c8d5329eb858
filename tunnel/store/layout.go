package store

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"panteras/tunnel"
)

// The keys of entries; see the package's comment.
const (
	clusterKey      = "cluster"
	peersPrefix     = "peers/"
	addressesPrefix = "addresses/"
	keysPrefix      = "keys/"
	gatewaysPrefix  = "gateways/"
	placesPrefix    = "places/"
)

func peerKey(name string) string          { return peersPrefix + name }
func addressKey(a netip.Addr) string      { return addressesPrefix + a.String() }
func publicKey(k tunnel.PublicKey) string { return keysPrefix + k.PathName() }
func gatewayKey(name string) string       { return gatewaysPrefix + name }
func placesKey(gateway string) string     { return placesPrefix + gateway }

// claim says who has an address or a key.
type claim struct {
	// Peer is who has it, or had it.
	Peer string `json:"peer"`
	// Freed is when it was given up; the zero time while Peer has it.
	Freed time.Time `json:"freed,omitzero"`

	index uint64
}

// free tells that the address was given up long enough ago.
func (c claim) free(now time.Time) bool {
	return !c.Freed.IsZero() && !now.Before(c.Freed.Add(tunnel.Quarantine))
}

// decodePeer reads the entry of a peer and checks everything about it.
func decodePeer(name string, value []byte) (tunnel.Peer, error) {
	var p tunnel.Peer
	if err := decode(value, &p); err != nil {
		return p, err
	}
	if p.Name != name {
		return p, fmt.Errorf("it holds a peer called %q", p.Name)
	}
	return p, p.Check()
}

func decodeGateway(name string, value []byte) (tunnel.GatewayInfo, error) {
	var g tunnel.GatewayInfo
	if err := decode(value, &g); err != nil {
		return g, err
	}
	if g.Name != name {
		return g, fmt.Errorf("it holds a gateway called %q", g.Name)
	}
	return g, g.Check()
}

func decodeCluster(value []byte) (tunnel.Cluster, error) {
	var c tunnel.Cluster
	if err := decode(value, &c); err != nil {
		return c, err
	}
	return c, c.Check()
}

// decode reads one JSON value and nothing after it. Fields that this version does
// not know are let through: a newer one may have written them.
func decode(value []byte, into any) error {
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	return nil
}

// encode writes what always can be written: values of this package and of tunnel.
func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("store: %T cannot be written: %v", value, err))
	}
	return text
}

// decodeClaims reads the claims on addresses. One that cannot be read is taken for
// somebody's, so that nobody else gets the address.
func decodeClaims(entries map[string]entry) map[netip.Addr]claim {
	claims := make(map[netip.Addr]claim, len(entries))
	for key, e := range entries {
		a, err := netip.ParseAddr(strings.TrimPrefix(key, addressesPrefix))
		if err != nil {
			continue
		}
		var c claim
		if decode(e.value, &c) != nil {
			c = claim{}
		}
		c.index = e.index
		claims[a] = c
	}
	return claims
}
