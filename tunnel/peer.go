package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Peer is a device of a person: what the store keeps about it. All of it is public.
type Peer struct {
	// Name is unique; see [CheckPeerName].
	Name string `json:"name"`
	// PublicKey is unique as well.
	PublicKey PublicKey `json:"public_key"`
	// Addresses are the peer's own inside the tunnel: one of IPv4, then one of
	// IPv6 where the tunnel has IPv6. No two peers share one.
	Addresses []netip.Addr `json:"addresses"`
	// Gateway names the gateway that the client file was made for.
	Gateway string `json:"gateway,omitempty"`
	// Allow is what the peer may reach; empty means all that the gateway routes.
	// A gateway never lets a peer beyond its own routes.
	Allow []Rule `json:"allow,omitempty"`
	// Expires is when access ends by itself; the zero time means never.
	Expires time.Time `json:"expires,omitzero"`
	// Disabled peers keep their names, keys and addresses, and reach nothing.
	Disabled bool `json:"disabled,omitempty"`
	// Preshared tells that this peer's tunnel has a preshared key, and how
	// gateways come to know it; nil when it has none.
	Preshared *Preshared `json:"preshared,omitempty"`
	// Created and Changed are when the peer was added and last changed, in UTC.
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
}

// Preshared is the public half of a preshared key: together with a gateway's
// preshared secret it makes the key; see [Secrets.PresharedKey].
type Preshared struct {
	// Salt makes the key differ from all others.
	Salt []byte `json:"salt"`
	// Secret identifies the secret without telling anything about it, so that a
	// gateway with another one says so instead of failing silently.
	Secret string `json:"secret"`
}

// Enabled tells that an operator wants the peer to have access; it may have expired.
func (p *Peer) Enabled() bool { return !p.Disabled }

// Expired tells that access has ended by itself.
func (p *Peer) Expired(now time.Time) bool { return !p.Expires.IsZero() && !now.Before(p.Expires) }

// Equal tells whether two peers are the same in everything that is kept.
func (p *Peer) Equal(other *Peer) bool {
	samePreshared := (p.Preshared == nil) == (other.Preshared == nil)
	if samePreshared && p.Preshared != nil {
		samePreshared = p.Preshared.Secret == other.Preshared.Secret && slices.Equal(p.Preshared.Salt, other.Preshared.Salt)
	}
	return samePreshared && p.Name == other.Name && p.PublicKey == other.PublicKey && p.Gateway == other.Gateway &&
		p.Disabled == other.Disabled && p.Expires.Equal(other.Expires) && p.Created.Equal(other.Created) && p.Changed.Equal(other.Changed) &&
		slices.Equal(p.Addresses, other.Addresses) && slices.EqualFunc(p.Allow, other.Allow, Rule.Equal)
}

// Clone is a copy that shares nothing.
func (p *Peer) Clone() Peer {
	c := *p
	c.Addresses = slices.Clone(p.Addresses)
	c.Allow = nil
	for _, r := range p.Allow {
		r.Ports = slices.Clone(r.Ports)
		c.Allow = append(c.Allow, r)
	}
	if p.Preshared != nil {
		c.Preshared = &Preshared{Salt: slices.Clone(p.Preshared.Salt), Secret: p.Preshared.Secret}
	}
	return c
}

// Check tells what is wrong with a peer that comes from outside: from a store, a
// file or a backup.
func (p *Peer) Check() error {
	if err := CheckPeerName(p.Name); err != nil {
		return err
	}
	if p.PublicKey == (PublicKey{}) {
		return errors.New("it has no public key")
	}
	if len(p.Addresses) == 0 || len(p.Addresses) > 2 {
		return fmt.Errorf("it has %d addresses, not one of IPv4 and one of IPv6 at most", len(p.Addresses))
	}
	for i, a := range p.Addresses {
		switch {
		case !a.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast():
			return fmt.Errorf("its address %s is not one of a peer", a)
		case i > 0 && a.Is4() == p.Addresses[0].Is4():
			return fmt.Errorf("it has two addresses of one family, %s and %s", p.Addresses[0], a)
		}
	}
	for _, r := range p.Allow {
		if err := r.Check(); err != nil {
			return err
		}
	}
	if p.Preshared != nil && (len(p.Preshared.Salt) == 0 || p.Preshared.Secret == "") {
		return errors.New("its preshared key is incomplete")
	}
	if p.Gateway != "" {
		return CheckGatewayName(p.Gateway)
	}
	return nil
}
