package device

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

func key(n byte) wgtypes.Key { return wgtypes.Key{0: n, 31: 1} }

// model is what a WireGuard interface does with a configuration.
type model struct{ wgtypes.Device }

func (m *model) configure(t *testing.T, cfg wgtypes.Config) {
	t.Helper()
	if cfg.ReplacePeers {
		t.Fatal("all peers would be replaced")
	}
	if cfg.PrivateKey != nil {
		m.PrivateKey = *cfg.PrivateKey
	}
	if cfg.ListenPort != nil {
		m.ListenPort = *cfg.ListenPort
	}
	added := false
	for _, c := range cfg.Peers {
		i := slices.IndexFunc(m.Peers, func(p wgtypes.Peer) bool { return p.PublicKey == c.PublicKey })
		if c.Remove {
			if added {
				t.Fatal("a removal after an addition")
			}
			if i < 0 {
				t.Fatalf("%s is not there and is removed", c.PublicKey)
			}
			m.Peers = slices.Delete(m.Peers, i, i+1)
			continue
		}
		added = true
		if i < 0 {
			if c.UpdateOnly {
				continue
			}
			m.Peers = append(m.Peers, wgtypes.Peer{PublicKey: c.PublicKey})
			i = len(m.Peers) - 1
		}
		if c.PresharedKey != nil {
			m.Peers[i].PresharedKey = *c.PresharedKey
		}
		if c.ReplaceAllowedIPs {
			m.Peers[i].AllowedIPs = nil
		}
		for _, n := range c.AllowedIPs { // an address belongs to the last who got it
			for j := range m.Peers {
				m.Peers[j].AllowedIPs = slices.DeleteFunc(m.Peers[j].AllowedIPs, func(o net.IPNet) bool { return o.String() == n.String() })
			}
			m.Peers[i].AllowedIPs = append(m.Peers[i].AllowedIPs, n)
		}
	}
}

// Whatever an interface was, one step makes it what is wanted, and a second one nothing.
func TestDiffReachesWhatIsWanted(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 1))
	config := func() *Config {
		c := &Config{PrivateKey: key(200 + byte(random.IntN(2))), Port: uint16(1000 + random.IntN(2))}
		addresses := random.Perm(12)
		for _, k := range random.Perm(8)[:random.IntN(9)] {
			p := Peer{PublicKey: key(byte(k))}
			if random.IntN(3) == 0 {
				p.PresharedKey = key(100 + byte(random.IntN(2)))
			}
			for range 1 + random.IntN(2) {
				if len(addresses) == 0 {
					break
				}
				a := netip.AddrFrom4([4]byte{10, 99, 0, byte(addresses[0])})
				if addresses[0]%3 == 0 {
					a = netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(addresses[0])})
				}
				addresses = addresses[1:]
				p.Addresses = append(p.Addresses, a)
			}
			c.Peers = append(c.Peers, p)
		}
		return c
	}
	var m model
	for step := range 500 {
		want := config()
		cfg, changed := diff(configOf(&m.Device), want)
		m.configure(t, cfg)
		if again, n := diff(want, want); n != 0 {
			t.Fatalf("step %d: what was made last differs from itself in %d: %+v", step, n, again)
		}
		if again, n := diff(configOf(&m.Device), want); n != 0 {
			t.Fatalf("step %d: %d changes became %d more: %+v", step, changed, n, again)
		}
		if len(m.Peers) != len(want.Peers) || m.PrivateKey != want.PrivateKey || m.ListenPort != int(want.Port) {
			t.Fatalf("step %d: %+v\nwant %+v", step, m, want)
		}
	}
}

// Who stays as he is is not mentioned: to mention him could end his session.
func TestDiffLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	want := &Config{PrivateKey: key(1), Port: 1, Peers: []Peer{
		{PublicKey: key(2), PresharedKey: key(3), Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")}},
		{PublicKey: key(4), Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.4")}},
	}}
	var m model
	cfg, _ := diff(configOf(&m.Device), want)
	m.configure(t, cfg)
	want.Peers = append(want.Peers[:1], Peer{PublicKey: key(5), Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.4")}})
	cfg, changed := diff(configOf(&m.Device), want)
	if changed != 2 || len(cfg.Peers) != 2 || !cfg.Peers[0].Remove || cfg.Peers[0].PublicKey != key(4) || cfg.Peers[1].PublicKey != key(5) || cfg.PrivateKey != nil || cfg.ListenPort != nil {
		t.Errorf("%d changes: %+v", changed, cfg)
	}
}

// A network that somebody has given a peer by hand is none of ours.
func TestDiffTakesNetworksAway(t *testing.T) {
	t.Parallel()
	want := &Config{Peers: []Peer{{PublicKey: key(2), Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}}}
	for _, network := range []string{"10.0.0.2/31", "10.0.0.3/32", "fd00::2/128"} {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		have := &wgtypes.Device{Peers: []wgtypes.Peer{{PublicKey: key(2), AllowedIPs: []net.IPNet{*n}}}}
		cfg, _ := diff(configOf(have), want)
		if len(cfg.Peers) != 1 || !cfg.Peers[0].ReplaceAllowedIPs || len(cfg.Peers[0].AllowedIPs) != 1 || cfg.Peers[0].AllowedIPs[0].String() != "10.0.0.2/32" {
			t.Errorf("%s: %+v", network, cfg.Peers)
		}
	}
}
