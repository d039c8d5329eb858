package test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
	"panteras/tunnel/store"
)

// The hosts of a tunnel's lab, and their addresses:
//
//	client 10.200.0.2 - 10.200.0.1 gateway 10.210.0.1 - 10.210.0.2 service
//
// The client and the service do not reach each other but through the tunnel.
const (
	clientAddr      = "10.200.0.2"
	gatewayOuter    = "10.200.0.1"
	gatewayInner    = "10.210.0.1"
	serviceAddr     = "10.210.0.2"
	serviceAddr6    = "fd00:210::2"
	tunnelGateway   = "10.99.0.1"
	tunnelInterface = "wg-panteras"
)

// tunnelLab is a gateway between a client and a service.
type tunnelLab struct {
	t                        testing.TB
	client, gateway, service *host
	state                    string
	store                    tunnel.Store
	program                  string // of the gateway; what `make build` made if it is ""
	args                     []string
	process                  *lab.Process
}

// newTunnelLab makes the hosts; the gateway is not started yet.
func newTunnelLab(t testing.TB) *tunnelLab {
	t.Helper()
	l := &tunnelLab{t: t, client: bareHost(t), gateway: bareHost(t), service: bareHost(t), state: t.TempDir()}
	connect(t, l.client, "eth0", clientAddr+"/24", l.gateway, "wan", gatewayOuter+"/24")
	connect(t, l.gateway, "lan", gatewayInner+"/24", l.service, "eth0", serviceAddr+"/24")
	l.gateway.address(t, "lan", "fd00:210::1/64")
	l.service.address(t, "eth0", serviceAddr6+"/64")
	// A new network namespace has what the machine has, where Docker may have turned it on.
	l.gateway.run(t, "sysctl", "-q", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
	l.store = store.NewFile(store.FileIn(tunnel.NewFolder(l.state)))
	l.args = []string{
		"gateway", "--tunnel-endpoint", gatewayOuter + ":51820", "--tunnel-store", "file", "--state-dir", l.state,
		"--tunnel-routes", "10.210.0.0/24,fd00:210::/64", "--tunnel-cidr6", "fd99::/64",
		"--tunnel-metrics-listen", "127.0.0.1:9154",
	}
	return l
}

// startPatience is how long a gateway may take for its start, with many peers on a slow machine.
const startPatience = 90 * time.Second

var tunnelUp = regexp.MustCompile(`the tunnel is up`)

// start starts the gateway, with more arguments, and returns when the tunnel is up.
func (l *tunnelLab) start(args ...string) {
	l.t.Helper()
	l.gateway.do(l.t, func() {
		options := lab.PanterasOptions{
			Args: slices.Concat(l.args, args), ReadyLine: tunnelUp, Timeout: startPatience,
			Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=gw"},
		}
		if l.program != "" {
			l.process = lab.Program(l.t, l.program, options)
			return
		}
		l.process = lab.Panteras(l.t, options)
	})
}

// stop ends the gateway as an operator does.
func (l *tunnelLab) stop() {
	l.t.Helper()
	if code := l.process.Stop(l.t); code != 0 {
		l.t.Fatalf("the gateway ended with %d:\n%s", code, l.process.Stderr())
	}
}

// peer is a client of the tunnel.
type peer struct {
	lab     *tunnelLab
	name    string
	private tunnel.SecretKey
	kept    tunnel.Peer
}

func (p *peer) v4() string { return p.kept.Addresses[0].String() }

// add keeps a new peer in the store.
func (l *tunnelLab) add(name string, change func(*tunnel.Peer)) *peer {
	l.t.Helper()
	private, err := tunnel.NewPrivateKey()
	if err != nil {
		l.t.Fatal(err)
	}
	now := time.Now().UTC()
	p := tunnel.Peer{Name: name, PublicKey: private.Public(), Created: now, Changed: now}
	if change != nil {
		change(&p)
	}
	networks := []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16"), netip.MustParsePrefix("fd99::/64")}
	kept, err := l.store.Add(context.Background(), p, networks)
	if err != nil {
		l.t.Fatal(err)
	}
	return &peer{l, name, private, kept}
}

// rules makes what a peer is allowed.
func rules(t testing.TB, texts ...string) []tunnel.Rule {
	t.Helper()
	var out []tunnel.Rule
	for _, text := range texts {
		r, err := tunnel.ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// config is the peer's client file. allowed is what it sends into the tunnel.
func (p *peer) config(allowed string) string {
	p.lab.t.Helper()
	secrets, err := tunnel.NewFolder(p.lab.state).Secrets()
	if err != nil {
		p.lab.t.Fatal(err)
	}
	var addresses []string
	for _, a := range p.kept.Addresses {
		addresses = append(addresses, netip.PrefixFrom(a, a.BitLen()).String())
	}
	return fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = %s\nMTU = 1420\n\n[Peer]\nPublicKey = %s\nEndpoint = %s:51820\nAllowedIPs = %s\nPersistentKeepalive = 25\n",
		p.private.Reveal(), strings.Join(addresses, ", "), secrets.Private.Public(), gatewayOuter, allowed)
}

// everything is what a client sends into the tunnel that wants to know where the gateway
// draws the line.
const everything = "10.99.0.0/16, 10.210.0.0/24, 169.254.0.0/16, fd99::/64, fd00:210::/64"

// connect brings up the peer's tunnel on a host, with wg-quick.
func (p *peer) connect(h *host, env ...string) {
	p.lab.t.Helper()
	file := filepath.Join(p.lab.t.TempDir(), p.name+".conf")
	if err := os.WriteFile(file, []byte(p.config(everything)), 0o600); err != nil {
		p.lab.t.Fatal(err)
	}
	wgQuickUp(p.lab.t, h, file, env...)
}

// currentWireGuard makes wg-quick run the WireGuard of the module that ours is of.
func currentWireGuard(t testing.TB) string {
	t.Helper()
	return "WG_QUICK_USERSPACE_IMPLEMENTATION=" + lab.Built(t, "wireguard-go")
}

// wgQuickUp brings up a client file until the test is over. The WireGuard that it runs is
// the distribution's unless the environment names another.
func wgQuickUp(t testing.TB, h *host, file string, env ...string) {
	t.Helper()
	if out, err := h.try(t, env, "wg-quick", "up", file); err != nil {
		t.Fatalf("wg-quick up: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		// What encrypts in user space ends with its interface.
		_, _ = h.try(t, nil, "ip", "link", "delete", strings.TrimSuffix(filepath.Base(file), ".conf"))
	})
}

// counter counts the packets that come to a host and that an expression of nft matches.
func (h *host) counter(t testing.TB, name, match string) (packets func() int) {
	t.Helper()
	table := "watch_" + name
	h.run(t, "nft", "table inet "+table+` {
		counter seen { }
		chain in { type filter hook prerouting priority -300; `+match+` counter name seen; }
	}`)
	return func() int {
		t.Helper()
		text := h.run(t, "nft", "list", "counter", "inet", table, "seen")
		_, rest, _ := strings.Cut(text, "packets ")
		number, _, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("nft says\n%s", text)
		}
		return n
	}
}

// metric is a value among the gateway's metrics, -1 if it is not there.
func (l *tunnelLab) metric(name string) float64 {
	l.t.Helper()
	c, err := l.gateway.dial(l.t, "tcp", "127.0.0.1:9154", net.Dialer{})
	if err != nil {
		return -1
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET /metrics HTTP/1.0\r\nHost: gateway\r\n\r\n"); err != nil {
		return -1
	}
	text, _ := io.ReadAll(c)
	for line := range strings.SplitSeq(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if value, err := strconv.ParseFloat(strings.TrimSpace(rest), 64); err == nil {
				return value
			}
		}
	}
	return -1
}
