package tunnel

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Store keeps peers and gateways. Every operation happens as a whole or not at
// all, however many gateways and commands work on the store at once.
type Store interface {
	Reader
	PlaceStore

	// Add keeps a new peer. It chooses the addresses, one in each network: none
	// that another peer has, and none that was freed within [Quarantine]. The
	// peer that comes back is what was kept.
	Add(ctx context.Context, peer Peer, networks []netip.Prefix) (Peer, error)
	// Update changes a peer by a function that may run several times; it must not
	// change name, public key or addresses.
	Update(ctx context.Context, name string, change func(*Peer) error) (Peer, error)
	// Rotate gives a peer another key, and the preshared key that goes with it (or nil), at a
	// gateway; "" for the one that it had.
	Rotate(ctx context.Context, name, gateway string, key PublicKey, preshared *Preshared) (Peer, error)
	// Remove forgets a peer and frees its addresses, which then rest for [Quarantine].
	Remove(ctx context.Context, name string) (Peer, error)
	// Join returns what the cluster shares. The first who ever comes makes it: of
	// the value proposed.
	Join(ctx context.Context, proposed Cluster) (Cluster, error)
	// Publish keeps what a gateway says about itself, in place of what it said before.
	Publish(ctx context.Context, gateway GatewayInfo) error
	// Withdraw forgets a gateway; one that is not there is no error.
	Withdraw(ctx context.Context, name string) error
}

// Reader is the half of a [Store] that a gateway follows.
type Reader interface {
	// Read is a consistent read of everything.
	Read(ctx context.Context) (Snapshot, error)
	// Watch tells what the store holds, at once and after every change, until ctx
	// ends, and then returns. It calls seen from one goroutine: with a snapshot, or
	// with an error when the store cannot be read; it goes on trying.
	Watch(ctx context.Context, seen func(Snapshot, error))
}

// Quarantine is how long a freed address rests, so that nothing that still
// speaks of its former owner (a firewall element, a connection, a cached name)
// applies to the next one.
const Quarantine = 10 * time.Minute

// What stores complain about; test with errors.Is.
var (
	// ErrPeerExists says that the name is taken.
	ErrPeerExists = errors.New("there is a peer of that name already")
	// ErrNoPeer says that there is no such peer.
	ErrNoPeer = errors.New("there is no such peer")
	// ErrKeyInUse says that another peer has the public key.
	ErrKeyInUse = errors.New("another peer has that public key")
	// ErrAddressInUse says that another peer has the address.
	ErrAddressInUse = errors.New("another peer has that address")
	// ErrUnfinished says that an import has changed the store and not come to its end.
	ErrUnfinished = errors.New("the import has begun and is not whole; run it again")
	// ErrPoolExhausted says that every address is taken or rests.
	ErrPoolExhausted = errors.New("the tunnel's network has no free address")
)
