package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"syscall"
	"time"

	"panteras/tunnel"
)

// Listed is a peer as `panteras peer list --json` shows it. What is not known, or
// does not apply, is null.
type Listed struct {
	Name      string           `json:"name"`
	PublicKey tunnel.PublicKey `json:"public_key"`
	Addresses []netip.Addr     `json:"addresses"`
	// Enabled is false for a peer that was disabled; one that has expired is enabled.
	Enabled       bool            `json:"enabled"`
	Expires       *time.Time      `json:"expires"`
	LastHandshake *time.Time      `json:"last_handshake"`
	RxBytes       int64           `json:"rx_bytes"`
	TxBytes       int64           `json:"tx_bytes"`
	Endpoint      *netip.AddrPort `json:"endpoint"`
}

// List puts together what a store and a gateway know; status may be nil.
func List(peers []tunnel.Peer, status *tunnel.Status) []Listed {
	states := map[tunnel.PublicKey]tunnel.PeerStatus{}
	if status != nil {
		for _, s := range status.Peers {
			states[s.PublicKey] = s
		}
	}
	list := make([]Listed, len(peers))
	for i := range peers {
		p := &peers[i]
		l := Listed{Name: p.Name, PublicKey: p.PublicKey, Addresses: p.Addresses, Enabled: p.Enabled(), Expires: known(p.Expires)}
		if s, ok := states[p.PublicKey]; ok {
			l.LastHandshake, l.RxBytes, l.TxBytes = known(s.LastHandshake), s.RxBytes, s.TxBytes
			if s.Endpoint.IsValid() {
				l.Endpoint = &s.Endpoint
			}
		}
		list[i] = l
	}
	return list
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// statusTimeout is how long a gateway may take to tell its status.
const statusTimeout = 5 * time.Second

// ReadStatus asks the gateway that serves its status on a socket. It returns nil
// when none runs.
func ReadStatus(ctx context.Context, socket string) (*tunnel.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot ask the gateway for the state of its peers: %w", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	var status tunnel.Status
	if err := json.NewDecoder(conn).Decode(&status); err != nil {
		return nil, fmt.Errorf("what the gateway says on %s cannot be read: %w", socket, err)
	}
	return &status, nil
}
