package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Desired is what a gateway's device and firewall are to hold at a moment.
type Desired struct {
	// Peers are sorted by name; no two share a key or an address.
	Peers []DesiredPeer
	// Next is when it changes by itself, because a peer expires; the zero time for never.
	Next time.Time
	// Problems are peers that have to be left out, and why.
	Problems []error
}

// DesiredPeer is a peer that is to have access.
type DesiredPeer struct {
	Name      string
	PublicKey PublicKey
	// Preshared is the zero key when there is none.
	Preshared SecretKey
	// Addresses are the peer's, and the only sources it may send from.
	Addresses []netip.Addr
	// Rules are what it may reach, none beyond the gateway's routes; it may reach
	// nothing when they are empty.
	Rules []Rule
	// Expires is the zero time for never.
	Expires time.Time
}

// Desire computes what a gateway is to hold at a moment: the peers that are enabled
// and have not expired, each within the gateway's routes. preshared makes a
// peer's preshared key; see [Secrets.PresharedKey].
func Desire(s *Snapshot, now time.Time, gateway *GatewayInfo, preshared func(*Peer) (SecretKey, error)) Desired {
	d := Desired{Peers: make([]DesiredPeer, 0, len(s.Peers))}
	taken := make(map[netip.Addr]string, 2*len(s.Peers))
	for _, a := range gateway.Addresses() {
		taken[a] = "the gateway"
	}
	keys := make(map[PublicKey]string, len(s.Peers))
	keys[gateway.PublicKey] = "the gateway"
	all := Bound(nil, gateway.Routes) // once: most peers may reach what is routed
	for i := range s.Peers {
		p := &s.Peers[i]
		if p.Disabled || p.Expired(now) {
			continue
		}
		addresses, err := claim(p, gateway.Networks, keys, taken)
		if err != nil {
			d.Problems = append(d.Problems, fmt.Errorf("peer %s has no access: %w", p.Name, err))
			continue
		}
		want := DesiredPeer{Name: p.Name, PublicKey: p.PublicKey, Addresses: addresses, Rules: all, Expires: p.Expires}
		if len(p.Allow) > 0 {
			want.Rules = Bound(p.Allow, gateway.Routes)
		}
		if p.Preshared != nil {
			// Without its key the peer would be let in with less than was asked for.
			if want.Preshared, err = preshared(p); err != nil {
				d.Problems = append(d.Problems, fmt.Errorf("peer %s has no access: %w", p.Name, err))
				continue
			}
		}
		if !p.Expires.IsZero() && (d.Next.IsZero() || p.Expires.Before(d.Next)) {
			d.Next = p.Expires
		}
		d.Peers = append(d.Peers, want)
	}
	return d
}

// errOutside says why a peer has no access whose networks are not the gateway's any more.
var errOutside = errors.New("its addresses are outside the gateway's networks (TUNNEL_CIDR, TUNNEL_CIDR6); remove it and add it again")

// CheckInside refuses a peer that the gateway would leave out because of its addresses.
func CheckInside(p *Peer, networks []netip.Prefix) error {
	for _, a := range p.Addresses {
		if inside(a, networks) {
			return nil
		}
	}
	return errOutside
}

func inside(a netip.Addr, networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// claim takes a peer's key and addresses, if nobody has them yet. A store hands
// none out twice, but what a store holds may have been written by hand.
func claim(p *Peer, networks []netip.Prefix, keys map[PublicKey]string, taken map[netip.Addr]string) ([]netip.Addr, error) {
	if owner, ok := keys[p.PublicKey]; ok {
		return nil, fmt.Errorf("its public key is that of %s", owner)
	}
	var own []netip.Addr
	for _, a := range p.Addresses {
		if owner, ok := taken[a]; ok {
			return nil, fmt.Errorf("its address %s is that of %s", a, owner)
		}
		if inside(a, networks) {
			own = append(own, a)
		}
	}
	if len(own) == 0 {
		return nil, errOutside
	}
	keys[p.PublicKey] = p.Name
	for _, a := range own {
		taken[a] = p.Name
	}
	return own, nil
}
