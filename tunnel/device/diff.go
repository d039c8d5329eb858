package device

import (
	"net"
	"net/netip"
	"slices"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// Config is what the interface should be.
type Config struct {
	PrivateKey wgtypes.Key
	Port       uint16
	// Peers may use the tunnel; no key and no address may appear twice.
	Peers []Peer
}

// configOf is what an interface is. A network that a peer may send from, and that no
// configuration of ours has, is an invalid address.
func configOf(d *wgtypes.Device) *Config {
	c := &Config{PrivateKey: d.PrivateKey, Port: uint16(d.ListenPort), Peers: make([]Peer, len(d.Peers))}
	for i, p := range d.Peers {
		addresses := make([]netip.Addr, len(p.AllowedIPs))
		for j, n := range p.AllowedIPs {
			if ones, bits := n.Mask.Size(); ones == bits {
				a, _ := netip.AddrFromSlice(n.IP)
				addresses[j] = a.Unmap()
			}
		}
		c.Peers[i] = Peer{PublicKey: p.PublicKey, PresharedKey: p.PresharedKey, Addresses: addresses}
	}
	return c
}

// Peer is one peer. It is known by its key.
type Peer struct {
	PublicKey wgtypes.Key
	// PresharedKey is zero where there is none.
	PresharedKey wgtypes.Key
	// Addresses are the only sources that packets of the peer may have.
	Addresses []netip.Addr
	// Endpoint is where a peer was that is new to the interface; invalid if nobody knows. From
	// then on it says itself where it is. Without it a packet for the peer that comes before
	// [Device.Call] would be taken for an attempt to shake hands, which WireGuard makes every 5 s
	// only (REKEY_TIMEOUT).
	Endpoint netip.AddrPort
}

// diff returns what makes the interface as wanted: removals first, then what is new or
// different. Nothing else is mentioned, and the peer list as a whole is never replaced: a
// peer that is set anew has no session, and waits 15 s for the next one. Changes are
// counted for the log.
func diff(have, want *Config) (cfg wgtypes.Config, changed int) {
	if have.PrivateKey != want.PrivateKey {
		cfg.PrivateKey = &want.PrivateKey
		changed++
	}
	if have.Port != want.Port {
		port := int(want.Port)
		cfg.ListenPort = &port
		changed++
	}
	wanted := make(map[wgtypes.Key]bool, len(want.Peers))
	for i := range want.Peers {
		wanted[want.Peers[i].PublicKey] = true
	}
	known := make(map[wgtypes.Key]*Peer, len(have.Peers))
	for i := range have.Peers {
		p := &have.Peers[i]
		known[p.PublicKey] = p
		if !wanted[p.PublicKey] {
			cfg.Peers = append(cfg.Peers, wgtypes.PeerConfig{PublicKey: p.PublicKey, Remove: true, UpdateOnly: true})
		}
	}
	for i := range want.Peers {
		p := &want.Peers[i]
		old := known[p.PublicKey]
		if old != nil && old.PresharedKey == p.PresharedKey && sameAddresses(old.Addresses, p.Addresses) {
			continue
		}
		next := wgtypes.PeerConfig{PublicKey: p.PublicKey, UpdateOnly: old != nil, ReplaceAllowedIPs: true, AllowedIPs: hosts(p.Addresses)}
		if (old == nil && p.PresharedKey != wgtypes.Key{}) || (old != nil && old.PresharedKey != p.PresharedKey) {
			next.PresharedKey = &p.PresharedKey
		}
		if old == nil && p.Endpoint.IsValid() {
			next.Endpoint = net.UDPAddrFromAddrPort(p.Endpoint)
		}
		cfg.Peers = append(cfg.Peers, next)
	}
	return cfg, changed + len(cfg.Peers)
}

// sameAddresses says whether two lists hold the same, in any order; neither has one twice.
func sameAddresses(a, b []netip.Addr) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return true
}

// hosts returns the networks that hold one address each.
func hosts(list []netip.Addr) []net.IPNet {
	out := make([]net.IPNet, len(list))
	for i, a := range list {
		out[i] = net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
	}
	return out
}
