// Package admin is what operators do with peers: it adds them and makes their
// client files, changes and removes them, and writes down who did what.
package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"panteras/tunnel"
	"panteras/tunnel/client"
)

// Admin does an operator's work on a store.
type Admin struct {
	Store tunnel.Store
	// Folder holds the secrets of this host.
	Folder tunnel.Folder
	// Audit is where every change is written down.
	Audit *Audit
	// Host is the name of this host.
	Host string
	// Now is the time.
	Now func() time.Time
}

// Request is what an operator wants a peer to be.
type Request struct {
	Name string
	// PublicKey is the client's own; the zero key asks for a new private key.
	PublicKey tunnel.PublicKey
	// Gateway is "" for the one that a peer has, or else the only one, or that of this host.
	Gateway string
	// Allow is empty for everything that the gateway routes.
	Allow []tunnel.Rule
	// Expires is the zero time for never.
	Expires time.Time
	// Preshared asks for a preshared key.
	Preshared bool
	// System is what the client runs.
	System client.System
}

// Issued is a peer and what its client needs. The private key exists nowhere else.
type Issued struct {
	Peer    tunnel.Peer
	Gateway tunnel.GatewayInfo
	Files   client.Files
	// Complete tells that the file holds a private key.
	Complete bool
}

// Add makes a peer. hand gives its files to the operator; if that fails, the peer is
// removed again, because nobody could ever use it.
func (a *Admin) Add(ctx context.Context, r Request, hand func(*Issued) error) (*Issued, error) {
	if err := tunnel.CheckPeerName(r.Name); err != nil {
		return nil, err
	}
	if !r.Expires.IsZero() && !r.Expires.After(a.Now()) {
		return nil, fmt.Errorf("%s would have expired before it exists", r.Name)
	}
	gateway, err := a.gateway(ctx, r.Gateway)
	if err != nil {
		return nil, fmt.Errorf("cannot add %s: %w", r.Name, err)
	}
	if err := checkWithin(r.Allow, &gateway); err != nil {
		return nil, err
	}
	peer := tunnel.Peer{Name: r.Name, PublicKey: r.PublicKey, Gateway: gateway.Name, Allow: r.Allow, Expires: r.Expires}
	keys, err := a.keys(&peer, &gateway, r.Preshared)
	if err != nil {
		return nil, err
	}
	peer, err = a.Store.Add(ctx, peer, gateway.Networks)
	if err != nil {
		return nil, fmt.Errorf("cannot add %s: %w", r.Name, unsure(ctx, r.Name, err))
	}
	issued, err := keys.issue(r.System, peer, gateway, hand)
	if err != nil {
		// A context of its own: that the operator gave up may be why it failed.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		if _, undone := a.Store.Remove(undo, r.Name); undone != nil {
			err = errors.Join(err, fmt.Errorf("the peer stays in the store: %w", undone))
		}
		return nil, err
	}
	return issued, a.Audit.Record("add", &peer)
}

// undoTimeout is how long it may take to undo what was half done.
const undoTimeout = 10 * time.Second

// Rotate gives a peer another key. The old one stops at once.
func (a *Admin) Rotate(ctx context.Context, r Request, hand func(*Issued) error) (*Issued, error) {
	snap, err := a.Store.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot rotate the key of %s: %w", r.Name, err)
	}
	old, ok := snap.Peer(r.Name)
	if !ok {
		return nil, fmt.Errorf("%s: %w", r.Name, tunnel.ErrNoPeer)
	}
	if r.PublicKey == old.PublicKey {
		return nil, fmt.Errorf("%s has that key already; its owner makes another one by `panteras peer keygen`", r.Name)
	}
	gateway, err := a.gatewayOf(&snap, &old, r.Gateway)
	if err != nil {
		return nil, err
	}
	if err := tunnel.CheckInside(&old, gateway.Networks); err != nil {
		return nil, fmt.Errorf("%s would have no access with another key either: %w", r.Name, err)
	}
	peer := old.Clone()
	peer.PublicKey = r.PublicKey
	keys, err := a.keys(&peer, &gateway, r.Preshared || old.Preshared != nil)
	if err != nil {
		return nil, err
	}
	// The files first: the old ones still work if the new ones cannot be handed out.
	issued, err := keys.issue(r.System, peer, gateway, hand)
	if err != nil {
		return nil, err
	}
	issued.Peer, err = a.Store.Rotate(ctx, r.Name, gateway.Name, peer.PublicKey, peer.Preshared)
	if err != nil {
		return nil, fmt.Errorf("cannot rotate the key of %s, so the new client file is of no use: %w", r.Name, unsure(ctx, r.Name, err))
	}
	return issued, a.Audit.Record("rotate", &issued.Peer)
}

// Access is what a peer's access becomes; what is nil stays as it is.
type Access struct {
	Enabled bool
	// Expires is the zero time for never.
	Expires *time.Time
	// Allow is empty for everything that the gateway routes.
	Allow *[]tunnel.Rule
}

// SetAccess disables or enables a peer, and changes until when it has access and to what.
func (a *Admin) SetAccess(ctx context.Context, name string, to Access) (tunnel.Peer, error) {
	if to.Allow != nil {
		if err := a.checkAllow(ctx, name, *to.Allow); err != nil {
			return tunnel.Peer{}, err
		}
	}
	peer, err := a.Store.Update(ctx, name, func(p *tunnel.Peer) error {
		p.Disabled = !to.Enabled
		if to.Expires != nil {
			p.Expires = *to.Expires
		}
		if to.Allow != nil {
			p.Allow = *to.Allow
		}
		if to.Enabled && p.Expired(a.Now()) {
			return fmt.Errorf("%s has expired on %s; say until when with --expires", name, p.Expires.Format(time.RFC3339))
		}
		return nil
	})
	if err != nil {
		return peer, unsure(ctx, name, err)
	}
	return peer, a.Audit.Record(map[bool]string{true: "enable", false: "disable"}[to.Enabled], &peer)
}

// Remove forgets a peer.
func (a *Admin) Remove(ctx context.Context, name string) (tunnel.Peer, error) {
	peer, err := a.Store.Remove(ctx, name)
	if err != nil {
		return peer, unsure(ctx, name, err)
	}
	peer.Name = name // that of an entry that cannot be read is not known
	return peer, a.Audit.Record("remove", &peer)
}

// unsure says of a change that was given up that nobody here knows what the store did.
func unsure(ctx context.Context, name string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w; whether it was done all the same says `panteras peer show %s`", err, name)
}

// checkAllow refuses rules beyond what the gateway of a peer routes.
func (a *Admin) checkAllow(ctx context.Context, name string, rules []tunnel.Rule) error {
	snap, err := a.Store.Read(ctx)
	if err != nil {
		return err
	}
	peer, ok := snap.Peer(name)
	if !ok {
		return fmt.Errorf("%s: %w", name, tunnel.ErrNoPeer)
	}
	gateway, err := a.gatewayOf(&snap, &peer, "")
	if err != nil {
		return err
	}
	return checkWithin(rules, &gateway)
}

func checkWithin(rules []tunnel.Rule, gateway *tunnel.GatewayInfo) error {
	for _, rule := range rules {
		if err := tunnel.CheckWithin(rule, gateway.Routes); err != nil {
			return err
		}
	}
	return nil
}

// gatewayOf is the gateway that is named, or that of a peer, or if it is gone the one that a
// new peer would get.
func (a *Admin) gatewayOf(snap *tunnel.Snapshot, peer *tunnel.Peer, name string) (tunnel.GatewayInfo, error) {
	if _, there := snap.Gateway(peer.Gateway); name == "" && there {
		name = peer.Gateway
	}
	return tunnel.ChooseGateway(snap.Gateways, name, a.Host)
}

func (a *Admin) gateway(ctx context.Context, name string) (tunnel.GatewayInfo, error) {
	snap, err := a.Store.Read(ctx)
	if err != nil {
		return tunnel.GatewayInfo{}, err
	}
	return tunnel.ChooseGateway(snap.Gateways, name, a.Host)
}
