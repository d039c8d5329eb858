package gateway

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"reflect"
	"time"

	"panteras/internal/statefile"
	"panteras/tunnel"
	"panteras/tunnel/device"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// A gateway that starts anew knows nobody's session, and peers notice that only after 15 s
// without an answer. So it remembers where peers were, and calls on them.

const (
	// noteEvery is how often the places of peers are saved, for the case that the process dies;
	// less often where it takes long, but at least every noteAtLeast.
	noteEvery   = time.Second
	noteAtLeast = 10 * time.Second
	// noteQuick is how long it may take where somebody's access is to end at once; else what
	// was noted last must do.
	noteQuick = 50 * time.Millisecond
	// connected is how long after a handshake a peer counts as there: a session is no older.
	connected = 180 * time.Second
)

// endpoints are where peers were, by public key.
type endpoints map[string]netip.AddrPort

// endpointsFile is their name in the tunnel's folder.
const endpointsFile = "endpoints.json"

// handshakes are the last handshakes of peers, by what the host's clock said, and when they
// were by the clock that nobody can set: who was connected is so too after that was done.
type handshakes struct {
	of     map[wgtypes.Key]handshake
	looked time.Time // at all of them; zero before the first look
}

type handshake struct {
	said, seen time.Time
	received   int64     // bytes
	heard      time.Time // when these were last found to be more than before
}

// speaks says whether something has come from a peer just now, so that its session is here.
func (h *handshakes) speaks(key wgtypes.Key, now time.Time) bool {
	return now.Sub(h.of[key].heard) < 5*noteEvery
}

// connectedAt picks the peers that are there, and remembers their handshakes.
func (h *handshakes) connectedAt(status map[wgtypes.Key]device.PeerStatus, now time.Time) endpoints {
	out := endpoints{}
	if h.of == nil {
		h.of = map[wgtypes.Key]handshake{}
	}
	for key := range h.of {
		if _, ok := status[key]; !ok {
			delete(h.of, key)
		}
	}
	for key, s := range status {
		if !s.Endpoint.IsValid() || s.LastHandshake.IsZero() {
			if _, ok := h.of[key]; !ok {
				h.of[key] = handshake{seen: now}
			}
			continue
		}
		last := h.of[key]
		if !last.said.Equal(s.LastHandshake) {
			last.said, last.seen = s.LastHandshake, now.Add(-max(now.Sub(s.LastHandshake), 0))
			if last.seen.Before(h.looked) {
				last.seen = h.looked // there was none then: the clock was set forth since
			}
		}
		if s.Received > last.received {
			last.heard = now
		}
		last.received = s.Received
		h.of[key] = last
		if now.Sub(last.seen) < connected {
			out[key.String()] = s.Endpoint
		}
	}
	h.looked = now
	return out
}

// awaits says whether a peer has had no handshake yet, and not for long: it may have been
// called on, and where it was counts until it answers.
func (h *handshakes) awaits(key wgtypes.Key, now time.Time) bool {
	known, ok := h.of[key]
	return ok && known.said.IsZero() && now.Sub(known.seen) < connected
}

// note saves where peers are, if that has changed.
func (g *Gateway) note() {
	began := time.Now()
	defer func() { g.noted, g.noteTook = time.Now(), time.Since(began) }()
	defer g.tellPlaces()
	status, err := g.wire.Status()
	if err != nil {
		g.Log.Debug("cannot tell where peers are", "error", err)
		return
	}
	at := time.Now()
	now := g.shaken.connectedAt(status, at)
	g.figures.connected(len(now))
	for i := range g.inForce.Peers { // also of those who have no access now, but may again, or are yet to come back
		key := g.inForce.Peers[i].PublicKey
		if _, here := status[wgKey(key)]; (!here || g.shaken.awaits(wgKey(key), at)) && g.places[key.String()].IsValid() {
			now[key.String()] = g.places[key.String()]
		}
	}
	if reflect.DeepEqual(now, g.places) {
		return
	}
	b, err := json.Marshal(now)
	if err == nil {
		err = statefile.Write(g.Folder.File(endpointsFile), b)
	}
	g.kept(err, "cannot save where peers are: after a restart they would be away for 15 s")
	if err == nil {
		g.places = now
	}
}

// recallPlaces reads where peers were when the last process ended.
func (g *Gateway) recallPlaces() {
	b, err := os.ReadFile(g.Folder.File(endpointsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = json.Unmarshal(b, &g.places)
	}
	if err != nil {
		g.Log.Warn("cannot tell where peers were; they come back by themselves", "error", err)
		return
	}
}

// call calls on peers that have access again, and on those who were not at the interface
// before, as those are not who were to have less while the firewall failed.
func (g *Gateway) call(events []event, before []tunnel.DesiredPeer) {
	var back []tunnel.DesiredPeer
	for _, e := range events {
		if e.what == begins {
			back = append(back, e.peer)
		}
	}
	there := make(map[tunnel.PublicKey]bool, len(before))
	for i := range before {
		there[before[i].PublicKey] = true
	}
	for _, p := range g.desired.Peers {
		if !there[p.PublicKey] {
			back = append(back, p)
		}
	}
	g.callOn(back, g.places)
}

// callOn makes peers shake hands, those of whom is known where they were.
func (g *Gateway) callOn(peers []tunnel.DesiredPeer, places endpoints) {
	where := map[wgtypes.Key]netip.AddrPort{}
	for _, p := range peers {
		if e, ok := places[p.PublicKey.String()]; ok {
			where[wgKey(p.PublicKey)] = e
		}
	}
	if err := g.wire.Call(where); err != nil {
		g.Log.Warn("cannot call on peers; they come back by themselves", "error", err)
	}
}
