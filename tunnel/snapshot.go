package tunnel

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"sort"
)

// Snapshot is all that a store held at one moment, read-only for everybody.
type Snapshot struct {
	// Consistent tells that all of it was so at one moment, as the store's leader says: it
	// cannot have been an old or a partial view.
	Consistent bool
	// Cluster is what was made once for all gateways. It stands in the store as
	// long as there is one, so a snapshot without it is of no store at all: a
	// store that was wiped, or one whose answers somebody filters.
	Cluster Cluster
	// Peers and Gateways are sorted by name, and all of them passed Check.
	Peers    []Peer
	Gateways []GatewayInfo
	// Broken are entries that are there and cannot be understood.
	Broken []Broken
}

// Cluster is what all gateways of a store share.
type Cluster struct {
	// ULA is the tunnel's IPv6 network where TUNNEL_CIDR6 names none, a /64. The
	// zero Prefix says that nobody has used the store yet.
	ULA netip.Prefix `json:"ula"`
	// Importing says that a backup is being put into the store, whose peers are not all
	// there yet. It stays if the import was cut off.
	Importing bool `json:"importing,omitzero"`
}

// NewCluster makes a cluster of its own: 40 random bits after fd, as RFC 4193 has it.
func NewCluster() Cluster {
	raw := [16]byte{0: 0xfd}
	rand.Read(raw[1:6]) // never fails
	return Cluster{ULA: netip.PrefixFrom(netip.AddrFrom16(raw), ulaBits)}
}

const ulaBits = 64

// Check tells what is wrong with a cluster that comes from outside.
func (c Cluster) Check() error {
	if a := c.ULA.Addr(); !a.Is6() || a.As16()[0] != 0xfd || c.ULA.Bits() != ulaBits || c.ULA != c.ULA.Masked() {
		return fmt.Errorf("%s is not a unique local network (fd…/64)", c.ULA)
	}
	return nil
}

// Kind is a kind of entry in a store.
type Kind string

// The kinds of entries that can be broken.
const (
	KindPeer    Kind = "peer"
	KindGateway Kind = "gateway"
	KindCluster Kind = "cluster"
)

// Broken is an entry of a store that cannot be understood.
type Broken struct {
	Kind Kind
	// Name is that of the peer or gateway, "" for a cluster.
	Name string
	// Err says where the entry is and what is wrong with it.
	Err error
}

// Peer finds a peer by its name.
func (s *Snapshot) Peer(name string) (Peer, bool) {
	return find(s.Peers, name, func(p *Peer) string { return p.Name })
}

// Gateway finds a gateway by its name.
func (s *Snapshot) Gateway(name string) (GatewayInfo, bool) {
	return find(s.Gateways, name, func(g *GatewayInfo) string { return g.Name })
}

// find looks an item up in a list that is sorted by name.
func find[T any](list []T, name string, nameOf func(*T) string) (item T, ok bool) {
	i := sort.Search(len(list), func(i int) bool { return nameOf(&list[i]) >= name })
	if i < len(list) && nameOf(&list[i]) == name {
		return list[i], true
	}
	return item, false
}
