package device

import (
	"net"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// callKeepalive is a keepalive that is set for a moment: to set one sends a packet, and that
// begins with a handshake.
const callKeepalive = 25 * time.Second

// Call makes peers shake hands at once, given where they are. Those that are not there any
// more lose nothing: they say themselves where they are.
func (d *Device) Call(where map[wgtypes.Key]netip.AddrPort) error {
	if len(where) == 0 {
		return nil
	}
	if d.engine != nil {
		d.engine.bind.look() // they are called on because a floating address has just come
	}
	on, off := callKeepalive, time.Duration(0)
	var call, quiet []wgtypes.PeerConfig
	for key, endpoint := range where {
		call = append(call, wgtypes.PeerConfig{PublicKey: key, UpdateOnly: true, Endpoint: net.UDPAddrFromAddrPort(endpoint), PersistentKeepaliveInterval: &on})
		quiet = append(quiet, wgtypes.PeerConfig{PublicKey: key, UpdateOnly: true, PersistentKeepaliveInterval: &off})
	}
	for _, peers := range [][]wgtypes.PeerConfig{call, quiet} {
		if err := d.client.ConfigureDevice(d.name, wgtypes.Config{Peers: peers}); err != nil {
			return permission("cannot configure "+d.name, err)
		}
	}
	return nil
}

// Forget ends the sessions of peers, which stay what they are otherwise.
func (d *Device) Forget(peers []Peer) error {
	if len(peers) == 0 {
		return nil
	}
	gone := make([]wgtypes.PeerConfig, len(peers))
	for i, p := range peers {
		gone[i] = wgtypes.PeerConfig{PublicKey: p.PublicKey, Remove: true, UpdateOnly: true}
	}
	back, _ := diff(&Config{}, &Config{Peers: peers})
	known := d.known
	d.known = nil // until it has succeeded
	for _, list := range [][]wgtypes.PeerConfig{gone, back.Peers} {
		if err := d.client.ConfigureDevice(d.name, wgtypes.Config{Peers: list}); err != nil {
			return permission("cannot configure "+d.name, err)
		}
	}
	d.known = known
	return nil
}
