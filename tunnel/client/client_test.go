package client

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"panteras/tunnel"

	"github.com/google/go-cmp/cmp"
)

func key(t testing.TB, text string) tunnel.SecretKey {
	t.Helper()
	k, err := tunnel.ParseSecretKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const (
	privateText   = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
	presharedText = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE="
	gatewayText   = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
)

func testGateway(t testing.TB) *tunnel.GatewayInfo {
	t.Helper()
	public, err := tunnel.ParsePublicKey(gatewayText)
	if err != nil {
		t.Fatal(err)
	}
	return &tunnel.GatewayInfo{
		Name: "gw1", Endpoint: "vpn.example.com:51820", PublicKey: public,
		Networks: []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16"), netip.MustParsePrefix("fd12:3456:789a::/64")},
		Routes:   []netip.Prefix{netip.MustParsePrefix("10.210.0.0/24")},
		DNS:      []netip.Addr{netip.MustParseAddr("10.99.0.1")},
		Domains:  []string{"consul", "apps.example.com"}, MTU: 1420,
	}
}

func testPeer(t testing.TB) *tunnel.Peer {
	t.Helper()
	return &tunnel.Peer{
		Name: "alice-laptop", PublicKey: key(t, privateText).Public(),
		Addresses: []netip.Addr{netip.MustParseAddr("10.99.3.7"), netip.MustParseAddr("fd12:3456:789a::307")},
	}
}

const peerSection = `
[Peer]
PublicKey = ` + gatewayText + `
Endpoint = vpn.example.com:51820
AllowedIPs = 10.99.0.1/32, fd12:3456:789a::1/128, 10.210.0.0/24
PersistentKeepalive = 25
`

const interfaceSection = `[Interface]
PrivateKey = ` + privateText + `
Address = 10.99.3.7/32, fd12:3456:789a::307/128
`

func TestFilesOfEachSystem(t *testing.T) {
	const macScript = `#!/bin/sh
sudo mkdir -p /etc/resolver
printf '%s\n' 'nameserver 10.99.0.1' | sudo tee '/etc/resolver/consul' >/dev/null
printf '%s\n' 'nameserver 10.99.0.1' | sudo tee '/etc/resolver/apps.example.com' >/dev/null
`
	for system, want := range map[System]Files{
		Linux: {Config: interfaceSection +
			`PostUp = { resolvectl dns %i 10.99.0.1 && resolvectl domain %i '~consul' '~apps.example.com' && { resolvectl default-route %i no || true; }; } 2>/dev/null || printf '%s\n' 'nameserver 10.99.0.1' | resolvconf -a %i -m 0 -x 2>/dev/null || { { test -e /etc/resolv.conf.%i || cp /etc/resolv.conf /etc/resolv.conf.%i; } && { printf '%s\n' 'nameserver 10.99.0.1'; cat /etc/resolv.conf.%i; } > /etc/resolv.conf; } || echo 'cannot set up DNS: ask 10.99.0.1 for the names' >&2 || true
PreDown = resolvectl revert %i 2>/dev/null || true; resolvconf -d %i -f 2>/dev/null || true; ! test -e /etc/resolv.conf.%i || { cat /etc/resolv.conf.%i > /etc/resolv.conf && rm /etc/resolv.conf.%i; } || true
` + peerSection},
		MacOS: {Config: `# For the platform's names run once, in a terminal:
#   sudo mkdir -p /etc/resolver
#   printf '%s\n' 'nameserver 10.99.0.1' | sudo tee '/etc/resolver/consul' >/dev/null
#   printf '%s\n' 'nameserver 10.99.0.1' | sudo tee '/etc/resolver/apps.example.com' >/dev/null
` + interfaceSection + peerSection, Script: macScript, ScriptSuffix: "-dns.sh"},
		Windows: {Config: strings.ReplaceAll(`# For the platform's names run once, in PowerShell as administrator:
#   Get-DnsClientNrptRule | Where-Object Comment -eq 'panteras' | Remove-DnsClientNrptRule -Force^
#   Add-DnsClientNrptRule -Namespace '.consul' -NameServers '10.99.0.1' -Comment 'panteras'^
#   Add-DnsClientNrptRule -Namespace '.apps.example.com' -NameServers '10.99.0.1' -Comment 'panteras'^
`, "^", "\r") + interfaceSection + peerSection, Script: `Get-DnsClientNrptRule | Where-Object Comment -eq 'panteras' | Remove-DnsClientNrptRule -Force` + "\r\n" +
			`Add-DnsClientNrptRule -Namespace '.consul' -NameServers '10.99.0.1' -Comment 'panteras'` + "\r\n" +
			`Add-DnsClientNrptRule -Namespace '.apps.example.com' -NameServers '10.99.0.1' -Comment 'panteras'` + "\r\n", ScriptSuffix: "-dns.ps1"},
		Mobile: {Config: interfaceSection + "MTU = 1280\nDNS = 10.99.0.1\n" + peerSection},
	} {
		t.Run(string(system), func(t *testing.T) {
			got, err := Render(system, testPeer(t), testGateway(t), key(t, privateText), tunnel.SecretKey{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatDiffersBetweenPeers(t *testing.T) {
	gateway := testGateway(t)
	gateway.MTU = 1370
	files, err := Render(Windows, testPeer(t), gateway, tunnel.SecretKey{}, key(t, presharedText))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"PrivateKey = " + noKey, "PresharedKey = " + presharedText, "MTU = 1370", "# The private key belongs where " + noKey + " stands."} {
		if !strings.Contains(files.Config, line+"\n") {
			t.Errorf("the file lacks %q:\n%s", line, files.Config)
		}
	}
	gateway.Domains = nil
	for _, system := range []System{Linux, MacOS, Windows, Mobile} {
		files, err := Render(system, testPeer(t), gateway, key(t, privateText), tunnel.SecretKey{})
		if err != nil || files.Script != "" || strings.Contains(files.Config, "Post") {
			t.Errorf("%s, without domains: %+v, %v", system, files, err)
		}
	}
}

// A floating address of the platform's own network is dialled past the tunnel.
func TestEndpointIsNotSentThroughTheTunnel(t *testing.T) {
	gateway := testGateway(t)
	gateway.Routes = append(gateway.Routes, netip.MustParsePrefix("fd34::/127"), netip.MustParsePrefix("10.9.9.9/32"))
	for endpoint, want := range map[string]string{
		"10.210.0.5:51820": "10.210.0.0/30, 10.210.0.4/32, 10.210.0.6/31, 10.210.0.8/29, 10.210.0.16/28, 10.210.0.32/27, 10.210.0.64/26, 10.210.0.128/25, fd34::/127, 10.9.9.9/32",
		"[fd34::1]:51820":  "10.210.0.0/24, fd34::/128, 10.9.9.9/32",
		"10.9.9.9:51820":   "10.210.0.0/24, fd34::/127",
		"192.0.2.1:51820":  "10.210.0.0/24, fd34::/127, 10.9.9.9/32",
	} {
		gateway.Endpoint = endpoint
		files, err := Render(Linux, testPeer(t), gateway, key(t, privateText), tunnel.SecretKey{})
		if line := "AllowedIPs = 10.99.0.1/32, fd12:3456:789a::1/128, " + want + "\n"; err != nil || !strings.Contains(files.Config, line) {
			t.Errorf("%s: %v, want %s in\n%s", endpoint, err, line, files.Config)
		}
	}
}

// What a store holds may have been written by somebody else.
func TestHostileTextGetsIntoNoFile(t *testing.T) {
	for _, hostile := range []string{
		"x\nPostUp = touch /tmp/evil", "x'; touch /tmp/evil; '", "$(touch /tmp/evil)", "`id`", "x\r", "x y", "a#b", "a;b", "~", "..", "%i", "a=b", "é", "\x00", "-x",
	} {
		peer, gateway := testPeer(t), testGateway(t)
		peer.Name = hostile
		refuse(t, "name", hostile, peer, gateway)
		peer, gateway = testPeer(t), testGateway(t)
		gateway.Domains = []string{"consul", hostile}
		refuse(t, "domain", hostile, peer, gateway)
		peer, gateway = testPeer(t), testGateway(t)
		gateway.Endpoint = hostile + ":51820"
		refuse(t, "endpoint", hostile, peer, gateway)
		peer, gateway = testPeer(t), testGateway(t)
		gateway.DNS = []netip.Addr{netip.MustParseAddr("fe80::1").WithZone(hostile)}
		refuse(t, "DNS server", hostile, peer, gateway)
	}
}

func refuse(t *testing.T, what, hostile string, peer *tunnel.Peer, gateway *tunnel.GatewayInfo) {
	t.Helper()
	for _, system := range []System{Linux, MacOS, Windows, Mobile} {
		if files, err := Render(system, peer, gateway, key(t, privateText), tunnel.SecretKey{}); err == nil {
			t.Errorf("%s %q got into a file:\n%s%s", what, hostile, files.Config, files.Script)
		}
	}
}

func TestParseNamesTheLineAndNoSecret(t *testing.T) {
	good := interfaceSection + peerSection
	for _, test := range []struct{ old, new, want string }{
		{"[Peer]", "[Interface]", "line 5: a second [Interface]"},
		{"PrivateKey = " + privateText, "PrivateKey = " + privateText[:43], "line 2: PrivateKey is not a WireGuard key"},
		{"PrivateKey = " + privateText + "\n", "", "there is no PrivateKey"},
		{"Address = 10.99.3.7/32", "Address = 10.99.3.0/24", "line 3: Address is a network"},
		{"PersistentKeepalive = 25", "PersistentKeepalive = -1", "line 9: PersistentKeepalive is not a number"},
		{"PersistentKeepalive", "PostUp", "line 9: PostUp does not belong here"},
		{"PersistentKeepalive = 25", "Endpoint = a:1", "line 9: a second Endpoint"},
		{"PersistentKeepalive = 25", "PersistentKeepalive", "line 9: it is neither"},
		{"PersistentKeepalive = 25", "Persistent\x00Keepalive = 25", "line 9: it holds a control character"},
		{"vpn.example.com:51820", "vpn.example.com", "line 7: Endpoint"},
		{"10.210.0.0/24", "10.210.0.0/33", "line 8: AllowedIPs"},
	} {
		_, err := Parse(strings.Replace(good, test.old, test.new, 1))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), privateText[:20]) {
			t.Errorf("%q for %q: %v, want %q", test.new, test.old, err, test.want)
		}
	}
	parsed, err := Parse(strings.Replace(good, "MTU", "PostUp = id\nMTU", 1))
	if err != nil || len(parsed.Hooks) != 0 || parsed.PrivateKey.Reveal() != privateText || parsed.Keepalive != 25 {
		t.Errorf("parsed %+v, %v", parsed, err)
	}
}

func TestFileNames(t *testing.T) {
	for name, want := range map[string]string{
		"alice-laptop": "alice-laptop.conf", "fifteen-letters": "fifteen-letters.conf", "bob.home_2": "bob.home_2.conf",
	} {
		if got := FileName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	seen := map[string]string{}
	for _, name := range []string{"sixteen-letters-", "the-laptop-of-alice", "the-laptop-of-bob", "a b", "ä", ".", "..", "-", ".conf"} {
		short := FileName(name)
		if !interfacePattern.MatchString(strings.TrimSuffix(short, ".conf")) {
			t.Errorf("%q: %s is no name of an interface", name, short)
		}
		if other, taken := seen[short]; taken {
			t.Errorf("%q and %q are both %s", name, other, short)
		}
		seen[short] = name
	}
	for path, want := range map[string]string{
		"/tmp/alice.conf": "/tmp/alice.conf", "./alice.conf": "./alice.conf", "alice": "alice", "/dev/stdout": "/dev/stdout",
		"/tmp/the-laptop-of-alice.conf": "/tmp/" + FileName("the-laptop-of-alice"),
	} {
		if got := FilePath(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// wg-quick itself reads the file, and leaves what wg reads.
func TestWGQuickReadsTheFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("wg-quick insists on root")
	}
	files, err := Render(Linux, testPeer(t), testGateway(t), key(t, privateText), key(t, presharedText))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), FileName("alice-laptop"))
	if err := os.WriteFile(path, []byte(files.Config), 0o600); err != nil {
		t.Fatal(err)
	}
	stripped, err := exec.Command("wg-quick", "strip", path).Output()
	if err != nil {
		t.Fatalf("wg-quick strip: %v", err)
	}
	want := []string{
		"[Interface]", "PrivateKey = " + privateText, "[Peer]", "PublicKey = " + gatewayText, "PresharedKey = " + presharedText,
		"Endpoint = vpn.example.com:51820", "AllowedIPs = 10.99.0.1/32, fd12:3456:789a::1/128, 10.210.0.0/24", "PersistentKeepalive = 25",
	}
	got := slices.DeleteFunc(strings.Split(string(stripped), "\n"), func(l string) bool { return l == "" })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wg-quick strip (-want +got):\n%s", diff)
	}
}
