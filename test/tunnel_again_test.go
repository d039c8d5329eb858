package test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/launcher"
)

// inTheClear counts what the client gets of the service outside of the tunnel.
func (l *tunnelLab) inTheClear() (packets func() int) {
	l.t.Helper()
	return l.client.counter(l.t, "clear", `iifname "eth0" ip saddr `+serviceAddr)
}

// A restart keeps the connections that services know under the gateway's address, and what
// services send in between goes nowhere, not even where the host has its default route.
func TestTunnelRestartKeepsConnections(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	l.gateway.route(t, "0.0.0.0/0", clientAddr)
	l.service.route(t, "10.99.0.0/16", gatewayInner)
	clear := l.inTheClear()
	l.start("--tunnel-nat=true")
	l.service.source(t, serviceAddr+":80")
	alice := l.add("alice", nil)
	alice.connect(l.client)
	got := l.client.download(t, serviceAddr+":80")
	leave := func() {
		t.Helper()
		l.process.Signal(syscall.SIGUSR1)
		if code := l.process.Wait(t, patience); code != 0 {
			t.Fatalf("the gateway ended with %d: %s", code, l.process.Stderr())
		}
		ceases(t, got, time.Second)
		if tables := l.gateway.run(t, "nft", "list", "tables"); !strings.Contains(tables, "panteras") {
			t.Fatalf("tables: %s", tables)
		}
	}
	for range 2 {
		leave()
		l.start("--tunnel-nat=true")
		flows(t, got)
	}
	if n := clear(); n != 0 {
		t.Errorf("%d packets of the service went outside of the tunnel", n)
	}
	// The positive control: without the rules they do.
	leave()
	l.gateway.run(t, "nft", "delete", "table", "inet", "panteras")
	from, err := l.service.dial(t, "udp", alice.v4()+":7", net.Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "packets outside of the tunnel", func() bool {
		_, _ = from.Write([]byte("hello"))
		return clear() != 0
	})
	// Who ends for good leaves nothing, also of what others before have left.
	l.start("--tunnel-nat=true")
	l.stop()
	if rules := l.gateway.run(t, "nft", "list", "ruleset"); rules != "" {
		t.Errorf("left: %s", rules)
	}
	if forward := l.gateway.run(t, "sysctl", "net.ipv4.ip_forward"); !strings.Contains(forward, "= 0") {
		t.Error(forward)
	}
}

// An interface that another process serves, or the kernel, is not touched by a restart:
// what goes through it never ceases.
func TestTunnelRestartWithTheInterface(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	l.standalone()
	l.start()
	l.service.source(t, serviceAddr+":80")
	l.add("alice", nil).connect(l.client)
	got := l.client.download(t, serviceAddr+":80")
	l.process.Signal(syscall.SIGUSR1)
	if code := l.process.Wait(t, patience); code != 0 {
		t.Fatalf("the gateway ended with %d: %s", code, l.process.Stderr())
	}
	flows(t, got)
	l.start()
	flows(t, got)
	l.stop()
	if links := l.gateway.run(t, "ip", "-o", "link"); strings.Contains(links, tunnelInterface) {
		t.Errorf("left: %s", links)
	}
}

// tunnelSocket is the UDP socket of the tunnel, "" if there is none.
func (l *tunnelLab) tunnelSocket() string {
	l.t.Helper()
	const localAddress, inode = 1, 9 // see proc_net_udp(5)
	for line := range strings.Lines(l.gateway.run(l.t, "cat", "/proc/net/udp")) {
		if f := strings.Fields(line); strings.HasSuffix(f[localAddress], ":CA6C") { // 51820
			return f[inode]
		}
	}
	return ""
}

// up runs the gateway under `panteras up`.
func (l *tunnelLab) up() *upHost {
	t := l.t
	t.Helper()
	var h *upHost
	l.gateway.do(t, func() {
		h = newHost(t, gatewayInner, append(only(), "TUNNEL_ENDPOINT="+gatewayOuter, "TUNNEL_STORE=file", "TUNNEL_ROUTES=10.210.0.0/24",
			"TUNNEL_CIDR6=fd99::/64", "TUNNEL_NAT=true", "STATE_DIR="+l.state)...)
		h.up(t)
	})
	h.ready(t, "tunnel")
	return h
}

// Under the launcher nothing takes the tunnel's socket or the connections of peers away but
// an end for good: no restart, no upgrade, no crash.
func TestUpTunnelRestarts(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	h := l.up()
	l.service.source(t, serviceAddr+":80")
	l.service.echo(t, serviceAddr+":81")
	l.add("alice", nil).connect(l.client)
	got := l.client.download(t, serviceAddr+":80")
	socket := l.tunnelSocket()
	if socket == "" {
		t.Fatal("the tunnel has no socket")
	}
	do := func(args ...string) func() { return func() { l.gateway.do(t, func() { h.must(t, args...) }) } }
	endpoints := filepath.Join(l.state, "tunnel", "endpoints.json")
	for what, again := range map[string]func(){
		"restart": do("restart", "tunnel"),
		"upgrade": do("upgrade"),
		"crash":   func() { h.kill(t, h.pids()["tunnel"]) },
	} {
		lab.Eventually(t, 30*time.Second, "the place of the peer to be saved", func() bool {
			b, _ := os.ReadFile(endpoints)
			return strings.Contains(string(b), clientAddr)
		})
		before := h.pids()["tunnel"]
		again()
		h.is(t, "tunnel", "another process", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != before })
		flows(t, got)
		if now := l.tunnelSocket(); now != socket {
			t.Errorf("%s: the socket was %s and is %q", what, socket, now)
		}
	}
	do("stop", "tunnel")()
	if now := l.tunnelSocket(); now != socket {
		t.Errorf("stopped: the socket was %s and is %q", socket, now)
	}
	if rules := l.gateway.run(t, "nft", "list", "ruleset"); rules != "" {
		t.Errorf("stopped: %s", rules)
	}
	do("start", "tunnel")()
	lab.Eventually(t, patience, "the service to be reached", func() bool { return l.client.reaches(t, serviceAddr+":81") })
	if strings.Contains(h.Stderr(), "not used") {
		t.Errorf("the sockets are not used:\n%s", h.Stderr())
	}
}
