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

// device is an interface that is so.
func (c *Config) device() *wgtypes.Device {
	d := &wgtypes.Device{PrivateKey: c.PrivateKey, ListenPort: int(c.Port), Peers: make([]wgtypes.Peer, len(c.Peers))}
	for i, p := range c.Peers {
		d.Peers[i] = wgtypes.Peer{PublicKey: p.PublicKey, PresharedKey: p.PresharedKey, AllowedIPs: hosts(p.Addresses)}
	}
	return d
}

// Peer is one peer. It is known by its key alone: where it is, it says itself.
type Peer struct {
	PublicKey wgtypes.Key
	// PresharedKey is zero where there is none.
	PresharedKey wgtypes.Key
	// Addresses are the only sources that packets of the peer may have.
	Addresses []netip.Addr
}

// diff returns what makes the interface as wanted: removals first, then what is new or
// different. Nothing else is mentioned, and the peer list as a whole is never replaced: a
// peer that is set anew has no session, and waits 15 s for the next one. Changes are
// counted for the log.
func diff(have *wgtypes.Device, want *Config) (cfg wgtypes.Config, changed int) {
	if have.PrivateKey != want.PrivateKey {
		cfg.PrivateKey = &want.PrivateKey
		changed++
	}
	if port := int(want.Port); have.ListenPort != port {
		cfg.ListenPort = &port
		changed++
	}
	wanted := make(map[wgtypes.Key]bool, len(want.Peers))
	for _, p := range want.Peers {
		wanted[p.PublicKey] = true
	}
	known := make(map[wgtypes.Key]*wgtypes.Peer, len(have.Peers))
	for i, p := range have.Peers {
		known[p.PublicKey] = &have.Peers[i]
		if !wanted[p.PublicKey] {
			cfg.Peers = append(cfg.Peers, wgtypes.PeerConfig{PublicKey: p.PublicKey, Remove: true, UpdateOnly: true})
		}
	}
	for _, p := range want.Peers {
		old := known[p.PublicKey]
		if old != nil && old.PresharedKey == p.PresharedKey && sameAddresses(old.AllowedIPs, p.Addresses) {
			continue
		}
		next := wgtypes.PeerConfig{PublicKey: p.PublicKey, UpdateOnly: old != nil, ReplaceAllowedIPs: true, AllowedIPs: hosts(p.Addresses)}
		if (old == nil && p.PresharedKey != wgtypes.Key{}) || (old != nil && old.PresharedKey != p.PresharedKey) {
			next.PresharedKey = &p.PresharedKey
		}
		cfg.Peers = append(cfg.Peers, next)
	}
	return cfg, changed + len(cfg.Peers)
}

// sameAddresses says whether the networks are those of the addresses, in any order.
func sameAddresses(networks []net.IPNet, addresses []netip.Addr) bool {
	if len(networks) != len(addresses) {
		return false
	}
	for _, n := range networks {
		a, ok := netip.AddrFromSlice(n.IP)
		ones, bits := n.Mask.Size()
		if !ok || ones != bits || !slices.Contains(addresses, a.Unmap()) {
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
