package gateway

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// A preshared secret that comes after the start is found.
func TestPresharedSecretsMayComeLater(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.have()
	if _, err := r.folder.PresharedSecret(); err != nil {
		t.Fatal(err)
	}
	secrets, err := r.folder.Secrets()
	if err != nil {
		t.Fatal(err)
	}
	preshared, err := secrets.NewPreshared()
	if err != nil {
		t.Fatal(err)
	}
	alice := r.add("alice", func(p *tunnel.Peer) { p.Preshared = preshared })
	r.have(alice)
	want, err := secrets.PresharedKey(&alice)
	if err != nil {
		t.Fatal(err)
	}
	r.host.look(func() {
		if r.host.peers[0].PresharedKey != want.Key() {
			t.Error("another preshared key")
		}
	})
}

func TestReloadTakesWhatCanChange(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alice := r.add("alice", nil)
	r.start()
	r.have(alice)
	next := r.settings
	next.TunnelRoutes = []netip.Prefix{netip.MustParsePrefix("10.211.0.0/24")}
	next.TunnelNAT = false
	if err := r.gateway.Reload(&next); err != nil {
		t.Fatal(err)
	}
	r.host.look(func() {
		if r.host.rules.Masquerade || !slices.Equal(r.host.rules.Routes, next.TunnelRoutes) || r.host.rules.Peers[0].Allow[0].Network != next.TunnelRoutes[0] {
			t.Errorf("%+v", r.host.rules)
		}
	})
	moved := next
	moved.TunnelInterface = "wg-other"
	if err := r.gateway.Reload(&moved); err == nil || !strings.Contains(err.Error(), "TUNNEL_INTERFACE") {
		t.Error(err)
	}
	floats := next
	floats.KeepalivedVIP = netip.MustParseAddr("192.0.2.1")
	if err := r.gateway.Reload(&floats); err != nil {
		t.Errorf("an address that floats and is not the tunnel's: %v", err)
	}
	dialled := floats
	dialled.TunnelEndpoint = "192.0.2.1:51820"
	if err := r.gateway.Reload(&dialled); err == nil || !strings.Contains(err.Error(), "KEEPALIVED_VIP") {
		t.Errorf("an endpoint that floats from now on: %v", err)
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if err := r.gateway.Reload(&next); err == nil {
		t.Error("a gateway that has ended takes settings")
	}
}

// Settings that can be taken are, also where something fails that may pass: it is tried again,
// and who rotates a token needs no second reload. What is in force is made so once.
func TestReloadOutlivesWhatPasses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alice := r.add("alice", nil)
	r.settings.TunnelRoutes = nil
	r.start()
	r.have(alice)
	next := r.settings
	next.TunnelRoutes = []netip.Prefix{netip.MustParsePrefix("10.211.0.0/24")}
	for what, fail := range map[string]func(error){
		"firewall":   func(err error) { r.host.failing = err },
		"interface":  func(err error) { r.host.wireFail = err },
		"forwarding": func(err error) { r.host.noFwd = err },
	} {
		t.Log(what)
		failed, ended := strings.Count(r.log.String(), "trying again every second"), strings.Count(r.log.String(), "as it should be again")
		if err := r.gateway.Reload(&r.settings); err != nil {
			t.Fatal(err)
		}
		r.host.look(func() { r.host.forwards = false; fail(errBroken) })
		again := next
		if err := r.gateway.Reload(&again); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		lab.Eventually(t, testPatience, what+": the failure to be logged", func() bool { return strings.Count(r.log.String(), "trying again every second") > failed })
		r.host.look(func() { fail(nil) })
		lab.Eventually(t, testPatience, what+": the settings to be in force", func() (in bool) {
			r.host.look(func() {
				in = r.host.forwards && slices.Equal(r.host.rules.Routes, next.TunnelRoutes) && len(r.host.peers) == 1
			})
			return in
		})
		lab.Eventually(t, testPatience, what+": the end of it to be logged", func() bool { return strings.Count(r.log.String(), "as it should be again") > ended })
	}
	before := r.host.tries("rules")
	for range 10 {
		again := next
		if err := r.gateway.Reload(&again); err != nil {
			t.Fatal(err)
		}
	}
	if tries := r.host.tries("rules") - before; tries > 15 { // some may be by the clock
		t.Errorf("the rules were made %d times for 10 reloads", tries)
	}
}
