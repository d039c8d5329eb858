package test

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
	"panteras/tunnel/store"
)

// manyPeers puts peers into the store, and returns the last of them.
func (l *tunnelLab) manyPeers(n int) *peer {
	t := l.t
	t.Helper()
	last := &peer{lab: l}
	backup := &store.Backup{Cluster: tunnel.Cluster{ULA: netip.MustParsePrefix("fd99::/64")}}
	v4, v6 := netip.MustParseAddr("10.99.100.0"), netip.MustParseAddr("fd99::6400")
	for i := range n {
		v4, v6 = v4.Next(), v6.Next()
		private, err := tunnel.NewPrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		last.name, last.private = fmt.Sprintf("peer-%05d", i), private
		last.kept = tunnel.Peer{
			Name: last.name, PublicKey: private.Public(), Addresses: []netip.Addr{v4, v6},
			Created: time.Now().UTC(), Changed: time.Now().UTC(),
		}
		backup.Peers = append(backup.Peers, last.kept)
	}
	if imported, err := l.store.(*store.Store).Import(t.Context(), backup); err != nil || imported != n {
		t.Fatal(imported, err)
	}
	return last
}

// placed waits until the gateway has written down where the client is.
func (l *tunnelLab) placed() {
	l.t.Helper()
	lab.Eventually(l.t, startPatience, "the place of the peer to be saved", func() bool {
		b, _ := os.ReadFile(filepath.Join(l.state, "tunnel", "endpoints.json"))
		return strings.Contains(string(b), clientAddr)
	})
}

// converge takes access away from a peer that is connected, and gives it back. It returns
// how long it took from each change in the store until the peer was not answered any more,
// and was again.
func (p *peer) converge(answers *atomic.Int64) (revoked, granted time.Duration) {
	t := p.lab.t
	t.Helper()
	change := func(disabled bool) time.Time {
		t.Helper()
		if _, err := p.lab.store.Update(t.Context(), p.name, func(p *tunnel.Peer) error { p.Disabled = disabled; return nil }); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	}
	flows(t, answers)
	began := change(true)
	revoked = max(ceases(t, answers, 500*time.Millisecond).Sub(began), 0)
	began = change(false)
	flows(t, answers)
	return revoked, time.Since(began)
}

// resident is the memory of the gateway, in MB.
func (l *tunnelLab) resident() float64 {
	l.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.process.Pid()))
	if err != nil {
		l.t.Fatal(err)
	}
	m := residentSet.FindSubmatch(status)
	if m == nil {
		l.t.Fatalf("no VmRSS in\n%s", status)
	}
	kB, _ := strconv.ParseFloat(string(m[1]), 64)
	return kB / 1000
}

var residentSet = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// With 10,000 peers a gateway that is killed and started again serves within seconds, and a
// change of one of them is in force at once.
func TestTunnelWithManyPeers(t *testing.T) {
	const many = 10_000
	l := newTunnelLab(t)
	peer := l.manyPeers(many)
	l.start()
	l.service.source(t, serviceAddr+":80")
	peer.connect(l.client)
	lab.Eventually(t, startPatience, "the gateway to be reached", func() bool { return l.client.pings(t, tunnelGateway) })
	got := l.client.download(t, serviceAddr+":80")
	// The better of two tries, by the machine's own measure: it may be busy with other tests.
	for try := 1; ; try++ {
		l.placed()
		l.process.Signal(syscall.SIGKILL)
		<-l.process.Done()
		ceases(t, got, 500*time.Millisecond)
		began := time.Now()
		served := l.client.firstEcho(t, tunnelGateway)
		l.start()
		up := time.Since(began)
		var serving time.Duration
		select {
		case at := <-served:
			serving = at.Sub(began)
		case <-time.After(startPatience):
			t.Fatal("the gateway cannot be reached")
		}
		flows(t, got)
		slowdown := lab.Slowdown(t)
		t.Logf("started with %d peers: a known peer is served after %v, all after %v, slowdown %.1f, memory %.0f MB, load average %s", many, serving, up, slowdown, l.resident(), loadAverage(t))
		const bound = 5 * time.Second
		if allowed := time.Duration(float64(bound) * slowdown); max(serving, up) <= allowed {
			break
		} else if try == 2 {
			t.Errorf("a peer that was connected waited for %v and the last one for %v, with %v allowed", serving, up, allowed)
			break
		}
	}
	if got := l.metric(`panteras_tunnel_peers{state="enabled"}`); got != many {
		t.Errorf("%v peers", got)
	}
	if n := strings.Count(l.gateway.run(t, "wg", "show", tunnelInterface, "peers"), "\n"); n != many {
		t.Errorf("the interface has %d peers", n)
	}
	// The best of some tries: the machine may be busy with other tests.
	l.placed()
	answers := l.client.echoes(t, tunnelGateway)
	best := [2]time.Duration{time.Hour, time.Hour}
	for range 5 {
		revoked, granted := peer.converge(answers)
		t.Logf("access ended after %v and began after %v", revoked, granted)
		best = [2]time.Duration{min(best[0], revoked), min(best[1], granted)}
		if max(best[0], best[1]) < time.Second {
			break
		}
	}
	for i, what := range []string{"ended", "began"} {
		if best[i] > time.Second {
			t.Errorf("access %s only %v after the change in the store", what, best[i])
		}
	}
}

// firstEcho pings an address until it answers, or the test is over, and tells when it did.
func (h *host) firstEcho(t testing.TB, address string) <-chan time.Time {
	t.Helper()
	at := make(chan time.Time, 1)
	h.ping(t, address, "0.1", func() bool {
		at <- time.Now()
		return false
	})
	return at
}

// echoes pings an address until the test is over, 50 times a second, and counts the answers.
func (h *host) echoes(t testing.TB, address string) *atomic.Int64 {
	t.Helper()
	var answers atomic.Int64
	h.ping(t, address, "0.02", func() bool {
		answers.Add(1)
		return true
	})
	flows(t, &answers)
	return &answers
}

// ping pings an address every so many seconds until the test is over, or answered, which is
// called at each answer, says that it is enough.
func (h *host) ping(t testing.TB, address, every string, answered func() (more bool)) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ping", "-n", "-i", every, address)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.do(t, func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), "bytes from") && !answered() {
				break
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
}

// BenchmarkTunnelManyPeers tells, with 10,000 peers in either store, how long a gateway
// takes from its start until everybody is served, how long `peer list` takes, how long it
// takes from a change in the store until a connected peer feels it, and what memory the
// gateway has then. How long the stores alone take is a benchmark of tunnel/store.
func BenchmarkTunnelManyPeers(b *testing.B) {
	const many, changes = 10_000, 7
	for _, kind := range []string{"file", "consul"} {
		b.Run(kind, func(b *testing.B) {
			l := newTunnelLab(b)
			list := []string{"peer", "list", "--json", "--state-dir", l.state, "--tunnel-store", kind}
			if kind == "consul" {
				list = append(list, "--consul-http-addr", l.withConsul().HTTPAddr.String())
			}
			last := l.manyPeers(many)
			var load, listing, revoked, granted []float64
			for i := range b.N {
				began := time.Now()
				l.start()
				load = append(load, time.Since(began).Seconds())
				began = time.Now()
				l.gateway.run(b, lab.Built(b, "panteras"), list...)
				listing = append(listing, time.Since(began).Seconds())
				if i == 0 {
					last.connect(l.client, currentWireGuard(b))
				}
				lab.Eventually(b, startPatience, "the gateway to be reached", func() bool { return l.client.pings(b, tunnelGateway) })
				l.placed()
				answers := l.client.echoes(b, tunnelGateway)
				b.Logf("memory after the start: %.0f MB", l.resident())
				for range changes {
					end, begin := last.converge(answers)
					revoked, granted = append(revoked, end.Seconds()), append(granted, begin.Seconds())
				}
				b.ReportMetric(l.resident(), "MB-resident")
				l.stop()
			}
			b.Logf("load average %s; access ended after %.3g s, and began after %.3g s", loadAverage(b), revoked, granted)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(lab.Median(load), "s/load")
			b.ReportMetric(lab.Median(listing), "s/list")
			b.ReportMetric(lab.Median(revoked), "s/revoke")
			b.ReportMetric(lab.Median(granted), "s/grant")
		})
	}
}
