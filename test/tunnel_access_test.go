package test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// echoes says whether a connection carries something there and back.
func echoes(c net.Conn, patience time.Duration) bool {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("ping")); err != nil {
		return false
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err == nil
}

// reaches says whether a host gets an echo over TCP.
func (h *host) reaches(t testing.TB, address string) bool {
	t.Helper()
	c, err := h.dial(t, "tcp", address, net.Dialer{Timeout: 2 * time.Second})
	return err == nil && echoes(c, 2*time.Second)
}

// pings says whether a host gets an echo over ICMP, within a second.
func (h *host) pings(t testing.TB, address string) bool {
	t.Helper()
	_, err := h.try(t, nil, "ping", "-c1", "-W1", address)
	return err == nil
}

// wideRoutes hold peers and a metadata service as well: that nobody reaches those is not for
// lack of a route.
const wideRoutes = "10.0.0.0/8,128.0.0.0/1,fd00::/8"

// A peer reaches what it may and nothing else, and is told so at once.
func TestTunnelLetsThroughWhatIsAllowed(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	l.start("--tunnel-routes", wideRoutes)
	for _, a := range []string{serviceAddr + ":80", serviceAddr + ":81", "[" + serviceAddr6 + "]:80"} {
		l.service.echo(t, a)
	}
	// The metadata service of a cloud is reached over the default route.
	l.service.address(t, "eth0", "169.254.169.254/32")
	l.service.echo(t, "169.254.169.254:80")
	l.gateway.route(t, "0.0.0.0/0", serviceAddr)
	if !l.gateway.reaches(t, "169.254.169.254:80") {
		t.Fatal("the gateway itself does not reach the metadata service")
	}
	l.gateway.echo(t, gatewayInner+":80")
	l.gateway.echo(t, tunnelGateway+":22")
	full := l.add("full", nil)
	full.connect(l.client)
	lab.Eventually(t, patience, "the service to be reached", func() bool { return l.client.reaches(t, serviceAddr+":80") })
	if !l.client.reaches(t, "["+serviceAddr6+"]:80") {
		t.Error("no IPv6")
	}
	if !l.client.pings(t, serviceAddr) || !l.client.pings(t, tunnelGateway) || !l.client.pings(t, "fd99::1") {
		t.Error("no ping")
	}
	for address, what := range map[string]string{
		tunnelGateway + ":22": "a port of the gateway at its tunnel address",
		gatewayInner + ":80":  "a port of the gateway at another address",
		"169.254.169.254:80":  "the metadata service",
		"10.99.77.77:80":      "another peer's address",
		"[fd99::77]:80":       "another peer's address",
		"10.99.0.1:9154":      "the gateway's metrics",
	} {
		err := l.client.refusal(t, "tcp", address)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s (%s) is not refused at once: %v", what, address, err)
		}
	}
	for address, what := range map[string]string{
		tunnelGateway + ":5353": "a port of the gateway",
		"10.99.77.77:80":        "another peer's address",
	} {
		if err := l.client.refusal(t, "udp", address); !errors.Is(err, syscall.EHOSTUNREACH) { // for: communication administratively prohibited, see icmp(7)
			t.Errorf("UDP to %s (%s) is not refused at once: %v", what, address, err)
		}
	}
	// Who is allowed one port has that one.
	if _, err := l.store.Update(context.Background(), "full", func(p *tunnel.Peer) error {
		p.Allow = rules(t, serviceAddr+"/32:tcp/81")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "port 80 to be refused", func() bool {
		_, err := l.client.dial(t, "tcp", serviceAddr+":80", net.Dialer{Timeout: 2 * time.Second})
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if !l.client.reaches(t, serviceAddr+":81") {
		t.Error("port 81 is not reached")
	}
	if l.client.pings(t, serviceAddr) {
		t.Error("a port is no ping")
	}
	if err := l.client.refusal(t, "udp", serviceAddr+":81"); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("UDP to a port that is open for TCP is not refused at once: %v", err)
	}
	// Who asks too often is not answered any more, and what is allowed goes on.
	const burst, each = 40, 20 // of rejects, and then so many a second
	began, refused, silent := time.Now(), 0, 0
	for range 3 * burst {
		timeout := net.Error(nil)
		switch _, err := l.client.dial(t, "tcp", serviceAddr+":80", net.Dialer{Timeout: 20 * time.Millisecond}); {
		case errors.Is(err, syscall.ECONNREFUSED):
			refused++
		case errors.As(err, &timeout) && timeout.Timeout():
			silent++
		default:
			t.Fatalf("neither refused nor dropped: %v", err)
		}
	}
	if most := burst + int(time.Since(began).Seconds()*each) + 1; refused > most || refused == 0 || silent == 0 {
		t.Errorf("%d were refused (at most %d may be), and %d dropped in silence", refused, most, silent)
	}
	if got := l.metric(`panteras_tunnel_refused_packets_total{reason="silenced"}`); got < float64(silent)/2 {
		t.Errorf("%v counted as dropped in silence, which %d were", got, silent)
	}
	if !l.client.reaches(t, serviceAddr+":81") {
		t.Error("port 81 is not reached")
	}
}

// refusal is what a host is told within half a second that sends something to an address
// where it may not. It tries again for a while where it is told nothing: the kernel bounds
// ICMP errors, also for all hosts of the machine together.
func (h *host) refusal(t testing.TB, network, address string) (err error) {
	t.Helper()
	const soon = 500 * time.Millisecond
	for began := time.Now(); time.Since(began) < patience; {
		told := time.Now().Add(soon)
		var c net.Conn
		if c, err = h.dial(t, network, address, net.Dialer{Timeout: soon}); err == nil {
			_ = c.SetDeadline(told)
			if _, err = c.Write([]byte("hello")); err == nil {
				_, err = c.Read(make([]byte, 5))
			}
		}
		if timeout := net.Error(nil); err == nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			return err
		}
	}
	return err
}

// The ports of the gateway that are open, as HAProxy's are, are so for those who may reach
// its address.
func TestTunnelOpensPortsOfItsHost(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	l.start("--tunnel-host-ports", "80,6000")
	for _, port := range []string{"80", "81", "6000"} {
		l.gateway.echo(t, gatewayInner+":"+port)
	}
	l.gateway.echo(t, tunnelGateway+":80")
	refused := func(address string) bool {
		_, err := l.client.dial(t, "tcp", address, net.Dialer{Timeout: 2 * time.Second})
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	l.add("full", nil).connect(l.client)
	for _, port := range []string{"80", "6000"} {
		lab.Eventually(t, patience, "port "+port+" of the gateway to be reached", func() bool { return l.client.reaches(t, gatewayInner+":"+port) })
	}
	for address, what := range map[string]string{
		gatewayInner + ":81":  "a port that is not open",
		tunnelGateway + ":80": "an address outside TUNNEL_ROUTES",
	} {
		if !refused(address) {
			t.Errorf("%s (%s) is not refused", address, what)
		}
	}
	if _, err := l.store.Update(context.Background(), "full", func(p *tunnel.Peer) error {
		p.Allow = rules(t, gatewayInner+"/32:tcp/6000")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "port 80 to be refused", func() bool { return refused(gatewayInner + ":80") })
	if !l.client.reaches(t, gatewayInner+":6000") {
		t.Error("port 6000 is not reached")
	}
}

// Nothing is left of a gateway that has ended, and what it changed is as it was.
func TestTunnelLeavesNothing(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	look := func() string {
		var out strings.Builder
		for _, args := range [][]string{{"ip", "-o", "link"}, {"ip", "-o", "address"}, {"ip", "route", "show", "table", "all"}, {"nft", "list", "ruleset"}} {
			out.WriteString(l.gateway.run(t, args[0], args[1:]...))
		}
		for _, p := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
			out.WriteString(l.gateway.run(t, "sysctl", p))
		}
		l.gateway.do(t, func() {
			for _, dir := range []string{"/run", "/run/wireguard", "/run/panteras"} {
				list, _ := os.ReadDir(dir)
				for _, e := range list {
					if !e.IsDir() {
						out.WriteString(dir + "/" + e.Name() + "\n")
					}
				}
			}
		})
		return out.String()
	}
	before := look()
	l.add("alice", nil)
	for range 2 {
		l.start()
		during := look()
		for _, want := range []string{tunnelInterface + ":", "10.99.0.1/16", "fd99::1/64", "table inet panteras", "ip_forward = 1", "/run/wireguard/" + tunnelInterface + ".sock"} {
			if !strings.Contains(during, want) {
				t.Errorf("%q lacks:\n%s", want, during)
			}
		}
		if show := l.gateway.run(t, "wg", "show", tunnelInterface); !strings.Contains(show, "10.99.") || !strings.Contains(show, "listening port: 51820") {
			t.Errorf("wg show says\n%s", show)
		}
		l.stop()
		if after := look(); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	}
}
