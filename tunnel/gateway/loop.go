package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"panteras/configs"
	"panteras/tunnel"

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
			return errors.New("the tunnel's interface " + g.Settings.TunnelInterface + " was removed by another program")
		case answer := <-g.asks:
			answer <- g.look()
			continue
		case a := <-g.accepted:
			since = a.at
			if g.take(&a.snapshot) {
				change = g.updatePeers
			} else if g.asItShouldBe() {
				continue
			}
		case err := <-g.reported:
			g.storeTold(err)
			continue
		case all := <-twinsSay:
			g.hear(all)
			continue
		case r := <-g.reloads:
			r.done <- g.reload(r.settings)
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
	return g.problems == "" && time.Since(g.looked) < min(max(lookOften, 100*g.lookTook), lookAtLeast) && g.mtu() == g.info.MTU && g.rules.InForce() && g.linkIsRight()
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
	return min(max(g.desired.Next.Sub(g.now())+10*time.Millisecond, 0), time.Hour)
}

// reload takes over settings.
func (g *Gateway) reload(s *configs.Settings) error {
	if err := fixed(g.Settings, s); err != nil {
		return err
	}
	g.Settings = s
	g.warn()
	return errors.Join(g.forward(), g.reconcile(g.applyPeers))
}

// tick does what has to be done from time to time.
func (g *Gateway) tick() {
	g.standIn()
	if g.unsaved || time.Since(g.saved) > saveAtLeast {
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

// wanted computes what should be now, and logs what of it nobody has seen yet.
func (g *Gateway) wanted() []event {
	before := g.desired
	g.desired = tunnel.Desire(&g.inForce, g.now(), &g.info, g.preshared())
	events := changes(before.Peers, g.desired.Peers, &g.inForce)
	audit(g.Log, events)
	if text := fmt.Sprint(g.desired.Problems); text != g.leftOut {
		for _, p := range g.desired.Problems {
			g.Log.Error(p.Error())
		}
		g.leftOut = text
	}
	g.figures.peers(&g.inForce, &g.desired)
	return events
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
// interface does.
func (g *Gateway) reconcile(change func(*tunnel.Desired) error) error {
	g.info = describe(g.Settings, g.inForce.Cluster.ULA, g.secrets.Private.Public(), g.mtu())
	events := g.wanted()
	if slices.ContainsFunc(events, event.ends) && g.noteTook < noteQuick {
		g.note() // where they are, while somebody knows
	}
	var errs []error
	errs = append(errs, g.rules.Apply(firewallRules(g.Settings, &g.info, &g.desired)))
	if errs[0] == nil { // never peers without rules
		err := change(&g.desired)
		errs = append(errs, err)
		if err == nil && g.up {
			g.call(events)
		}
	}
	_, err := g.wire.SetLink(g.info.MTU, interfaceAddresses(&g.info))
	errs = append(errs, err)
	g.publish.set(g.info)
	return errors.Join(errs...)
}
