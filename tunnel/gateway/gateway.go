package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"panteras/configs"
	"panteras/tunnel"
	"panteras/tunnel/device"
)

const (
	// interval is how often the gateway looks whether all is as it should be, though nobody
	// told it of a change.
	interval = time.Second
	// storeTimeout is how long the store may take for what a start would like to know.
	storeTimeout = 5 * time.Second
	// lookOften is how often everything is compared, though nothing seems to have changed; less
	// often where comparing takes long, but at least every lookAtLeast.
	lookOften   = 3 * time.Second
	lookAtLeast = 30 * time.Second
	// storeEvery is how often it is logged what is wrong with the store, which may be
	// something else with each attempt.
	storeEvery = time.Minute
	// manyPeers is from how many on garbage is collected when it is manyGarbage percent of what
	// is in use. Each peer has two queues of 1,024 places and two stacks in wireguard-go,
	// some 25 kB; as much garbage, which Go allows by itself, would double that.
	manyPeers   = 2000
	manyGarbage = 30
	// saveAtLeast is how often the last state is saved though it has not changed, so that
	// the time in it is not too old.
	saveAtLeast = 10 * time.Minute
	// saveRetry is how long after a failure it is tried again.
	saveRetry = 2 * time.Second
)

// Options are what a gateway works with.
type Options struct {
	Settings *configs.Settings
	Store    tunnel.Store
	// Folder holds the gateway's keys, which are made where they lack, and its last state.
	Folder tunnel.Folder
	// Sockets are UDP sockets of the tunnel that were handed over; see [device.Options].
	Sockets []*os.File
	Log     *slog.Logger
}

// Gateway is one end of the tunnel. Make one with New, run it once with Run.
type Gateway struct {
	Options
	effects effects
	figures *figures

	reloads  chan reload
	asks     chan chan report
	accepted chan accepted
	reported chan reported
	stopped  chan struct{} // closed when nobody reads the channels any more
	leave    atomic.Bool   // whether the rules stay

	// What follows belongs to the goroutine of Run.
	clock      *tunnel.Clock
	secrets    tunnel.Secrets
	wire       wire
	rules      rules
	info       tunnel.GatewayInfo
	inForce    tunnel.Snapshot
	desired    tunnel.Desired
	granted    []tunnel.DesiredPeer // who has access, as the audit log knows
	failing    map[string]bool      // the changes of access that could not be made, as it knows
	atWire     []tunnel.DesiredPeer // what the interface was made last
	storeErr   string               // what is wrong with the store, as it was logged, and when
	storeTime  time.Time
	storeHeard time.Time // when that was told which is known of it
	broken     string    // what in the store cannot be understood, as it was logged
	damaged    bool      // whether it was logged that the rules are not in force
	problems   string    // what does not work, as it was logged
	leftOut    string    // which peers cannot have access, as it was logged
	looked     time.Time // when everything was compared last
	lookTook   time.Duration
	noteTook   time.Duration
	unsaved    bool            // whether the state in force is newer than the one on disk
	unkept     map[string]bool // what could not be kept on disk, as it was logged
	saved      time.Time       // when that was written
	noted      time.Time       // when the places of peers were
	lost       time.Time       // since when the store does not say of us what it should; zero if it does
	shown      bool            // whether the store has said of us what it should
	doubled    bool            // whether it was logged that another gateway has our name
	places     endpoints
	shaken     handshakes
	up         bool
	publish    *publisher
	twins      *twins // nil where clients dial no floating address
}

type reload struct {
	settings *configs.Settings
	done     chan error
}

// New makes a gateway; nothing happens before Run.
func New(o Options) *Gateway { return newGateway(o, hostEffects(o.Settings)) }

func newGateway(o Options, e effects) *Gateway {
	g := &Gateway{
		Options: o, effects: e, figures: newFigures(), unkept: map[string]bool{},
		publish: newPublisher(), reloads: make(chan reload), asks: make(chan chan report), accepted: make(chan accepted, 1), reported: make(chan reported, 16), stopped: make(chan struct{}),
	}
	if floating(o.Settings) {
		g.twins = newTwins(o.Settings.Hostname)
	}
	return g
}

// Run makes this host a gateway until ctx is done, and leaves nothing behind. ready is
// called when peers can connect. An error says what an operator has to change; what may
// pass by itself, such as a store that does not answer, is waited out.
func (g *Gateway) Run(ctx context.Context, ready func()) (err error) {
	defer close(g.stopped)
	if err := g.start(ctx); err != nil {
		return errors.Join(err, g.stop())
	}
	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer func() {
		cancel()
		helpers.Wait()
		err = errors.Join(err, g.stop())
	}()
	changes, watchErr := g.effects.watch(ctx.Done())
	if watchErr != nil {
		g.Log.Warn("changes of the network are noticed only once a second", "error", watchErr)
	}
	listener, err := listenStatus(tunnel.StatusSocket(g.Settings.RunDir, g.Settings.StateDir))
	if err != nil {
		return err
	}
	helpers.Go(func() { g.serveStatus(listener) })
	helpers.Go(func() { <-ctx.Done(); _ = listener.Close() })
	last := g.inForce
	cluster, join := proposal(&last)
	helpers.Go(func() { tunnel.Follow(ctx, g.Store, last, g.accept, g.report) })
	helpers.Go(func() { g.publish.run(ctx, g.Store, cluster, join, g.Log) })
	if g.twins != nil {
		helpers.Go(func() { g.twins.run(ctx, g) })
	}
	ready()
	if len(g.desired.Peers) >= manyPeers {
		defer debug.SetGCPercent(debug.SetGCPercent(manyGarbage))
		helpers.Go(debug.FreeOSMemory) // their start leaves as much garbage as they take
	}
	return g.loop(ctx, changes)
}

// start makes everything that the tunnel needs, and brings it up.
func (g *Gateway) start(ctx context.Context) error {
	s := g.Settings
	if _, err := g.Folder.PrivateKey(); err != nil {
		return err
	}
	secrets, err := g.Folder.Secrets()
	if err != nil {
		return err
	}
	g.secrets = secrets
	last, err := recall(g.Folder)
	if err != nil {
		g.Log.Error("starting without the last state", "error", err)
	}
	g.clock = tunnel.NewClock(time.Now(), last.Saved)
	g.inForce = tunnel.Snapshot{Cluster: last.Cluster, Peers: last.Peers}
	g.ask(ctx)
	mtu := g.mtu()
	g.info = describe(s, g.inForce.Cluster.ULA, g.secrets.Private.Public(), mtu)
	if len(g.info.Routes) == 0 {
		g.Log.Warn("peers reach nothing but DNS: set TUNNEL_ROUTES to the networks of the services")
	}
	// Opened, it carries nothing yet; but no other gateway can be at work here now.
	g.wire, err = g.effects.open(device.Options{Name: s.TunnelInterface, Datapath: device.Datapath(s.TunnelDatapath), MTU: mtu, Source: tunnel.EndpointAddr(s.TunnelEndpoint), Floating: floating(s), Sockets: g.Sockets, Log: g.Log})
	if err != nil {
		return err
	}
	g.rules = g.effects.firewall(g.now)
	if _, err := g.forward(); err != nil {
		return err
	}
	if err := g.bringUp(); err != nil {
		return err
	}
	g.warn()
	g.Log.Info("the tunnel is up", "interface", s.TunnelInterface, "datapath", string(g.wire.Datapath()), "taken_over", g.wire.Adopted(),
		"port", s.TunnelPort, "endpoint", g.info.Endpoint, "public_key", g.info.PublicKey.String(), "networks", g.info.Networks,
		"routes", g.info.Routes, "mtu", mtu, "peers", len(g.desired.Peers))
	return nil
}

// forward lets the host pass on packets, of those families that there are routes of.
func (g *Gateway) forward() (changed bool, err error) {
	v4, v6 := false, false
	for _, r := range g.Settings.TunnelRoutes {
		v4, v6 = v4 || r.Addr().Is4(), v6 || r.Addr().Is6()
	}
	return g.effects.forward.Enable(v4, v6)
}

// now is the time that expiries go by.
func (g *Gateway) now() time.Time {
	now, jumped := g.clock.Now(time.Now())
	if jumped != 0 {
		g.Log.Warn("the host's clock was set; access expires by the time that it would be without, until the clock has run steadily for a while", "by", jumped)
	}
	return now
}

// mtu is what fits into the underlay; the usual one if nobody knows.
func (g *Gateway) mtu() int {
	const usual = 1500
	candidates := []netip.Addr{tunnel.EndpointAddr(g.Settings.TunnelEndpoint), g.Settings.IP}
	name, underlay, err := g.effects.underlay(candidates...)
	if err != nil {
		if g.info.MTU == 0 {
			g.Log.Warn("cannot tell the MTU under the tunnel; assuming that it is the usual one", "error", err, "assumed", usual)
			return device.InnerMTU(usual)
		}
		return g.info.MTU
	}
	mtu := device.InnerMTU(underlay)
	if g.info.MTU != 0 && g.info.MTU != mtu {
		g.Log.Info("the MTU under the tunnel has changed", "interface", name, "underlay", underlay, "mtu", mtu)
	}
	return mtu
}

// warn tells of other programs' rules that stand in the way.
func (g *Gateway) warn() {
	list, err := g.effects.warnings(g.Settings.TunnelInterface)
	if err != nil {
		g.Log.Warn("cannot see whether other programs' rules stand in the way", "error", err)
	}
	for _, w := range list {
		g.Log.Warn(w)
	}
}

// LeaveRules says whether Run, when it ends, leaves the rules in force, forwarding on and an
// interface that is not this process's, for a gateway that starts right after. Connections
// that services know under this host's address go on then: without the rules nobody would
// know whose they are, and the host would reset them at the next packet from a service.
func (g *Gateway) LeaveRules(yes bool) { g.leave.Store(yes) }

// stop takes everything away that start brought, or what the next gateway makes anew.
func (g *Gateway) stop() error {
	if g.wire == nil {
		return nil // another gateway may be at work here
	}
	g.note()
	if g.leave.Load() && g.up {
		g.save()
		return g.wire.Leave()
	}
	// The interface first: with it gone no packet passes, whatever the rules say.
	err := g.wire.Close()
	err = errors.Join(err, g.rules.Remove(), g.effects.forward.Restore())
	g.save()
	return err
}

// save writes the state in force to the disk.
func (g *Gateway) save() {
	m := memory{Saved: g.now(), Cluster: g.inForce.Cluster, Peers: g.inForce.Peers}
	err := m.save(g.Folder)
	g.saved, g.unsaved = time.Now(), err != nil
	g.kept(err, "cannot save the state: a restart without the store would begin with an older one")
}

// kept logs once that something cannot be kept on disk, which is tried again and again, and
// when it can be again.
func (g *Gateway) kept(err error, what string) {
	switch {
	case err != nil && !g.unkept[what]:
		g.Log.Error(what+"; trying again", "error", err)
	case err == nil && g.unkept[what]:
		g.Log.Info("no longer: " + what)
	}
	g.unkept[what] = err != nil
}

// Reload takes over new settings while the tunnel goes on. What cannot change without a
// restart is an error, and the settings in force stay.
func (g *Gateway) Reload(s *configs.Settings) error {
	r := reload{s, make(chan error, 1)}
	select {
	case g.reloads <- r:
		return <-r.done
	case <-g.stopped:
		return errors.New("the gateway is stopping")
	}
}

// fixed are the settings that need a restart.
func fixed(a, b *configs.Settings) error {
	for name, same := range map[string]bool{
		"TUNNEL_INTERFACE": a.TunnelInterface == b.TunnelInterface,
		"TUNNEL_DATAPATH":  a.TunnelDatapath == b.TunnelDatapath,
		"TUNNEL_STORE":     a.TunnelStore == b.TunnelStore,
		"STATE_DIR":        a.StateDir == b.StateDir,
		"RUN_DIR":          a.RunDir == b.RunDir,
		"HOSTNAME":         a.Hostname == b.Hostname,
		"KEEPALIVED_VIP":   floating(a) == floating(b) && (!floating(a) || a.KeepalivedVIP == b.KeepalivedVIP),
	} {
		if !same {
			return fmt.Errorf("%s cannot change while the gateway runs; restart it", name)
		}
	}
	if b.TunnelEndpoint == "" {
		return errors.New("TUNNEL_ENDPOINT is empty; stop the gateway instead")
	}
	return nil
}
