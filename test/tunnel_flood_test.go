package test

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// receive counts what comes to a UDP port of the host.
func (h *host) receive(t testing.TB, address string) *atomic.Int64 {
	t.Helper()
	c := h.packets(t, address)
	var got atomic.Int64
	go func() {
		buf := make([]byte, 2048)
		for {
			if _, _, err := c.ReadFrom(buf); err != nil {
				return
			}
			got.Add(1)
		}
	}()
	return &got
}

// flood sends datagrams to an address until the test is over, several per millisecond, and
// counts those that were sent.
func (h *host) flood(t testing.TB, address string, each int) *atomic.Int64 {
	t.Helper()
	c, err := h.dial(t, "udp", address, net.Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			for range each {
				if _, err := c.Write(make([]byte, 64)); err == nil { // a reject makes one fail
					sent.Add(1)
				}
			}
		}
	}()
	return &sent
}

// Not one forbidden packet gets through while the gateway is killed and comes back, nor
// while its whole table is replaced: the rules are there before and after, and never not.
// What is allowed goes on, which shows that packets came the whole way.
func TestTunnelLeaksNothing(t *testing.T) {
	l := newTunnelLab(t)
	l.standalone() // an interface that outlives the gateway, as one of the kernel's does
	dir := t.TempDir()
	settings := func(nat string) {
		put(t, filepath.Join(dir, "host"), "TUNNEL_NAT="+nat+"\n")
	}
	settings("true")
	l.service.route(t, "10.99.0.0/16", gatewayInner) // for when there is no NAT
	// The client's own rules do not matter, the gateway lets pass by default.
	if !strings.Contains(l.gateway.run(t, "sysctl", "net.ipv4.ip_forward"), "= 0") {
		t.Fatal("the gateway forwards already")
	}
	l.start("--restricted", dir)
	always := []string{serviceAddr + "/32:udp/8888", serviceAddr6 + "/128:udp/8888"}
	l.add("alice", func(p *tunnel.Peer) { p.Allow = rules(t, always...) }).connect(l.client)
	allowed, forbidden := l.service.receive(t, serviceAddr+":8888"), l.service.receive(t, serviceAddr+":9999")
	allowedSent := l.client.flood(t, serviceAddr+":8888", 2)
	forbiddenSent := l.client.flood(t, serviceAddr+":9999", 10)
	atGateway := l.gateway.receive(t, gatewayInner+":9999")
	l.client.flood(t, gatewayInner+":9999", 2)
	allowed6, forbidden6 := l.service.receive(t, "["+serviceAddr6+"]:8888"), l.service.receive(t, "["+serviceAddr6+"]:9999")
	l.client.flood(t, "["+serviceAddr6+"]:8888", 1)
	forbiddenSent6 := l.client.flood(t, "["+serviceAddr6+"]:9999", 3)
	toggled := l.service.receive(t, serviceAddr+":7777")
	l.client.flood(t, serviceAddr+":7777", 2)
	allow := func(more ...string) {
		t.Helper()
		if _, err := l.store.Update(t.Context(), "alice", func(p *tunnel.Peer) error {
			p.Allow = rules(t, slices.Concat(more, always)...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	flows(t, allowed)
	tables := func() int {
		return strings.Count(l.gateway.run(t, "nft", "list", "tables"), "panteras")
	}
	for i := range 6 {
		switch {
		case i%2 == 0:
			l.process.Signal(syscall.SIGKILL)
			<-l.process.Done()
			if tables() != 1 {
				t.Fatal("the rules went with the gateway")
			}
			flows(t, allowed)
			l.start("--restricted", dir)
		default:
			reloaded := strings.Count(l.process.Stderr(), "settings reloaded")
			for range 3 {
				// What was allowed for a while is not after it, whatever becomes of the table.
				allow(serviceAddr + "/32:udp/7777")
				flows(t, toggled)
				allow()
				ceases(t, toggled, 200*time.Millisecond)
				before := toggled.Load()
				settings([]string{"false", "true"}[i/2%2])
				l.process.Signal(syscall.SIGHUP)
				reloaded++
				lab.Eventually(t, patience, "the settings to be reloaded", func() bool {
					return strings.Count(l.process.Stderr(), "settings reloaded") >= reloaded
				})
				flows(t, allowed)
				if n := toggled.Load() - before; n != 0 {
					t.Errorf("%d packets got through that were allowed before", n)
				}
			}
		}
		flows(t, allowed)
		flows(t, allowed6)
		t.Logf("phase %d: allowed %d of %d; forbidden sent %d", i, allowed.Load(), allowedSent.Load(), forbiddenSent.Load())
	}
	flows(t, forbiddenSent)
	flows(t, forbiddenSent6)
	lab.Eventually(t, patience, "the gateway to have seen the flood", func() bool {
		return l.metric(`panteras_tunnel_refused_packets_total{reason="policy"}`) > 0
	})
	t.Logf("allowed: %d sent, %d arrived; forbidden: %d sent, %d arrived", allowedSent.Load(), allowed.Load(), forbiddenSent.Load(), forbidden.Load())
	if there, here := forbidden.Load(), atGateway.Load(); there+here != 0 {
		t.Errorf("%d of %d forbidden packets got through, and %d to the gateway", there, forbiddenSent.Load(), here)
	}
	if n := forbidden6.Load(); n != 0 {
		t.Errorf("over IPv6 %d of %d forbidden packets got through", n, forbiddenSent6.Load())
	}
	// Nor where another program has just given the interface a name that the rules do not know;
	// the gateway would notice, but is dead.
	l.process.Signal(syscall.SIGKILL)
	<-l.process.Done()
	l.gateway.run(t, "ip", "link", "set", tunnelInterface, "name", "astray") // while up: Linux 6.2
	ceases(t, allowed, 200*time.Millisecond)
	forged := l.gateway.counter(t, "astray", `iifname "astray"`)
	lab.Eventually(t, patience, "packets from the interface with another name", func() bool { return forged() > 1000 })
	if there, here := forbidden.Load()+forbidden6.Load(), atGateway.Load(); there+here != 0 {
		t.Errorf("%d packets got through while the interface had another name, and %d to the gateway", there, here)
	}
	// The positive control: with the table gone the same packets do arrive.
	l.gateway.run(t, "nft", "delete", "table", "inet", "panteras")
	flows(t, forbidden)
	flows(t, atGateway)
	flows(t, forbidden6)
}

// What somebody takes away is put back, and what stands in the way is told.
func TestTunnelMendsWhatOthersBreak(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	l.gateway.run(t, "nft", `table inet theirs {
		chain fw { type filter hook forward priority 10; policy drop; }
	}`)
	l.start()
	l.service.echo(t, serviceAddr+":80")
	l.add("alice", nil).connect(l.client)
	lab.Eventually(t, patience, "a warning with the command that helps", func() bool {
		return strings.Contains(l.process.Stderr(), "nft insert rule inet theirs fw iifname "+tunnelInterface+" accept")
	})
	if l.client.reaches(t, serviceAddr+":80") {
		t.Fatal("the other table does not drop")
	}
	for _, rule := range [][]string{{"iifname", tunnelInterface, "accept"}, {"oifname", tunnelInterface, "ct", "state", "established,related", "accept"}} {
		l.gateway.run(t, "nft", slices.Concat([]string{"insert", "rule", "inet", "theirs", "fw"}, rule)...)
	}
	works := func() bool { return l.client.reaches(t, serviceAddr+":80") }
	lab.Eventually(t, patience, "the advice to help", works)
	l.gateway.run(t, "nft", "delete", "table", "inet", "panteras")
	lab.Eventually(t, patience, "the table to be back", func() bool { return strings.Contains(l.gateway.run(t, "nft", "list", "tables"), "panteras") })
	lab.Eventually(t, patience, "the peer to reach the service", works)
	// A table that is still there and lets everything pass is none: soon it is whole again.
	l.service.echo(t, serviceAddr+":81")
	if _, err := l.store.Update(t.Context(), "alice", func(p *tunnel.Peer) error {
		p.Allow = rules(t, serviceAddr+"/32:tcp/80")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	open := func() bool { return l.client.reaches(t, serviceAddr+":81") }
	whole := func() (rules string) {
		for _, chain := range []string{"input", "forward", "from_peer", "to_peer"} {
			out, _ := l.gateway.try(t, nil, "nft", "list", "chain", "inet", "panteras", chain)
			rules += out
		}
		return rules
	}
	lab.Eventually(t, patience, "port 81 to be refused", func() bool { return !open() })
	want := whole()
	for _, damage := range []string{"flush table inet panteras", "flush chain inet panteras from_peer", "insert rule inet panteras forward accept"} {
		best := time.Hour
		for try := 0; try < 3 && best > 1500*time.Millisecond; try++ {
			l.gateway.run(t, "nft", damage)
			began := time.Now()
			lab.Eventually(t, patience, "the table to be as it was after "+damage, func() bool { return whole() == want })
			best = min(best, time.Since(began))
		}
		if best > 1500*time.Millisecond {
			t.Errorf("%s: mended only after %v", damage, best)
		}
		if open() {
			t.Errorf("%s: port 81 is open", damage)
		}
	}
	if !strings.Contains(l.process.Stderr(), "another program has removed or changed the tunnel's rules") {
		t.Error("the log does not tell")
	}
	l.gateway.run(t, "sysctl", "-qw", "net.ipv4.ip_forward=0")
	lab.Eventually(t, patience, "the peer to reach the service", works)
	l.gateway.run(t, "ip", "address", "flush", "dev", tunnelInterface)
	lab.Eventually(t, patience, "the peer to reach the service", works)
	l.gateway.run(t, "wg", "set", tunnelInterface, "peer", strings.TrimSpace(l.gateway.run(t, "wg", "show", tunnelInterface, "peers")), "remove")
	lab.Eventually(t, 30*time.Second, "the peer to be back", func() bool { return l.gateway.run(t, "wg", "show", tunnelInterface, "peers") != "" })

	// Another gateway does not get far, whatever its interface, and breaks nothing.
	l.gateway.do(t, func() {
		other := lab.Panteras(t, lab.PanterasOptions{Args: slices.Concat(l.args, []string{"--state-dir", t.TempDir(), "--tunnel-metrics-listen", "off", "--tunnel-interface", "wg-other", "--tunnel-port", "51821"}), Env: []string{"HOSTNAME=gw2"}})
		if code := other.Wait(t, patience); code != 1 || !strings.Contains(other.Stderr(), "another panteras gateway") {
			t.Errorf("%d: %s", code, other.Stderr())
		}
	})
	if !strings.Contains(l.gateway.run(t, "nft", "list", "tables"), "panteras") {
		t.Error("the other gateway took the rules away")
	}
	// Without its interface a gateway ends, and says why.
	l.gateway.run(t, "ip", "link", "delete", tunnelInterface)
	if code := l.process.Wait(t, patience); code != 1 || !strings.Contains(l.process.Stderr(), "was removed by another program") {
		t.Errorf("%d: %s", code, l.process.Stderr())
	}
	if tables := l.gateway.run(t, "nft", "list", "tables"); strings.Contains(tables, "panteras") {
		t.Errorf("left: %s", tables)
	}
}
