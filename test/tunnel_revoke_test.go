package test

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// Somebody who is removed in the middle of a transfer gets nothing more within a second;
// the others notice nothing.
func TestTunnelRemovesInMidTransfer(t *testing.T) {
	l := newTunnelLab(t)
	l.start()
	other := bareHost(t)
	connect(t, other, "eth0", "10.201.0.2/24", l.gateway, "wan2", "10.201.0.1/24")
	other.route(t, "10.200.0.0/24", "10.201.0.1")
	l.service.source(t, serviceAddr+":80")
	l.add("alice", nil).connect(l.client)
	l.add("bob", nil).connect(other)
	alice, bob := l.client.download(t, serviceAddr+":80"), other.download(t, serviceAddr+":80")
	for what, end := range map[string]func() error{
		"disabled": func() error {
			_, err := l.store.Update(context.Background(), "alice", func(p *tunnel.Peer) error { p.Disabled = true; return nil })
			return err
		},
		"removed": func() error { _, err := l.store.Remove(context.Background(), "alice"); return err },
	} {
		if _, err := l.store.Update(context.Background(), "alice", func(p *tunnel.Peer) error { p.Disabled = false; return nil }); err != nil {
			break // removed
		}
		flows(t, alice)
		began := time.Now()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		since := ceases(t, alice, 500*time.Millisecond)
		if took := since.Sub(began); took > time.Second {
			t.Errorf("%s: traffic went on for %v", what, took)
		}
		flows(t, bob)
		if what == "removed" {
			break
		}
	}
	if show := l.gateway.run(t, "wg", "show", tunnelInterface, "peers"); strings.Count(show, "\n") != 1 {
		t.Errorf("peers:\n%s", show)
	}
}

// standalone runs a WireGuard of its own on the gateway, which lives on when ours dies.
func (l *tunnelLab) standalone() {
	l.t.Helper()
	l.gateway.do(l.t, func() {
		lab.Program(l.t, lab.Built(l.t, "wireguard-go"), lab.PanterasOptions{Args: []string{"-f", tunnelInterface}})
		lab.Eventually(l.t, patience, "the interface", func() bool {
			_, err := os.Stat("/run/wireguard/" + tunnelInterface + ".sock")
			return err == nil
		})
	})
}

// Who has expired is out, for traffic, DNS and ping, even if the gateway's process hangs:
// the kernel keeps the time.
func TestTunnelExpiryNeedsNobody(t *testing.T) {
	l := newTunnelLab(t)
	l.standalone()
	l.start()
	if !strings.Contains(l.process.Stderr(), "taken_over=true") {
		t.Fatal("the interface was not taken over")
	}
	l.service.source(t, serviceAddr+":80")
	l.service.echo(t, serviceAddr+":81")
	dns := l.gateway.packets(t, tunnelGateway+":53")
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := dns.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = dns.WriteTo(buf[:n], from)
		}
	}()
	asks := func() bool {
		c, err := l.client.dial(t, "udp", tunnelGateway+":53", net.Dialer{})
		return err == nil && echoes(c, time.Second)
	}
	l.add("alice", nil).connect(l.client)
	got := l.client.download(t, serviceAddr+":80")
	lab.Eventually(t, patience, "DNS and ping", func() bool { return asks() && l.client.pings(t, tunnelGateway) && l.client.pings(t, serviceAddr) })
	expires := time.Now().Add(4 * time.Second)
	if _, err := l.store.Update(context.Background(), "alice", func(p *tunnel.Peer) error { p.Expires = expires; return nil }); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "the kernel to know the expiry", func() bool {
		return strings.Contains(l.gateway.run(t, "nft", "list", "set", "inet", "panteras", "peers4"), "expires")
	})
	l.process.Signal(syscall.SIGSTOP)
	defer l.process.Signal(syscall.SIGCONT)
	if time.Now().Before(expires.Add(-time.Second)) {
		flows(t, got)
	}
	since := ceases(t, got, time.Second)
	if off := since.Sub(expires); off > time.Second || off < -2*time.Second {
		t.Errorf("traffic ceased %v after the expiry", off)
	}
	if asks() || l.client.pings(t, tunnelGateway) || l.client.pings(t, serviceAddr) || l.client.reaches(t, serviceAddr+":81") {
		t.Error("something goes on after the expiry")
	}
	// It was the firewall: the session is still there.
	if show := l.gateway.run(t, "wg", "show", tunnelInterface); !strings.Contains(show, "latest handshake") {
		t.Errorf("there is no session:\n%s", show)
	}
	l.process.Signal(syscall.SIGCONT)
	lab.Eventually(t, patience, "the peer to leave the interface", func() bool {
		return l.gateway.run(t, "wg", "show", tunnelInterface, "peers") == ""
	})
}
