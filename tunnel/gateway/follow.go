package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"

	"panteras/tunnel"
)

// accepted is a state of the store that is to be in force.
type accepted struct {
	snapshot tunnel.Snapshot
	at       time.Time
}

// accept hands on a state of the store; only the latest matters.
func (g *Gateway) accept(s tunnel.Snapshot) { latest(g.accepted, accepted{s, time.Now()}) }

// reported is what is wrong with the store, and when that was told.
type reported struct {
	err error
	at  time.Time
}

// latest puts a value into a channel with room for one, in place of an older one.
func latest[T any](c chan T, value T) {
	for {
		select {
		case c <- value:
			return
		case <-c:
		}
	}
}

// report hands on what is wrong with the store; what nobody can read in time is lost.
func (g *Gateway) report(err error) {
	select {
	case g.reported <- reported{err, time.Now()}:
	default:
	}
}

// ask reads the store once, so that a start does not begin with a state of yesterday.
func (g *Gateway) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	next, err := g.Store.Read(ctx)
	if cluster, ok := proposal(&g.inForce); ok && err == nil && !next.Cluster.ULA.IsValid() {
		next.Cluster, err = g.Store.Join(ctx, cluster)
	}
	if err == nil {
		settled, verdict, problem := tunnel.Settle(&g.inForce, &next)
		if verdict == tunnel.Accept {
			g.take(&settled, time.Now())
		} else {
			g.storeTold(problem, time.Now())
		}
		return
	}
	g.storeTold(fmt.Errorf("%w; the last state stays in force", err), time.Now())
	if len(g.inForce.Peers) == 0 {
		g.Log.Warn("nobody has access until the store can be read: there is no last state on this host")
	}
}

// proposal is what the cluster will be if this gateway is the first of its store. ok is
// false if it knows peers: then a store without a cluster is one that was lost, and made
// anew by us it would say, to every gateway, that those peers are gone.
func proposal(inForce *tunnel.Snapshot) (cluster tunnel.Cluster, ok bool) {
	return tunnel.NewCluster(), len(inForce.Peers) == 0
}

// take makes a state of the store the one in force. It returns whether that changes
// anything for peers. at is when it was told.
func (g *Gateway) take(s *tunnel.Snapshot, at time.Time) (changed bool) {
	g.storeTold(nil, at)
	if text := fmt.Sprint(s.Broken); text != g.broken {
		for _, b := range s.Broken {
			g.Log.Error("the store of peers", "error", b.Err)
		}
		g.broken = text
	}
	changed = !sameState(&g.inForce, s)
	g.inForce = *s
	g.unsaved = g.unsaved || changed
	// What the store says of us may be older than what it says of peers.
	broken := func(b tunnel.Broken) bool { return b.Kind == tunnel.KindGateway && b.Name == g.info.Name }
	mine, ok := s.Gateway(g.info.Name)
	if ok && g.shown && !g.doubled && mine.PublicKey != g.info.PublicKey {
		g.Log.Error("another gateway, with another key, calls itself as this one in the store, and client files are made for either; set HOSTNAME on one of the hosts, and restart its gateway",
			"gateway", mine.Name, "endpoint", mine.Endpoint, "public_key", mine.PublicKey.String())
		g.doubled = true // they go on like that, every few seconds
	}
	switch {
	case ok && mine.Equal(&g.info) && !slices.ContainsFunc(s.Broken, broken):
		g.lost, g.shown = time.Time{}, true
	case g.lost.IsZero():
		g.lost = time.Now()
	}
	return changed
}

// sameState says whether two snapshots say the same about peers and the cluster.
func sameState(a, b *tunnel.Snapshot) bool {
	return a.Cluster == b.Cluster && slices.EqualFunc(a.Peers, b.Peers, func(x, y tunnel.Peer) bool { return x.Equal(&y) })
}

// storeTold notes whether the store can be read, and logs when that changes. States and
// troubles come by channels of their own, either of which may be read first: what was told
// before something that is known already is no news.
func (g *Gateway) storeTold(err error, at time.Time) {
	if at.Before(g.storeHeard) {
		return
	}
	g.storeHeard = at
	g.figures.store(err == nil)
	switch {
	case err == nil && g.storeErr != "":
		g.Log.Info("the store of peers can be read again")
		g.storeErr, g.storeTime = "", time.Time{}
	case err != nil && g.storeErr != err.Error() && time.Since(g.storeTime) > storeEvery:
		g.storeErr, g.storeTime = err.Error(), time.Now()
		g.Log.Warn("the store of peers", "error", err, "peers_in_force", len(g.inForce.Peers))
	}
}
