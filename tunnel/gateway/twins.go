package gateway

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"panteras/tunnel"
)

// Gateways that share a floating address (twins) stand in for each other. The one that gets
// the address knows nobody's session, and peers would notice only after 15 s. So each tells
// the others in the store where its peers are, and the one that gets the address calls on
// those of the others.

// twins is what a gateway with a floating address knows of its twins.
type twins struct {
	name string                        // of this gateway, which no reload changes
	news chan map[string]tunnel.Places // what the store says, the latest only
	tell chan tunnel.Places            // what it should say of us, the latest only

	// What follows belongs to the goroutine of Run.
	heard map[string]tunnel.Places // nil until the store has said something
	told  time.Time                // when it was told last
	here  bool                     // whether this host has the floating address
}

func newTwins(name string) *twins {
	return &twins{name: name, news: make(chan map[string]tunnel.Places, 1), tell: make(chan tunnel.Places, 1)}
}

// tellRest is how long the store is left alone after it was told the places of so many
// peers: each time costs it a write of all of them.
func tellRest(peers int) time.Duration {
	return 2*time.Second + time.Duration(peers)*time.Millisecond
}

// run keeps the store told, and listens to it, until ctx is done.
func (t *twins) run(ctx context.Context, g *Gateway) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Store.WatchPlaces(ctx, func(all map[string]tunnel.Places, err error) {
			if err == nil { // the store's troubles are told by those who follow the peers
				latest(t.news, all)
			}
		})
	}()
	defer func() { <-done }()
	for {
		select {
		case <-ctx.Done():
			return
		case places := <-t.tell:
			limited, cancel := context.WithTimeout(ctx, storeTimeout)
			if err := g.Store.PublishPlaces(limited, t.name, places); err != nil {
				g.Log.Debug("cannot tell the store where peers are", "error", err)
			}
			cancel()
		}
	}
}

// tellPlaces tells the store where peers are, unless it knows. What it did not take, or has
// lost, is told again.
func (g *Gateway) tellPlaces() {
	if g.twins == nil || time.Since(g.twins.told) < tellRest(len(g.places)) {
		return
	}
	now := tunnel.Places{}
	for i := range g.inForce.Peers {
		p := &g.inForce.Peers[i]
		if at, ok := g.places[p.PublicKey.String()]; ok && len(p.Addresses) > 0 {
			now[p.Addresses[0]] = at
		}
	}
	if known, ok := g.twins.heard[g.twins.name]; ok && maps.Equal(known, now) || !ok && len(now) == 0 {
		return
	}
	latest(g.twins.tell, now)
	g.twins.told = time.Now()
}

// standIn calls on the peers of the twins when this host has got the floating address.
func (g *Gateway) standIn() {
	if g.twins == nil {
		return
	}
	here, err := g.effects.holds(g.Settings.KeepalivedVIP)
	if err != nil || here == g.twins.here {
		return
	}
	if g.twins.here = here; here {
		g.callOnPlaces(g.placesOfTwins(g.twins.heard))
	}
}

// hear takes what the store says of the places of peers. While this host has the floating
// address nobody should come to a twin; who did so, because the network was split, is
// called on to come here.
func (g *Gateway) hear(all map[string]tunnel.Places) {
	before := g.placesOfTwins(g.twins.heard)
	first := g.twins.heard == nil
	g.twins.heard = all
	if !g.twins.here {
		return
	}
	came := g.placesOfTwins(all)
	maps.DeleteFunc(came, func(peer netip.Addr, at netip.AddrPort) bool { return before[peer] == at })
	for i := range g.inForce.Peers {
		p := &g.inForce.Peers[i]
		// At first they may be of long ago, and later by those who have found here by themselves.
		isHere := first && g.places[p.PublicKey.String()].IsValid() || g.shaken.speaks(wgKey(p.PublicKey), time.Now())
		if isHere && len(p.Addresses) > 0 {
			delete(came, p.Addresses[0])
		}
	}
	g.callOnPlaces(came)
}

// placesOfTwins are where peers are that are with other gateways of this endpoint and key.
func (g *Gateway) placesOfTwins(all map[string]tunnel.Places) tunnel.Places {
	out := tunnel.Places{}
	for name, places := range all {
		if twin, ok := g.inForce.Gateway(name); ok && name != g.twins.name && twin.Twin(&g.info) {
			maps.Copy(out, places)
		}
	}
	return out
}

// callOnPlaces makes peers shake hands anew. Sessions that they had here are forgotten: they
// have gone on with those of the twin.
func (g *Gateway) callOnPlaces(places tunnel.Places) {
	if len(places) == 0 {
		return
	}
	where := endpoints{}
	var called, known []tunnel.DesiredPeer
	for _, p := range g.atWire { // others may be those who are to have less while the firewall fails
		for _, a := range p.Addresses {
			at, ok := places[a]
			if !ok {
				continue
			}
			called, where[p.PublicKey.String()] = append(called, p), at
			if g.places[p.PublicKey.String()].IsValid() {
				known = append(known, p)
			}
			break
		}
	}
	if err := g.wire.Forget(deviceConfig(&tunnel.Desired{Peers: known}, g.secrets.Private, g.Settings.TunnelPort, where).Peers); err != nil {
		g.Log.Warn("cannot end old sessions of peers; they come back by themselves", "error", err)
	}
	g.Log.Info("standing in for a twin: calling on its peers", "peers", len(called))
	g.callOn(called, where)
}
