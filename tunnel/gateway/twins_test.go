package gateway

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
	"panteras/tunnel/device"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

var (
	atHome = netip.MustParseAddrPort("203.0.113.7:4711")
	atWork = netip.MustParseAddrPort("198.51.100.8:815")
)

// twinRig is a gateway behind a floating address that it does not have, and its twin as the
// store knows it.
func twinRig(t *testing.T) (r *rig, alice, bob tunnel.Peer) {
	t.Helper()
	r = newRig(t)
	r.settings.TunnelEndpoint, r.settings.KeepalivedVIP = "10.0.0.100:51820", netip.MustParseAddr("10.0.0.100")
	alice, bob = r.add("alice", nil), r.add("bob", nil)
	r.start()
	r.have(alice, bob)
	var mine tunnel.GatewayInfo
	lab.Eventually(t, testPatience, "the gateway to be published", func() bool {
		s, err := r.store.Read(context.Background())
		if err == nil {
			mine, _ = s.Gateway("gw")
		}
		return mine.Name != ""
	})
	mine.Name = "twin"
	if err := r.store.Publish(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	other := mine // one of another address
	other.Name, other.Endpoint = "other", "10.0.0.200:51820"
	if err := r.store.Publish(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	return r, alice, bob
}

// says lets another gateway say where peers are, and waits until the store does.
func (r *rig) says(gateway string, places tunnel.Places) {
	r.t.Helper()
	if err := r.store.PublishPlaces(r.t.Context(), gateway, places); err != nil {
		r.t.Fatal(err)
	}
}

// calledAt waits until exactly these peers were called on, and forgets it.
func (r *rig) calledAt(want map[tunnel.PublicKey]netip.AddrPort) {
	r.t.Helper()
	lab.Eventually(r.t, testPatience, "the right peers to be called on", func() (same bool) {
		r.host.look(func() {
			got := map[tunnel.PublicKey]netip.AddrPort{}
			for k, a := range r.host.called {
				got[tunnel.PublicKey(k)] = a
			}
			if same = maps.Equal(got, want); same {
				clear(r.host.called)
			}
		})
		return same
	})
}

// hold gives the host the floating address, or takes it away, and says so.
func (r *rig) hold(yes bool) {
	r.host.look(func() { r.host.holds = yes })
	r.host.changes <- struct{}{}
}

// Who gets the floating address calls on the peers of his twin, and of no other gateway.
func TestTheTwinsPeersAreCalledOn(t *testing.T) {
	t.Parallel()
	r, alice, bob := twinRig(t)
	r.says("twin", tunnel.Places{alice.Addresses[0]: atHome, netip.MustParseAddr("10.99.200.1"): atWork})
	r.says("other", tunnel.Places{bob.Addresses[0]: atWork})
	// The address comes and goes until the news have arrived: before, there is nobody to call.
	lab.Eventually(t, testPatience, "alice to be called on", func() (called bool) {
		r.hold(false)
		r.hold(true)
		r.host.look(func() { called = len(r.host.called) > 0 })
		return called
	})
	r.calledAt(map[tunnel.PublicKey]netip.AddrPort{alice.PublicKey: atHome})
	r.host.look(func() {
		if len(r.host.forgot) > 0 {
			t.Errorf("sessions of %v were ended, and there are none", r.host.forgot)
		}
	})

	// While the address is here, who comes to the twin is called here; once.
	r.says("twin", tunnel.Places{alice.Addresses[0]: atHome, bob.Addresses[0]: atWork})
	r.calledAt(map[tunnel.PublicKey]netip.AddrPort{bob.PublicKey: atWork})
	r.says("twin", tunnel.Places{alice.Addresses[0]: atWork, bob.Addresses[0]: atWork})
	r.calledAt(map[tunnel.PublicKey]netip.AddrPort{alice.PublicKey: atWork})
}

// A gateway tells where its peers are, and again when the store has lost that. A session
// that it remembers is ended before it calls on somebody who has been with the twin since.
func TestATwinTellsAndForgets(t *testing.T) {
	t.Parallel()
	r, alice, _ := twinRig(t)
	r.hold(true)
	r.host.look(func() {
		r.host.status[wgtypes.Key(alice.PublicKey)] = device.PeerStatus{LastHandshake: time.Now(), Endpoint: atHome}
	})
	told := make(chan tunnel.Places, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.store.WatchPlaces(ctx, func(all map[string]tunnel.Places, _ error) {
			select {
			case told <- all["gw"]:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	tells := func() {
		t.Helper()
		for deadline := time.After(testPatience); ; {
			select {
			case got := <-told:
				if maps.Equal(got, tunnel.Places{alice.Addresses[0]: atHome}) {
					return
				}
			case <-deadline:
				t.Fatal("the store is not told where alice is")
			}
		}
	}
	tells()
	r.says("gw", tunnel.Places{})
	tells()

	r.says("twin", tunnel.Places{alice.Addresses[0]: atWork})
	r.calledAt(map[tunnel.PublicKey]netip.AddrPort{alice.PublicKey: atWork})
	r.host.look(func() {
		if !slices.Contains(r.host.forgot, wgtypes.Key(alice.PublicKey)) {
			t.Errorf("sessions that were ended: %v, want alice's", r.host.forgot)
		}
	})
}

// busyStore is a store that takes its time to be told the places of peers.
type busyStore struct{ tunnel.Store }

func (busyStore) PublishPlaces(ctx context.Context, _ string, _ tunnel.Places) error {
	<-ctx.Done()
	return ctx.Err()
}

// Settings may be reloaded while the store is told where peers are (what go test -race looks at).
func TestReloadWhileATwinTells(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.settings.TunnelEndpoint, r.settings.KeepalivedVIP = "10.0.0.100:51820", netip.MustParseAddr("10.0.0.100")
	r.store = busyStore{r.store} // so that the gateway hears nothing from who tells it
	alice := r.add("alice", nil)
	r.start()
	r.host.look(func() {
		r.host.status[wgtypes.Key(alice.PublicKey)] = device.PeerStatus{LastHandshake: time.Now(), Endpoint: atHome}
	})
	lab.Eventually(t, testPatience, "the place of alice to be noted", func() bool {
		b, err := os.ReadFile(r.folder.File(endpointsFile))
		return err == nil && strings.Contains(string(b), atHome.String())
	})
	next := r.settings
	if err := r.gateway.Reload(&next); err != nil {
		t.Error(err)
	}
}

// Who came to a twin and speaks here by now is left alone; who does not is called here.
func TestWhoSpeaksIsLeftAlone(t *testing.T) {
	t.Parallel()
	host := newFakeHost()
	settings := newRig(t).settings
	key := tunnel.PublicKey{1}
	peer := netip.MustParseAddr("10.99.0.2")
	g := &Gateway{
		Options: Options{Settings: &settings, Log: slog.New(slog.DiscardHandler)}, wire: &fakeWire{host}, twins: newTwins("gw"), shaken: handshakes{},
		info:    tunnel.GatewayInfo{Name: "gw", Endpoint: "10.0.0.100:51820"},
		atWire:  []tunnel.DesiredPeer{{Name: "alice", PublicKey: key, Addresses: []netip.Addr{peer}}},
		inForce: tunnel.Snapshot{Peers: []tunnel.Peer{{Name: "alice", PublicKey: key, Addresses: []netip.Addr{peer}}}, Gateways: []tunnel.GatewayInfo{{Name: "twin", Endpoint: "10.0.0.100:51820"}}},
	}
	g.twins.here = true
	g.hear(map[string]tunnel.Places{"twin": {}})
	now := time.Now()
	look := func(received int64, at time.Time) {
		g.shaken.connectedAt(map[wgtypes.Key]device.PeerStatus{wgKey(key): {LastHandshake: now, Endpoint: atHome, Received: received}}, at)
	}
	look(100, now.Add(-time.Hour))
	for port, c := range []struct {
		received int64
		called   bool
	}{{100, true}, {200, false}, {200, false}} {
		look(c.received, now)
		g.hear(map[string]tunnel.Places{"twin": {peer: netip.AddrPortFrom(atWork.Addr(), uint16(1+port))}})
		if called := len(host.called) > 0; called != c.called {
			t.Errorf("with %d bytes received alice is called: %v", c.received, called)
		}
		clear(host.called)
	}
}

// Whom a failing firewall keeps off the interface is not put there because a twin is lost.
func TestATwinLetsNobodyInWithoutRules(t *testing.T) {
	t.Parallel()
	r, alice, bob := twinRig(t)
	r.host.look(func() {
		for _, p := range []tunnel.Peer{alice, bob} {
			r.host.status[wgtypes.Key(p.PublicKey)] = device.PeerStatus{LastHandshake: time.Now(), Endpoint: atHome}
		}
	})
	lab.Eventually(t, testPatience, "the places of both to be noted", func() bool {
		b, err := os.ReadFile(r.folder.File(endpointsFile))
		return err == nil && strings.Count(string(b), atHome.String()) == 2
	})
	r.host.look(func() { r.host.failing = errBroken })
	less, err := tunnel.ParseRule("10.210.0.7/32:tcp/80")
	if err != nil {
		t.Fatal(err)
	}
	r.update("alice", func(p *tunnel.Peer) { p.Allow = []tunnel.Rule{less} })
	r.atWire(bob)
	r.says("twin", tunnel.Places{alice.Addresses[0]: atWork, bob.Addresses[0]: atWork})
	lab.Eventually(t, testPatience, "bob to be called on", func() (called bool) {
		r.hold(false)
		r.hold(true)
		r.host.look(func() { called = r.host.called[wgtypes.Key(bob.PublicKey)] == atWork })
		return called
	})
	r.host.look(func() {
		key := wgtypes.Key(alice.PublicKey)
		if _, called := r.host.called[key]; called || slices.Contains(r.host.forgot, key) || !slices.Contains(r.host.forgot, wgtypes.Key(bob.PublicKey)) {
			t.Errorf("called on: %v; made anew: %v", r.host.called, r.host.forgot)
		}
	})
}
