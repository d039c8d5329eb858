package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
	"panteras/tunnel/store"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

// plug connects a host to a bridge of another one, which stands for a switch.
func (h *host) plug(t testing.TB, link, address string, into *host, bridge string) {
	t.Helper()
	into.do(t, func() {
		sw, err := netlink.LinkByName(bridge)
		if err != nil {
			sw = &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge}}
			err = netlink.LinkAdd(sw)
		}
		port := bridge + "-" + strings.ReplaceAll(address[strings.LastIndex(address, ".")+1:], "/24", "")
		wire := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: port, MasterIndex: sw.Attrs().Index}, PeerName: link, PeerNamespace: netlink.NsFd(int(h.net.Fd()))}
		if err == nil {
			err = netlink.LinkAdd(wire)
		}
		if err != nil {
			t.Fatalf("cannot connect a host to %s: %v", bridge, err)
		}
		linkUp(t, bridge)
		linkUp(t, port)
	})
	h.do(t, func() {
		l, err := netlink.LinkByName(link)
		if err == nil {
			err = netlink.LinkSetIP6AddrGenMode(l, nl.IN6_ADDR_GEN_MODE_NONE)
		}
		if err != nil {
			t.Fatal(err)
		}
		linkUp(t, link)
		addAddress(t, link, address)
	})
}

// unplug takes a host off everything, as a power cut does.
func (h *host) unplug(t testing.TB, links ...string) {
	t.Helper()
	h.do(t, func() {
		for _, name := range links {
			link, err := netlink.LinkByName(name)
			if err == nil {
				err = netlink.LinkSetDown(link)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// twin is one of two gateways that are one to clients.
type twin struct {
	*host
	name, outer string
	gateway     *lab.Process
	keepalived  *lab.Process
}

// keepalivedFile writes the file that `panteras up` would give keepalived on this host.
func (w *twin) keepalivedFile(t testing.TB, vip string, peers ...string) (path string) {
	t.Helper()
	out, err := w.try(
		t, []string{
			"IP=" + w.outer, "HOSTNAME=" + w.name, "KEEPALIVED_VIP=" + vip, "KEEPALIVED_PEERS=" + strings.Join(peers, ","),
			"CONSUL_HOSTS=" + serviceAddr, "SLAVE=true", "MASTER=false",
		}, filepath.Join(lab.Root(t), "bin", "panteras"), "plan", "--json", "--log-level", "error",
	)
	var plan struct {
		Daemons []struct {
			Name  string `json:"name"`
			Files []struct {
				Content string `json:"content"`
			} `json:"files"`
		} `json:"daemons"`
	}
	if jsonErr := json.Unmarshal([]byte(out), &plan); jsonErr != nil {
		t.Fatalf("panteras plan: %v, %v\n%s", err, jsonErr, out)
	}
	for _, d := range plan.Daemons {
		if d.Name == "keepalived" && len(d.Files) == 1 {
			// keepalived looks for a file of HAProxy's launcher; without the folder it says so.
			w.do(t, func() {
				if err := os.MkdirAll("/run/panteras/keepalived", 0o700); err != nil {
					t.Fatal(err)
				}
			})
			path = filepath.Join(t.TempDir(), "keepalived.conf")
			if err := os.WriteFile(path, []byte(d.Files[0].Content), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
	}
	t.Fatalf("the plan has no file for keepalived:\n%s", out)
	return ""
}

// follow disables or enables alice, and returns how long it takes until both twins do so.
func follow(t testing.TB, kept *store.Store, twins []*twin, disabled bool) time.Duration {
	t.Helper()
	if _, err := kept.Update(t.Context(), "alice", func(p *tunnel.Peer) error { p.Disabled = disabled; return nil }); err != nil {
		t.Fatal(err)
	}
	return followed(t, twins, disabled)
}

// followed returns how long it takes until nobody is at the interface of either twin, or
// somebody is.
func followed(t testing.TB, twins []*twin, nobody bool) time.Duration {
	t.Helper()
	began := time.Now()
	for _, w := range twins {
		lab.Eventually(t, patience, w.name+" to follow", func() bool {
			return (w.run(t, "wg", "show", tunnelInterface, "peers") == "") == nobody
		})
	}
	return time.Since(began)
}

// addMany adds 200 peers through two gateways, on both hosts at once, by a command for each.
// No two of them get the same address.
func addMany(t testing.TB, kept *store.Store, consulAt string, twins []*twin) {
	t.Helper()
	const each = 100
	before, err := kept.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var all []*exec.Cmd
	for _, w := range twins {
		dir := t.TempDir()
		add := strings.Join([]string{
			filepath.Join(lab.Root(t), "bin", "panteras"), "peer", "add", w.name + "-{}", "--gateway", w.name, "--output", filepath.Join(dir, "{}.conf"),
			"--state-dir", dir, "--log-dir", dir, "--consul-http-addr", consulAt,
		}, " ")
		cmd := exec.Command("sh", "-c", fmt.Sprintf("seq %d | xargs -P 16 -I{} %s", each, add))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		w.do(t, func() { err = cmd.Start() })
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %s", err, cmd.Stdout)
		}
	}
	t.Logf("%d peers were added in %v", len(all)*each, time.Since(began))
	after, err := kept.Read(t.Context())
	if err != nil || len(after.Peers) != len(before.Peers)+len(all)*each {
		t.Fatalf("%d peers, before %d; %v", len(after.Peers), len(before.Peers), err)
	}
	owners := map[netip.Addr]string{}
	for _, p := range after.Peers {
		for _, a := range p.Addresses {
			if owners[a] != "" {
				t.Errorf("%s and %s have the address %s", owners[a], p.Name, a)
			}
			owners[a] = p.Name
		}
	}
	for _, w := range twins {
		lab.Eventually(t, patience, w.name+" to have all of them", func() bool {
			return strings.Count(w.run(t, "wg", "show", tunnelInterface, "peers"), "\n") == len(after.Peers)
		})
	}
}

// holds says whether the host has an address.
func (w *twin) holds(t testing.TB, address string) bool {
	t.Helper()
	return strings.Contains(w.run(t, "ip", "-o", "address", "show", "dev", "wan"), " "+address+"/")
}

// Two gateways with one key behind a floating address are one to a client: the host that
// holds the address is lost, and the client, whose file nobody touches, is back by itself.
func TestTunnelTwinsStandInForEachOther(t *testing.T) {
	t.Parallel()
	const vip, back = "10.200.0.100", 12 * time.Second
	wires, client, service := bareHost(t), bareHost(t), bareHost(t)
	client.plug(t, "eth0", clientAddr+"/24", wires, "outer")
	service.plug(t, "eth0", serviceAddr+"/24", wires, "inner")
	service.echo(t, serviceAddr+":80")
	var node *lab.ConsulNode
	service.do(t, func() {
		node = lab.Consul(t, lab.ConsulOptions{Dial: service.DialContext, Extra: map[string]any{"client_addr": "0.0.0.0"}})
	})
	consulAt := net.JoinHostPort(serviceAddr, portOf(node.HTTPAddr.String()))
	kept := store.NewConsul(node.API, node.HTTPAddr.String())

	twins := []*twin{{name: "gw1", outer: "10.200.0.11"}, {name: "gw2", outer: "10.200.0.12"}}
	key, first := []byte(nil), ""
	for i, w := range twins {
		w.host = bareHost(t)
		w.plug(t, "wan", w.outer+"/24", wires, "outer")
		w.plug(t, "lan", []string{"10.210.0.11/24", "10.210.0.12/24"}[i], wires, "inner")
		state := t.TempDir()
		if i == 0 {
			first = state
		} else { // what docs/gateway.md says: copy the key
			keyFile := tunnel.NewFolder(state).File("gateway.key")
			if err := os.MkdirAll(filepath.Dir(keyFile), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(keyFile, key, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.do(t, func() {
			w.gateway = lab.Panteras(t, lab.PanterasOptions{
				Args: []string{
					"gateway", "--tunnel-endpoint", vip + ":51820", "--ip", w.outer, "--consul-http-addr", consulAt, "--state-dir", state,
					"--tunnel-routes", "10.210.0.0/24", "--tunnel-metrics-listen", "off",
				},
				ReadyLine: tunnelUp, Timeout: startPatience, Env: []string{"HOSTNAME=" + w.name, "KEEPALIVED_VIP=" + vip},
			})
		})
		if i == 0 {
			var err error
			if key, err = os.ReadFile(tunnel.NewFolder(state).File("gateway.key")); err != nil {
				t.Fatal(err)
			}
		}
		file := w.keepalivedFile(t, vip, twins[0].outer, twins[1].outer)
		w.do(t, func() {
			w.keepalived = lab.Program(t, "/usr/sbin/keepalived", lab.PanterasOptions{
				Args: []string{"-n", "-l", "-D", "-P", "-G", "-f", file, "-p", "/run/keepalived.pid", "-r", "/run/vrrp.pid"},
				Env:  []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
			})
		})
	}
	holder := func() (at int) {
		holding := slices.IndexFunc(twins, func(w *twin) bool { return w.holds(t, vip) })
		for i, w := range twins {
			if i != holding && w.holds(t, vip) {
				return -1 // both, for the moment
			}
		}
		return holding
	}
	lab.Eventually(t, time.Minute, "one twin to hold the address", func() bool { return holder() >= 0 })
	active := twins[holder()]

	// Both are published, and one file is for either: nobody has to be named.
	lab.Eventually(t, patience, "both to be published", func() bool {
		s, err := kept.Read(t.Context())
		return err == nil && len(s.Gateways) == 2 && s.Gateways[0].Twin(&s.Gateways[1])
	})
	file := filepath.Join(t.TempDir(), "alice.conf")
	service.run(t, filepath.Join(lab.Root(t), "bin", "panteras"), "peer", "add", "alice", "--os", "linux", "--output", file,
		"--state-dir", t.TempDir(), "--log-dir", t.TempDir(), "--consul-http-addr", consulAt)
	wgQuickUp(t, client, file, currentWireGuard(t))
	reaches := func() bool { return client.reaches(t, serviceAddr+":80") }
	lab.Eventually(t, patience, "the service to be reached", reaches)
	// Answers come from the address that the client asks, or it would stay with this twin.
	if at := client.run(t, "wg", "show", "all", "endpoints"); !strings.Contains(at, vip+":51820") {
		t.Errorf("the client has gone over to %s", at)
	}
	for _, w := range twins {
		if show := w.run(t, "wg", "show", tunnelInterface, "peers"); strings.Count(show, "\n") != 1 {
			t.Errorf("%s has the peers\n%s", w.name, show)
		}
	}

	// Who is taken access from in the middle of a transfer has none at either within a second,
	// and who gets it back has it at both: the best of some tries, as the machine may be busy
	// with other tests.
	service.source(t, serviceAddr+":81")
	got := client.download(t, serviceAddr+":81")
	best := [3]time.Duration{time.Hour, time.Hour, time.Hour}
	for try := 0; try < 5 && slices.Max(best[:]) > time.Second; try++ {
		flows(t, got)
		began := time.Now()
		best[0] = min(best[0], follow(t, kept, twins, true))
		best[1] = min(best[1], ceases(t, got, 500*time.Millisecond).Sub(began))
		best[2] = min(best[2], follow(t, kept, twins, false))
	}
	for i, what := range []string{"the end of access at both", "the end of the transfer", "access at both"} {
		if best[i] > time.Second {
			t.Errorf("%s came only after %v", what, best[i])
		}
	}
	flows(t, got)
	lab.Eventually(t, 2*patience, "the service to be reached again", reaches)

	// The same where alice is removed for good. A backup brings her back, and her client begins
	// anew: nobody knows any more where it is, to call on it.
	took := time.Hour
	for try := 0; try < 3 && took > time.Second; try++ {
		got := client.download(t, serviceAddr+":81")
		flows(t, got)
		backup, err := kept.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := kept.Remove(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		atBoth := followed(t, twins, true)
		took = min(took, max(atBoth, ceases(t, got, 500*time.Millisecond).Sub(began)))
		if n, err := kept.Import(t.Context(), backup); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		followed(t, twins, false)
		client.run(t, "wg-quick", "down", file)
		wgQuickUp(t, client, file, currentWireGuard(t))
		lab.Eventually(t, 2*patience, "the service to be reached once more", reaches)
	}
	if took > time.Second {
		t.Errorf("a removed peer's transfer ended, and both let it go, only after %v", took)
	}

	addMany(t, kept, consulAt, twins)

	active.unplug(t, "wan", "lan")
	for _, p := range []*lab.Process{active.keepalived, active.gateway} {
		p.Signal(syscall.SIGKILL)
	}
	lost := time.Now()
	if client.pings(t, serviceAddr) {
		t.Fatal("the service is reached although the gateway is gone")
	}
	lab.Eventually(t, time.Minute, "the client to be back", reaches)
	took = time.Since(lost)
	t.Logf("%s was lost; the client is back after %v", active.name, took)
	if took > back {
		t.Errorf("the client was away for %v", took)
	}
	other := twins[1-slices.Index(twins, active)]
	if !other.holds(t, vip) {
		t.Errorf("%s does not hold the address", other.name)
	}
	if _, err := os.Stat(filepath.Join(first, "tunnel", "peers.json")); err == nil {
		t.Error("there is a file store beside Consul's")
	}
}

// portOf is the port of an address.
func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
