package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"

	"golang.org/x/sys/unix"
)

// A gateway that is killed and started again calls on those who were connected: they do not
// have to find out by themselves, which takes WireGuard 15 s.
func TestTunnelComesBackAfterAKill(t *testing.T) {
	l := newTunnelLab(t)
	l.start()
	l.service.source(t, serviceAddr+":80")
	l.add("alice", nil).connect(l.client)
	got := l.client.download(t, serviceAddr+":80")
	endpoints := filepath.Join(l.state, "tunnel", "endpoints.json")
	lab.Eventually(t, 30*time.Second, "the place of the peer to be saved", func() bool {
		b, _ := os.ReadFile(endpoints)
		return strings.Contains(string(b), clientAddr)
	})
	l.process.Signal(syscall.SIGKILL)
	<-l.process.Done()
	ceases(t, got, 500*time.Millisecond)
	began := time.Now()
	l.start()
	flows(t, got)
	t.Logf("the same connection goes on %v after the start", time.Since(began))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the peer was away for %v", took)
	}
}

// What the gateway knows of its peers is served to those who may know.
func TestTunnelStatus(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	l.start()
	l.service.echo(t, serviceAddr+":80")
	alice, bob := l.add("alice", nil), l.add("bob", nil)
	alice.connect(l.client)
	lab.Eventually(t, patience, "the service to be reached", func() bool { return l.client.reaches(t, serviceAddr+":80") })
	socket := tunnel.StatusSocket("/run/panteras", l.state)
	l.gateway.do(t, func() {
		if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	})
	ask := func() (s tunnel.Status) {
		c, err := l.gateway.dial(t, "unix", socket, net.Dialer{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		text, err := io.ReadAll(c)
		if err == nil {
			err = json.Unmarshal(text, &s)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := ask()
	if s.Gateway != "gw" || s.Datapath != "userspace" && s.Datapath != "kernel" || len(s.Peers) != 2 {
		t.Fatalf("%+v", s)
	}
	for _, p := range s.Peers {
		switch p.PublicKey {
		case alice.kept.PublicKey:
			if time.Since(p.LastHandshake) > time.Minute || p.RxBytes == 0 || p.TxBytes == 0 || p.Endpoint.Addr() != netip.MustParseAddr(clientAddr) {
				t.Errorf("alice: %+v", p)
			}
		case bob.kept.PublicKey:
			if !p.LastHandshake.IsZero() || p.RxBytes != 0 || p.Endpoint.IsValid() {
				t.Errorf("bob: %+v", p)
			}
		default:
			t.Errorf("who is %s?", p.PublicKey)
		}
	}
	for name, want := range map[string]float64{
		`panteras_tunnel_peers{state="enabled"}`:                         2,
		`panteras_tunnel_peers{state="disabled"}`:                        0,
		`panteras_tunnel_store_up`:                                       1,
		`panteras_tunnel_info{datapath="` + s.Datapath + `",mtu="1420"}`: 1,
		`panteras_tunnel_bytes_total{direction="received",peer="bob"}`:   0,
		`panteras_tunnel_reconcile_failures_total`:                       0,
	} {
		if got := l.metric(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if got := l.metric(`panteras_tunnel_bytes_total{direction="received",peer="alice"}`); got < 1 {
		t.Errorf("bytes of alice: %v", got)
	}
	if got := time.Unix(int64(l.metric(`panteras_tunnel_last_handshake_seconds{peer="alice"}`)), 0); time.Since(got) > time.Minute {
		t.Errorf("alice's last handshake: %v", got)
	}
	if got := l.metric(`panteras_tunnel_last_handshake_seconds{peer="bob"}`); got != -1 {
		t.Errorf("bob's last handshake: %v", got)
	}
	// Two peers came, one after the other.
	if got := l.metric("panteras_tunnel_reconcile_lag_seconds_count"); got < 1 {
		t.Errorf("changes that came into force: %v", got)
	}
	lab.Eventually(t, patience, "alice to count as connected", func() bool { return l.metric(`panteras_tunnel_peers{state="connected"}`) == 1 })
}

// The service sees the gateway's address, or the peer's where there is no NAT.
func TestTunnelAddressAtTheService(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	l.service.route(t, "10.99.0.0/16", gatewayInner)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "host"), "TUNNEL_NAT=true\n")
	l.start("--restricted", dir)
	l.service.serve(t, serviceAddr+":80", func(c net.Conn) { _, _ = io.WriteString(c, c.RemoteAddr().String()) })
	alice := l.add("alice", nil)
	alice.connect(l.client)
	seen := func() string {
		// A try that is lost must leave time for another one.
		c, err := l.client.dial(t, "tcp", serviceAddr+":80", net.Dialer{Timeout: 2 * time.Second})
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		text, _ := io.ReadAll(c)
		host, _, _ := net.SplitHostPort(string(text))
		return host
	}
	lab.Eventually(t, patience, "the service to see the gateway", func() bool { return seen() == gatewayInner })
	put(t, filepath.Join(dir, "host"), "TUNNEL_NAT=false\n")
	l.process.Signal(syscall.SIGHUP)
	lab.Eventually(t, patience, "the settings to be reloaded", func() bool { return strings.Contains(l.process.Stderr(), "settings reloaded") })
	lab.Eventually(t, patience, "the service to see the peer", func() bool { return seen() == alice.v4() })
	// What cannot be changed is refused, and everything goes on.
	put(t, filepath.Join(dir, "host"), "TUNNEL_NAT=false\nTUNNEL_INTERFACE=wg-other\n")
	l.process.Signal(syscall.SIGHUP)
	lab.Eventually(t, patience, "the change to be refused", func() bool { return strings.Contains(l.process.Stderr(), "TUNNEL_INTERFACE cannot change") })
	if got := seen(); got != alice.v4() {
		t.Errorf("the service sees %s", got)
	}
}

// A smaller MTU under the tunnel is followed at once, and transfers go on although the
// client's own tunnel is as large as before: TCP is told on its way.
func TestTunnelFollowsTheMTU(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	l.start()
	const size = 8 << 20
	var atService atomic.Int64
	l.service.serve(t, serviceAddr+":80", func(c net.Conn) {
		atService.Store(int64(segment(c)))
		_, _ = c.Write(make([]byte, size))
	})
	up := l.service.sink(t, serviceAddr+":81")
	l.add("alice", nil).connect(l.client, currentWireGuard(t))
	transfer := func(most int) error {
		c, err := l.client.dial(t, "tcp", serviceAddr+":80", net.Dialer{})
		if err != nil {
			return err
		}
		defer func() {
			if here, there := segment(c), int(atService.Load()); here > most || there > most || here < 1000 || there < 1000 {
				t.Errorf("segments of %d and %d bytes, not of %d at most", here, there, most)
			}
		}()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if n, err := io.Copy(io.Discard, c); err != nil || n != size {
			return fmt.Errorf("got %d of %d: %w", n, size, err)
		}
		d, err := l.client.dial(t, "tcp", serviceAddr+":81", net.Dialer{})
		if err != nil {
			return err
		}
		before := up.Load()
		_ = d.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := d.Write(make([]byte, size)); err != nil {
			return fmt.Errorf("sent %d of %d: %w", up.Load()-before, size, err)
		}
		lab.Eventually(t, 20*time.Second, "what was sent to arrive", func() bool { return up.Load() >= before+size })
		return nil
	}
	lab.Eventually(t, patience, "the gateway to be reached", func() bool { return l.client.pings(t, tunnelGateway) })
	if err := transfer(1380); err != nil {
		t.Fatal(err)
	}
	l.gateway.mtu(t, "wan", 1400)
	l.client.mtu(t, "eth0", 1400)
	lab.Eventually(t, patience, "the tunnel to follow", func() bool {
		return strings.Contains(l.gateway.run(t, "ip", "link", "show", tunnelInterface), "mtu 1320 ")
	})
	if err := transfer(1280); err != nil {
		t.Errorf("over 1400: %v", err)
	}
}

// segment is the size of what a TCP connection sends at once.
func segment(c net.Conn) (size int) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { size, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) })
	return size
}
