package tunnel

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"path/filepath"
	"time"
)

// Status is what a running gateway knows and no store does. It is served as one
// JSON document on the socket at [StatusSocket] to whoever connects, who need
// not say anything; then the connection is closed.
type Status struct {
	// Gateway is the gateway's name.
	Gateway string `json:"gateway"`
	// Datapath is "kernel" or "userspace".
	Datapath string `json:"datapath"`
	// Peers are those the device has.
	Peers []PeerStatus `json:"peers"`
}

// PeerStatus is the state of a peer's tunnel.
type PeerStatus struct {
	PublicKey PublicKey `json:"public_key"`
	// LastHandshake is the zero time when there was none.
	LastHandshake time.Time `json:"last_handshake,omitzero"`
	// RxBytes came from the peer, TxBytes went to it.
	RxBytes int64 `json:"rx_bytes"`
	TxBytes int64 `json:"tx_bytes"`
	// Endpoint is where the peer was heard last; the zero AddrPort when never.
	Endpoint netip.AddrPort `json:"endpoint,omitzero"`
}

// StatusSocket is where the gateway that uses the state folder serves its
// [Status]. Its name is short whatever the folder's is: paths of sockets have 107
// bytes at most. Two gateways of one host differ in their state folders.
func StatusSocket(runDir, stateDir string) string {
	sum := sha256.Sum256([]byte(filepath.Clean(stateDir)))
	return filepath.Join(runDir, "gateway-"+hex.EncodeToString(sum[:4])+".sock")
}
