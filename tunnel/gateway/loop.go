package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"panteras/configs"
	"panteras/tunnel"
	"panteras/tunnel/firewall"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

func wgKey(k tunnel.PublicKey) wgtypes.Key { return wgtypes.Key(k) }

// loop waits for something to happen and mends what that makes different.
func (g *Gateway) loop(ctx context.Context, network <-chan struct{}) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	expiry := time.NewTimer(time.Hour)
	defer expiry.Stop()
	var twinsSay chan map[string]tunnel.Places
	if g.twins != nil {
		twinsSay = g.twins.news
	}
	for {
		expiry.Reset(g.untilNext())
		since, change := time.Now(), g.applyPeers
		select {
		case <-ctx.Done():
			return nil
		case <-g.wire.Gone():
			return errors.New("the tunnel's interface " + g.Settings.TunnelInterface + " was removed by another program, or renamed; start the gateway again, and keep that program from it")
		case answer := <-g.asks:
			answer <- g.look()
			continue
		case a := <-g.accepted:
			since = a.at
			if g.take(&a.snapshot, a.at) {
				change = g.updatePeers
			} else if g.asItShouldBe() {
				continue
			}
		case r := <-g.reported:
			g.storeTold(r.err, r.at)
			continue
		case all := <-twinsSay:
			g.hear(all)
			continue
		case r := <-g.reloads:
			err := g.reload(r.settings)
			if err == nil {
				g.attempt(since, change)
			}
			r.done <- err
			continue
		case <-network:
			g.standIn()
			if g.asItShouldBe() {
				continue
			}
		case <-expiry.C:
			change = g.updatePeers
		case <-tick.C:
			g.tick()
			if g.asItShouldBe() {
				continue
			}
		}
		g.attempt(since, change)
		if g.unsaved {
			g.save()
		}
	}
}

// asItShouldBe is a look at what others may have changed, which costs little. It is false
// as well if the last attempt to mend something failed, or is long ago.
func (g *Gateway) asItShouldBe() bool {
	return g.problems == "" && g.rulesAreInForce() && time.Since(g.looked) < min(max(lookOften, 100*g.lookTook), lookAtLeast) && g.mtu() == g.info.MTU && g.linkIsRight() && g.forwards() == nil
}

// forwards mends forwarding: other programs load their own settings of the kernel, as
// sysctl --system does.
func (g *Gateway) forwards() error {
	changed, err := g.forward()
	if changed && g.problems == "" { // else it may be us who could not turn it on
		g.Log.Warn("another program has turned forwarding off, without which peers reach nothing but the gateway; it is turned on again")
	}
	return err
}

// rulesAreInForce tells of rules that are not, once until they are.
func (g *Gateway) rulesAreInForce() bool {
	if g.rules.InForce() {
		g.damaged = false
		return true
	}
	if !g.damaged {
		g.Log.Warn("another program has removed or changed the tunnel's rules; they are put back")
	}
	g.damaged = true
	return false
}

// linkIsRight mends addresses and MTU of the interface.
func (g *Gateway) linkIsRight() bool {
	_, err := g.wire.SetLink(g.info.MTU, interfaceAddresses(&g.info))
	return err == nil
}

// attempt reconciles, and tells when that begins or ceases to fail.
func (g *Gateway) attempt(since time.Time, change func(*tunnel.Desired) error) {
	began := time.Now()
	err := g.reconcile(change)
	if g.looked.After(began) {
		g.lookTook = time.Since(began)
	}
	if err != nil {
		g.figures.failed()
		if g.problems != err.Error() {
			g.Log.Error("the tunnel is not as it should be; trying again every second", "error", err)
		}
		g.problems = err.Error()
		return
	}
	if g.problems != "" {
		g.Log.Info("the tunnel is as it should be again")
		g.problems = ""
	}
	g.figures.reconciled(time.Since(since))
}

// untilNext is the time until somebody's access ends by itself.
func (g *Gateway) untilNext() time.Duration {
	if g.desired.Next.IsZero() {
		return time.Hour
	}
	// A little later than the kernel's own timeouts, so that there is nothing left to do.
	return min(max(g.desired.Next.Sub(g.now())+firewall.Late+10*time.Millisecond, 0), time.Hour)
}

// reload takes over settings; they are in force with the next attempt.
func (g *Gateway) reload(s *configs.Settings) error {
	if err := fixed(g.Settings, s); err != nil {
		return err
	}
	g.Settings = s
	g.warn()
	_, _ = g.forward() // of families that had no routes before; that it fails is said next
	return nil
}

// tick does what has to be done from time to time.
func (g *Gateway) tick() {
	g.standIn()
	if g.unsaved && time.Since(g.saved) > saveRetry || time.Since(g.saved) > saveAtLeast {
		g.save()
	}
	if time.Since(g.noted) > min(max(noteEvery, 50*g.noteTook), noteAtLeast) {
		g.note()
	}
	if !g.lost.IsZero() && time.Since(g.lost) > lostFor {
		g.lost = time.Time{}
		g.publish.again(g.info)
	}
}

// want computes what should be now, and logs what of it cannot be.
func (g *Gateway) want() {
	g.desired = tunnel.Desire(&g.inForce, g.now(), &g.info, g.preshared())
	if text := fmt.Sprint(g.desired.Problems); text != g.leftOut {
		for _, p := range g.desired.Problems {
			g.Log.Error(p.Error())
		}
		g.leftOut = text
	}
	g.figures.peers(&g.inForce, &g.desired)
}

// preshared makes preshared keys. What they are made of may have come after the gateway was
// started, so it is read again when it lacks, once for all peers.
func (g *Gateway) preshared() func(*tunnel.Peer) (tunnel.SecretKey, error) {
	again := true
	return func(p *tunnel.Peer) (tunnel.SecretKey, error) {
		key, err := g.secrets.PresharedKey(p)
		if err == nil || !again {
			return key, err
		}
		again = false
		if secrets, err := g.Folder.Secrets(); err == nil {
			g.secrets.Preshared = secrets.Preshared
		}
		return g.secrets.PresharedKey(p)
	}
}

// reconcile makes everything as it should be; the peers, by change. The firewall comes
// first: it must know a peer before the interface lets it in, and may forget it before the
// interface does. Where the firewall fails the interface lets nobody else in, but those out
// who should be; and everybody, if there are no rules that are ours.
func (g *Gateway) reconcile(change func(*tunnel.Desired) error) error {
	g.info = describe(g.Settings, g.inForce.Cluster.ULA, g.secrets.Private.Public(), g.mtu())
	g.want()
	events := changes(g.granted, g.desired.Peers, &g.inForce)
	if slices.ContainsFunc(events, event.ends) && g.noteTook < noteQuick {
		g.note() // where they are, while somebody knows
	}
	g.rulesAreInForce() // or the log says so: Apply mends them without a word
	rulesErr := g.rules.Apply(firewallRules(g.Settings, &g.info, &g.desired))
	peers := g.desired
	switch {
	case rulesErr == nil:
		g.damaged = false
	case g.rules.InForce():
		peers.Peers = reduced(g.atWire, g.desired.Peers)
	default:
		peers.Peers = nil
		rulesErr = fmt.Errorf("%w; nobody has access until they are", rulesErr)
	}
	before := g.atWire
	wireErr := change(&peers)
	g.record(events, rulesErr, wireErr)
	if rulesErr == nil && wireErr == nil && g.up {
		g.call(events, before)
	}
	_, linkErr := g.wire.SetLink(g.info.MTU, interfaceAddresses(&g.info))
	g.publish.set(g.info)
	return errors.Join(rulesErr, wireErr, linkErr, g.forwards())
}

// reduced is what is left of access for which there are rules, if it may only become less:
// those who are still wanted, and lose nothing of what the rules let them.
func reduced(before, wanted []tunnel.DesiredPeer) []tunnel.DesiredPeer {
	had := make(map[tunnel.PublicKey]*tunnel.DesiredPeer, len(before))
	for i := range before {
		had[before[i].PublicKey] = &before[i]
	}
	var out []tunnel.DesiredPeer
	for i := range wanted {
		w := &wanted[i]
		old := had[w.PublicKey]
		if old == nil {
			continue
		}
		loses := func(r tunnel.Rule) bool { return !slices.ContainsFunc(w.Rules, r.Equal) }
		added := func(a netip.Addr) bool { return !slices.Contains(old.Addresses, a) }
		if slices.ContainsFunc(old.Rules, loses) {
			continue
		}
		p := *w
		p.Rules, p.Addresses = old.Rules, slices.DeleteFunc(slices.Clone(w.Addresses), added)
		if len(p.Addresses) > 0 {
			out = append(out, p)
		}
	}
	return out
}
