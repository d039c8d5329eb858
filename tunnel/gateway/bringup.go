package gateway

import (
	"time"

	"panteras/tunnel"
)

// bringUp puts the rules in force, brings up the interface and lets the peers in, those
// first who were connected when the last process ended: setting up thousands takes
// seconds, and these wait for an answer. Nobody passes that the rules do not know.
func (g *Gateway) bringUp() error {
	g.recallPlaces()
	g.info = describe(g.Settings, g.inForce.Cluster.ULA, g.secrets.Private.Public(), g.mtu())
	g.want()
	if err := g.rules.Apply(firewallRules(g.Settings, &g.info, &g.desired)); err != nil {
		return err
	}
	first := g.desired
	if !g.wire.Adopted() { // else everybody is there already, and must not lose the session
		first.Peers = g.connectedBefore()
	}
	if err := g.applyPeers(&first); err != nil {
		return err
	}
	if _, err := g.wire.SetLink(g.info.MTU, interfaceAddresses(&g.info)); err != nil {
		return err
	}
	if err := g.wire.Up(); err != nil {
		return err
	}
	g.up = true
	if !g.wire.Adopted() {
		g.callOn(first.Peers, g.places)
		if err := g.applyPeers(&g.desired); err != nil {
			return err
		}
	}
	g.record(changes(nil, g.desired.Peers, &g.inForce), nil, nil)
	g.publish.set(g.info)
	return nil
}

// connectedBefore are the desired peers of whom is known where they were.
func (g *Gateway) connectedBefore() []tunnel.DesiredPeer {
	var out []tunnel.DesiredPeer
	for _, p := range g.desired.Peers {
		if g.places[p.PublicKey.String()].IsValid() {
			out = append(out, p)
		}
	}
	return out
}

// applyPeers makes the interface know exactly these peers, whatever it knows now.
func (g *Gateway) applyPeers(d *tunnel.Desired) error {
	_, err := g.wire.Apply(deviceConfig(d, g.secrets.Private, g.Settings.TunnelPort, g.places))
	g.looked = time.Now()
	if err == nil {
		g.atWire = d.Peers
	}
	return err
}

// updatePeers is applyPeers if nobody else has changed the interface.
func (g *Gateway) updatePeers(d *tunnel.Desired) error {
	_, err := g.wire.Update(deviceConfig(d, g.secrets.Private, g.Settings.TunnelPort, g.places))
	if err == nil {
		g.atWire = d.Peers
	}
	return err
}
