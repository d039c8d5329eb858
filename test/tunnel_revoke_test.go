package test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// What is taken away ends in the middle of a transfer, within a second, be it all access or
// a part of it; the others notice nothing. Peers are apart, whatever their policy says.
func TestTunnelRemovesInMidTransfer(t *testing.T) {
	l := newTunnelLab(t)
	l.start("--tunnel-routes", wideRoutes)
	other := bareHost(t)
	connect(t, other, "eth0", "10.201.0.2/24", l.gateway, "wan2", "10.201.0.1/24")
	other.route(t, "10.200.0.0/24", "10.201.0.1")
	l.service.source(t, serviceAddr+":80")
	l.service.echo(t, serviceAddr+":81")
	a := l.add("alice", func(p *tunnel.Peer) { p.Allow = rules(t, "10.210.0.0/24", "10.99.0.0/16", "fd99::/64") })
	a.connect(l.client)
	second, err := tunnel.NewPrivateKey() // alice's, when the first is of no use any more
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "alice.key")
	if err := os.WriteFile(keyFile, []byte(second.Reveal()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := l.add("bob", nil)
	b.connect(other)
	bob := other.download(t, serviceAddr+":80")
	for _, at := range []string{b.v4() + ":80", "[" + b.kept.Addresses[1].String() + "]:80"} {
		other.echo(t, at)
		if !other.reaches(t, at) {
			t.Fatalf("bob does not reach himself at %s", at)
		}
		if _, err := l.client.dial(t, "tcp", at, net.Dialer{}); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a peer is not refused another one's %s: %v", at, err)
		}
	}
	if l.client.pings(t, b.v4()) {
		t.Error("a peer pings another one")
	}
	// Nor does a peer pass for another one, who may reach the service as well.
	echoes := l.service.counter(t, "echoes", "icmp type echo-request")
	l.client.run(t, "ip", "address", "add", b.v4()+"/32", "dev", "alice")
	for from, passes := range map[string]bool{b.v4(): false, a.v4(): true} {
		before := echoes()
		_, _ = l.client.try(t, nil, "ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", "-I", from, serviceAddr)
		if n := echoes() - before; (n > 0) != passes {
			t.Errorf("of 3 packets that alice sends from %s, %d arrive", from, n)
		}
	}
	l.client.run(t, "ip", "address", "delete", b.v4()+"/32", "dev", "alice")
	update := func(change func(*tunnel.Peer)) error {
		_, err := l.store.Update(context.Background(), "alice", func(p *tunnel.Peer) error { change(p); return nil })
		return err
	}
	const data = "tcp dport 80 tcp flags & psh == psh"
	sent, arrived := l.gateway.counter(t, "sent", data), l.service.counter(t, "arrived", data)
	for _, end := range []struct {
		what string
		do   func() error
	}{
		// The peer stays, and so does its session: that connections were allowed once is no reason.
		{"narrowed", func() error {
			return update(func(p *tunnel.Peer) { p.Allow = rules(t, serviceAddr+"/32:tcp/81") })
		}},
		{"rotated", func() error {
			_, err := l.store.Rotate(context.Background(), "alice", "", second.Public(), nil)
			return err
		}},
		{"disabled", func() error { return update(func(p *tunnel.Peer) { p.Disabled = true }) }},
		{"removed", func() error { _, err := l.store.Remove(context.Background(), "alice"); return err }},
	} {
		lab.Eventually(t, patience, "alice to reach the service", func() bool { return l.client.reaches(t, serviceAddr+":81") })
		alice := l.client.download(t, serviceAddr+":80")
		upload, err := l.client.dial(t, "tcp", serviceAddr+":80", net.Dialer{})
		if err != nil {
			t.Fatal(err)
		}
		// says sends a few bytes on the connection that is there, and waits until they are at a host.
		says := func(at func() int) error {
			before := at()
			if _, err := upload.Write([]byte("more")); err != nil {
				return err
			}
			lab.Eventually(t, patience, "what alice sends", func() bool { return at() > before })
			return nil
		}
		if err := says(arrived); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := end.do(); err != nil {
			t.Fatal(err)
		}
		since := ceases(t, alice, 500*time.Millisecond)
		if took := since.Sub(began); took > time.Second {
			t.Errorf("%s: traffic went on for %v", end.what, took)
		}
		if end.what == "narrowed" { // the others have no session any more
			before := arrived()
			// An acknowledgement of hers may have been refused already, which resets the connection.
			if err := says(sent); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			flows(t, bob)
			if n := arrived() - before; n > 0 {
				t.Errorf("%d packets of a connection that was allowed once still arrive", n)
			}
		}
		flows(t, bob)
		switch end.what {
		case "narrowed":
			if !l.client.reaches(t, serviceAddr+":81") {
				t.Error("what is still allowed is not reached")
			}
			fallthrough
		case "rotated", "disabled":
			if end.what == "rotated" {
				if l.client.reaches(t, serviceAddr+":81") {
					t.Error("the old key still opens the tunnel")
				}
				l.client.run(t, "wg", "set", "alice", "private-key", keyFile)
			}
			if err := update(func(p *tunnel.Peer) { p.Disabled, p.Allow = false, nil }); err != nil {
				t.Fatal(err)
			}
			lab.Eventually(t, patience, "port 80 again", func() bool {
				_, err := l.client.dial(t, "tcp", serviceAddr+":80", net.Dialer{Timeout: 2 * time.Second})
				return err == nil
			})
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
	// The gateway notices when an interface is taken away that another process serves.
	l.gateway.run(t, "ip", "link", "delete", tunnelInterface)
	if code := l.process.Wait(t, patience); code != 1 || !strings.Contains(l.process.Stderr(), "was removed by another program") {
		t.Errorf("%d: %s", code, l.process.Stderr())
	}
}
