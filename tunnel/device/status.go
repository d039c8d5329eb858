package device

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// PeerStatus is what the interface knows about a peer.
type PeerStatus struct {
	// LastHandshake is when the peer was last certainly there; zero if never.
	LastHandshake time.Time
	// Endpoint is where it was then; invalid if unknown.
	Endpoint netip.AddrPort
	// Received and Sent count bytes since the peer was configured.
	Received, Sent int64
}

// Status returns what is known about the peers, by public key.
func (d *Device) Status() (map[wgtypes.Key]PeerStatus, error) {
	if d.engine != nil {
		return d.engine.status()
	}
	dev, err := d.client.Device(d.name)
	if err != nil {
		return nil, permission("cannot read the peers of "+d.name, err)
	}
	out := make(map[wgtypes.Key]PeerStatus, len(dev.Peers))
	for _, p := range dev.Peers {
		s := PeerStatus{LastHandshake: p.LastHandshakeTime, Received: p.ReceiveBytes, Sent: p.TransmitBytes}
		if p.Endpoint != nil {
			s.Endpoint = unmapped(p.Endpoint.AddrPort())
		}
		if s.LastHandshake.Unix() <= 0 {
			s.LastHandshake = time.Time{}
		}
		out[p.PublicKey] = s
	}
	return out, nil
}

// status is Status for peers of this process. wgctrl would have all of it, and through a
// socket: with thousands of peers that is most of a gateway's work when nothing happens.
func (e *engine) status() (map[wgtypes.Key]PeerStatus, error) {
	var text bytes.Buffer
	if err := e.dev.IpcGetOperation(&text); err != nil {
		return nil, fmt.Errorf("cannot read the peers: %w", err)
	}
	return parseStatus(text.Bytes())
}

// parseStatus reads what https://www.wireguard.com/xplatform/#configuration-protocol says of
// peers, but for their configuration.
func parseStatus(text []byte) (map[wgtypes.Key]PeerStatus, error) {
	out := map[wgtypes.Key]PeerStatus{}
	var key wgtypes.Key
	var s PeerStatus
	var seconds int64
	known := false // whether a peer has begun
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("="))
		var err error
		switch string(name) {
		case "public_key":
			if known {
				out[key] = s
			}
			s, seconds, known = PeerStatus{}, 0, true
			if len(value) != hex.EncodedLen(len(key)) {
				return nil, fmt.Errorf("a public key has %d digits", len(value))
			}
			_, err = hex.Decode(key[:], value)
		case "endpoint":
			var at netip.AddrPort
			at, err = netip.ParseAddrPort(string(value))
			s.Endpoint = unmapped(at)
		case "last_handshake_time_sec":
			seconds, err = strconv.ParseInt(string(value), 10, 64)
		case "last_handshake_time_nsec":
			var rest int64
			if rest, err = strconv.ParseInt(string(value), 10, 64); seconds > 0 {
				s.LastHandshake = time.Unix(seconds, rest)
			}
		case "rx_bytes":
			s.Received, err = strconv.ParseInt(string(value), 10, 64)
		case "tx_bytes":
			s.Sent, err = strconv.ParseInt(string(value), 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the %s of a peer: %w", name, err)
		}
	}
	if known {
		out[key] = s
	}
	return out, nil
}
