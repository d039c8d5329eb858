package client

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"panteras/tunnel"
)

// Whatever is read without an error is written and read the same again.
func FuzzParse(f *testing.F) {
	f.Add(interfaceSection + peerSection)
	f.Add(interfaceSection + "MTU = 1280\nDNS = 10.99.0.1, fd00::1\nPostUp = true || false\n" + peerSection)
	f.Add("[Interface]\nPrivateKey=" + noKey + "\r\nAddress=::1/128\n[Peer]")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of two lines: %q", err)
			}
			return
		}
		again, err := Parse(parsed.Config.text(parsed.Hooks))
		if err != nil {
			t.Fatalf("%q was read, and what was written of it was not: %v", text, err)
		}
		if !again.Config.equal(&parsed.Config) || !slices.Equal(again.Hooks, parsed.Hooks) {
			t.Errorf("%q was read as %+v, written, and read as %+v", text, parsed, again)
		}
	})
}

// Whatever a store holds, a file that is written says what it should.
func FuzzRender(f *testing.F) {
	f.Add("alice", "vpn.example.com:51820", "consul", "10.99.0.7", "10.210.0.0/24", 1420)
	f.Add("x\nPostUp = id", "$(id):1", "a';id;'", "fe80::1%x", "0.0.0.0/0", -1)
	f.Fuzz(func(t *testing.T, name, endpoint, domain, address, route string, mtu int) {
		peer, gateway := testPeer(t), testGateway(t)
		peer.Name, gateway.Endpoint, gateway.Domains, gateway.MTU = name, endpoint, []string{domain}, mtu
		peer.Addresses[0], _ = netip.ParseAddr(address)
		gateway.Routes[0], _ = netip.ParsePrefix(route)
		for _, system := range []System{Linux, MacOS, Windows, Mobile} {
			files, err := Render(system, peer, gateway, key(t, privateText), tunnel.SecretKey{})
			if err != nil {
				continue
			}
			hooks := strings.Count(files.Config, "\nPostUp") + strings.Count(files.Config, "\nPreDown")
			if want := map[bool]int{true: 2}[system == Linux]; hooks != want {
				t.Errorf("%d hooks, want %d:\n%s", hooks, want, files.Config)
			}
			if system == Linux && !slices.Equal(linuxHooks(gateway.DNS, []string{domain}), mustHooks(t, files.Config)) {
				t.Errorf("other hooks than meant:\n%s", files.Config)
			}
		}
	})
}

func mustHooks(t *testing.T, text string) []string {
	t.Helper()
	parsed, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Hooks
}
