package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"panteras/internal/statefile"
	"panteras/tunnel"

	"golang.org/x/sys/unix"
)

// statusTimeout is how long somebody may take to read the status.
const statusTimeout = 5 * time.Second

// listenStatus opens the socket on which the status is served, for root alone. A socket that
// a dead process left is replaced; whether it is dead was decided with the interface.
func listenStatus(path string) (net.Listener, error) {
	if err := statefile.MakeOpenFolder(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("cannot serve the status of peers: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot serve the status of peers: %w", err)
	}
	old := unix.Umask(0o177)
	l, err := net.Listen("unix", path)
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("cannot serve the status of peers: %w", err)
	}
	return l, nil
}

// serveStatus tells everyone who connects how the peers are, until the listener is closed.
func (g *Gateway) serveStatus(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(statusTimeout))
			if r, ok := g.askReport(); ok {
				_ = json.NewEncoder(c).Encode(r.status) // who does not read it to the end misses it
			}
		}()
	}
}

// report is how the tunnel is at one moment.
type report struct {
	status  tunnel.Status
	names   []string // of the peers in status, in that order
	refused map[string]uint64
	mtu     string
}

// askReport asks the gateway's goroutine; ok is false if the gateway does not run any more.
func (g *Gateway) askReport() (r report, ok bool) {
	answer := make(chan report, 1)
	select {
	case g.asks <- answer:
		return <-answer, true
	case <-g.stopped:
		return report{}, false
	}
}

// look makes a report.
func (g *Gateway) look() report {
	r := report{
		status: tunnel.Status{Gateway: g.info.Name, Datapath: string(g.wire.Datapath()), Peers: []tunnel.PeerStatus{}},
		mtu:    strconv.Itoa(g.info.MTU),
	}
	known, err := g.wire.Status()
	if err != nil {
		g.Log.Warn("cannot read the state of the peers", "error", err)
	}
	if r.refused, err = g.rules.Refused(); err != nil {
		g.Log.Warn("cannot read the counters of the firewall", "error", err)
	}
	for _, p := range g.desired.Peers {
		s, ok := known[wgKey(p.PublicKey)]
		if !ok {
			continue
		}
		r.names = append(r.names, p.Name)
		r.status.Peers = append(r.status.Peers, tunnel.PeerStatus{PublicKey: p.PublicKey, LastHandshake: s.LastHandshake, RxBytes: s.Received, TxBytes: s.Sent, Endpoint: s.Endpoint})
	}
	return r
}
