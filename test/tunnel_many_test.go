package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// manyPeers writes a store with peers, and returns the last of them.
func (l *tunnelLab) manyPeers(n int) *peer {
	t := l.t
	t.Helper()
	last := &peer{lab: l}
	type row struct {
		Index uint64 `json:"index"`
		Value any    `json:"value"`
	}
	entries := map[string]row{"cluster": {1, map[string]string{"ula": "fd99::/64"}}}
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
		entries["peers/"+last.name] = row{1, last.kept}
	}
	text, err := json.Marshal(map[string]any{"format": "panteras tunnel store", "version": 1, "index": 1, "entries": entries})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(l.state, "tunnel"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.state, "tunnel", "peers.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return last
}

var residentSet = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// With 10,000 peers a gateway that is killed and started again serves within seconds.
func TestTunnelWithManyPeers(t *testing.T) {
	const many = 10_000
	l := newTunnelLab(t)
	peer := l.manyPeers(many)
	l.start()
	l.service.source(t, serviceAddr+":80")
	peer.connect(l.client)
	lab.Eventually(t, startPatience, "the gateway to be reached", func() bool { return l.client.pings(t, tunnelGateway) })
	got := l.client.download(t, serviceAddr+":80")
	endpoints := filepath.Join(l.state, "tunnel", "endpoints.json")
	lab.Eventually(t, startPatience, "the place of the peer to be saved", func() bool {
		b, _ := os.ReadFile(endpoints)
		return strings.Contains(string(b), clientAddr)
	})
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
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.process.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started with %d peers: a known peer is served after %v, all after %v, memory %s kB", many, serving, up, residentSet.FindSubmatch(status)[1])
	if got := l.metric(`panteras_tunnel_peers{state="enabled"}`); got != many {
		t.Errorf("%v peers", got)
	}
	if n := strings.Count(l.gateway.run(t, "wg", "show", tunnelInterface, "peers"), "\n"); n != many {
		t.Errorf("the interface has %d peers", n)
	}
}

// firstEcho pings an address until it answers, or the test is over, and tells when it did.
func (h *host) firstEcho(t testing.TB, address string) <-chan time.Time {
	t.Helper()
	at := make(chan time.Time, 1)
	cmd := exec.CommandContext(t.Context(), "ping", "-n", "-i", "0.1", address)
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
			if strings.Contains(lines.Text(), "bytes from") {
				at <- time.Now()
				break
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	return at
}

// BenchmarkTunnelManyPeers tells, with 10,000 peers and the file store, how long a gateway
// takes from its start until everybody is served, how long `peer list` takes and how long
// a change in the store takes to the interface, and what memory the gateway has then. How
// long the stores alone take, Consul's too, is a benchmark of tunnel/store.
func BenchmarkTunnelManyPeers(b *testing.B) {
	const many = 10_000
	l := newTunnelLab(b)
	last := l.manyPeers(many)
	var load, list, converge time.Duration
	memory := 0
	for range b.N {
		began := time.Now()
		l.start()
		load += time.Since(began)
		began = time.Now()
		l.gateway.run(b, lab.Built(b, "panteras"), "peer", "list", "--json", "--tunnel-store", "file", "--state-dir", l.state)
		list += time.Since(began)
		_, err := l.store.Update(b.Context(), last.name, func(p *tunnel.Peer) error { p.Disabled = !p.Disabled; return nil })
		began = time.Now()
		if err != nil {
			b.Fatal(err)
		}
		lab.Eventually(b, startPatience, "the change to be on the interface", func() bool {
			n := strings.Count(l.gateway.run(b, "wg", "show", tunnelInterface, "peers"), "\n")
			return n == many-1
		})
		converge += time.Since(began)
		if _, err := l.store.Update(b.Context(), last.name, func(p *tunnel.Peer) error { p.Disabled = false; return nil }); err != nil {
			b.Fatal(err)
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.process.Pid()))
		if err != nil {
			b.Fatal(err)
		}
		if m := residentSet.FindSubmatch(status); m != nil {
			memory, _ = strconv.Atoi(string(m[1]))
		}
		l.stop()
	}
	n := float64(b.N)
	b.ReportMetric(load.Seconds()/n, "s/load")
	b.ReportMetric(list.Seconds()/n, "s/list")
	b.ReportMetric(converge.Seconds()/n, "s/converge")
	b.ReportMetric(float64(memory)/1000, "MB-resident")
}
