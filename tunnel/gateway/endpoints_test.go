package gateway

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
	"panteras/tunnel/device"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// Who had a handshake is connected for three minutes, whatever time the host's clock said it
// was; test/tunnel_clock_test.go sets that clock.
func TestWhoIsConnected(t *testing.T) {
	t.Parallel()
	key, at := wgtypes.Key{1}, netip.MustParseAddrPort("192.0.2.7:4711")
	began := time.Now()
	for _, test := range []struct{ said, until time.Duration }{
		{0, connected},
		{-time.Minute, 2 * time.Minute},
		{-time.Hour, 0},
		{time.Hour, connected}, // the clock was set back since
	} {
		h := handshakes{}
		status := map[wgtypes.Key]device.PeerStatus{key: {LastHandshake: began.Round(0).Add(test.said), Endpoint: at}}
		for after := time.Duration(0); after < 5*time.Minute; after += 30 * time.Second {
			if got := len(h.connectedAt(status, began.Add(after))) == 1; got != (after < test.until) {
				t.Errorf("a handshake at %v: after %v connected is %v", test.said, after, got)
			}
		}
		status[key] = device.PeerStatus{LastHandshake: began.Round(0).Add(5 * time.Minute), Endpoint: at}
		if len(h.connectedAt(status, began.Add(5*time.Minute))) != 1 {
			t.Error("a new handshake does not count")
		}
		if len(h.connectedAt(nil, began)) != 0 || len(h.of) != 0 {
			t.Error("a peer that is gone is remembered")
		}
	}
}

// Where a peer was counts until it has answered, but not for ever.
func TestWhoIsAwaited(t *testing.T) {
	t.Parallel()
	key, at := wgtypes.Key{1}, netip.MustParseAddrPort("192.0.2.7:4711")
	began := time.Now()
	h := handshakes{}
	look := func(s device.PeerStatus, after time.Duration) bool {
		h.connectedAt(map[wgtypes.Key]device.PeerStatus{key: s}, began.Add(after))
		return h.awaits(key, began.Add(after))
	}
	called := device.PeerStatus{Endpoint: at}
	if !look(called, 0) || !look(called, connected-time.Second) || look(called, connected) {
		t.Error("a peer is awaited for three minutes")
	}
	if look(device.PeerStatus{Endpoint: at, LastHandshake: began.Round(0).Add(connected)}, connected) {
		t.Error("a peer that has answered is awaited")
	}
	h.connectedAt(nil, began)
	if h.awaits(key, began) {
		t.Error("a peer that is gone is awaited")
	}
	if !look(called, 2*connected) {
		t.Error("a peer that has come anew is not awaited")
	}
}

// A handshake that nobody had seen when the host's clock was set forth was not an hour ago:
// there was none at the look before.
func TestWhoIsConnectedWhenTheClockIsSet(t *testing.T) {
	t.Parallel()
	key, at := wgtypes.Key{1}, netip.MustParseAddrPort("192.0.2.7:4711")
	began := time.Now()
	h := handshakes{}
	h.connectedAt(map[wgtypes.Key]device.PeerStatus{key: {}}, began)
	status := map[wgtypes.Key]device.PeerStatus{key: {LastHandshake: began.Round(0).Add(-time.Hour), Endpoint: at}}
	for _, test := range []struct {
		after time.Duration
		want  int
	}{{2 * time.Second, 1}, {connected - time.Second, 1}, {connected, 0}} {
		if got := len(h.connectedAt(status, began.Add(test.after))); got != test.want {
			t.Errorf("%v after the look that found none, %d are connected, want %d", test.after, got, test.want)
		}
	}
}

// Who was connected is called on after a restart, and when access comes back.
func TestConnectedPeersAreCalledOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alice, bob := r.add("alice", nil), r.add("bob", nil)
	at := netip.MustParseAddrPort("192.0.2.7:4711")
	r.host.look(func() {
		r.host.status[wgKey(alice.PublicKey)] = device.PeerStatus{LastHandshake: time.Now(), Endpoint: at}
		r.host.status[wgKey(bob.PublicKey)] = device.PeerStatus{LastHandshake: time.Now().Add(-time.Hour), Endpoint: at} // long gone
	})
	called := func() (where netip.AddrPort, n int) {
		r.host.look(func() { where, n = r.host.called[wgKey(alice.PublicKey)], len(r.host.called); clear(r.host.called) })
		return where, n
	}
	r.start()
	r.have(alice, bob)
	for _, disabled := range []bool{true, false} {
		if _, err := r.store.Update(context.Background(), "alice", func(p *tunnel.Peer) error { p.Disabled = disabled; return nil }); err != nil {
			t.Fatal(err)
		}
		if disabled {
			r.have(bob)
		}
	}
	r.have(alice, bob)
	lab.Eventually(t, testPatience, "alice to be called on", func() bool { where, n := called(); return where == at && n == 1 })
	known := func() (where netip.AddrPort) {
		r.host.look(func() {
			for _, p := range r.host.peers {
				if p.PublicKey == wgKey(alice.PublicKey) {
					where = p.Endpoint
				}
			}
		})
		return where
	}
	if where := known(); where != at {
		t.Errorf("alice came back to the interface at %s", where)
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	r.start()
	if where, n := called(); where != at || n != 1 {
		t.Errorf("after a restart %d are called on, alice at %s", n, where)
	}
	if where := known(); where != at {
		t.Errorf("after a restart alice was brought to the interface at %s", where)
	}
}

// Who was taken from the interface because the firewall could not be changed is called on
// when it can.
func TestWhoWasNarrowedInVainIsCalledOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alice, bob := r.add("alice", nil), r.add("bob", nil)
	at := netip.MustParseAddrPort("192.0.2.7:4711")
	r.host.look(func() {
		r.host.status[wgKey(alice.PublicKey)] = device.PeerStatus{LastHandshake: time.Now(), Endpoint: at}
	})
	r.start()
	r.have(alice, bob)
	lab.Eventually(t, testPatience, "the place of alice to be noted", func() bool {
		b, err := os.ReadFile(r.folder.File(endpointsFile))
		return err == nil && strings.Contains(string(b), at.String())
	})
	r.host.look(func() { r.host.failing = errBroken })
	narrow, err := tunnel.ParseRule("10.210.0.7/32:tcp/80")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Update(t.Context(), "alice", func(p *tunnel.Peer) error { p.Allow = []tunnel.Rule{narrow}; return nil }); err != nil {
		t.Fatal(err)
	}
	r.atWire(bob)
	r.host.look(func() { r.host.failing = nil; clear(r.host.called) })
	r.have(alice, bob)
	r.calledAt(map[tunnel.PublicKey]netip.AddrPort{alice.PublicKey: at})
}
