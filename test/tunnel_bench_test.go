package test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// tunnelRounds is given as: make bench-tunnel BENCHFLAGS='-tunnel-rounds 9'.
var (
	tunnelRounds = flag.Int("tunnel-rounds", 5, "how often BenchmarkTunnel takes each figure")
	tunnelWays   = flag.String("tunnel-ways", "", "a regular expression: the ways beside ours that BenchmarkTunnel measures")
)

// way is one way from the client to the service.
type way struct {
	name string
	lab  *tunnelLab
	// figures are what was measured, by name: one value for each round, 0 where it failed.
	figures map[string][]float64
}

// measures are what is measured: iperf3's arguments, by name.
var measures = []struct {
	name string
	args []string
}{
	{"up", nil},
	{"down", []string{"-R"}},
	{"up x4", []string{"-P", "4"}},
	{"down x4", []string{"-R", "-P", "4"}},
}

// The other figures.
const (
	latency   = "round trip µs"
	processor = "CPU s/GB"
)

// BenchmarkTunnel compares the tunnel with no tunnel at all, with WireGuard alone, with
// OpenVPN and with sshuttle: throughput, latency, and the processor time for a gigabyte.
// Each way is measured once in each round, so that what the machine does besides falls on
// all of them, and each round begins with another one.
func BenchmarkTunnel(b *testing.B) {
	wanted, err := regexp.Compile(*tunnelWays)
	if err != nil {
		b.Fatal(err)
	}
	var ways []*way
	for _, w := range []struct {
		name string
		make func(*testing.B) *way
	}{{noTunnel, bare}, {panterasWay, ours}, {wireguardGo, wireguardAlone}, {wireguardNAT, wireguardWithNAT}, {openVPNWay, openVPN}, {sshuttleWay, sshuttle}} {
		if w.name == panterasWay || wanted.MatchString(w.name) {
			ways = append(ways, w.make(b))
		}
	}
	for range b.N {
		for _, w := range ways {
			w.figures = map[string][]float64{}
		}
		for round := range *tunnelRounds {
			for i := range ways {
				ways[(round+i)%len(ways)].measure(b)
			}
		}
	}
	report(b, ways)
}

// measure takes every figure once.
func (w *way) measure(b *testing.B) {
	b.Helper()
	spent, gigabytes := 0.0, 0.0
	for _, m := range measures {
		before := w.cpu(b)
		out, err := w.lab.client.try(b, nil, "iperf3", slices.Concat([]string{"-J", "-c", serviceAddr, "-t", "2", "-O", "1"}, m.args)...)
		var result struct {
			End struct {
				Received struct {
					Bits  float64 `json:"bits_per_second"`
					Bytes float64 `json:"bytes"`
				} `json:"sum_received"`
			} `json:"end"`
		}
		if err2 := json.Unmarshal([]byte(out), &result); err != nil || err2 != nil {
			b.Logf("%s, %s: %v\n%s", w.name, m.name, err, out)
		}
		w.note(m.name, result.End.Received.Bits/1e6)
		spent += w.cpu(b) - before
		// What went through in the first second, which iperf3 leaves out, took its time too.
		gigabytes += result.End.Received.Bits / 8 * 3 / 1e9
	}
	if gigabytes > 0 {
		w.note(processor, spent/gigabytes)
	}
	if w.name != sshuttleWay { // carries no ICMP
		out, err := w.lab.client.try(b, nil, "ping", "-q", "-c", "300", "-i", "0.002", serviceAddr)
		if m := pingAverage.FindStringSubmatch(out); err == nil && m != nil {
			avg, _ := strconv.ParseFloat(m[1], 64)
			w.note(latency, avg*1000)
		}
	}
}

var pingAverage = regexp.MustCompile(`= [\d.]+/([\d.]+)/`)

func (w *way) note(figure string, value float64) {
	w.figures[figure] = append(w.figures[figure], value)
}

// cpu is the processor time of what carries packets on the client and the gateway: of all
// their processes, but not of those that measure.
func (w *way) cpu(b *testing.B) float64 {
	b.Helper()
	total := 0.0
	for _, pid := range processesOf(b, w.lab.client, w.lab.gateway) {
		own, _, _ := lab.ProcessorTime(pid) // it may have ended
		total += own
	}
	return total
}

// processesOf are the processes that run on hosts, but for iperf3.
func processesOf(b *testing.B, hosts ...*host) (pids []int) {
	b.Helper()
	networks := map[string]bool{}
	for _, h := range hosts {
		network, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", h.net.Fd()))
		if err != nil {
			b.Fatal(err)
		}
		networks[network] = true
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		network, err := os.Readlink(p + "/ns/net")
		name, err2 := os.ReadFile(p + "/comm")
		if err != nil || err2 != nil || !networks[network] || strings.Contains(string(name), "iperf3") {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(p))
		pids = append(pids, pid)
	}
	return pids
}

// The names of the ways.
const (
	noTunnel     = "no tunnel"
	panterasWay  = "panteras"
	wireguardGo  = "wireguard-go"
	wireguardNAT = "wireguard-go, NAT"
	openVPNWay   = "OpenVPN"
	sshuttleWay  = "sshuttle"
)

// newWay makes hosts of their own for a way, with iperf3 at the service.
func newWay(b *testing.B, name string) *way {
	b.Helper()
	w := &way{name: name, lab: newTunnelLab(b)}
	w.lab.service.do(b, func() {
		lab.Program(b, "/usr/bin/iperf3", lab.PanterasOptions{Args: []string{"-s", "-B", serviceAddr}})
	})
	return w
}

// routed makes the gateway pass on packets, and the service know the way back.
func (w *way) routed(b *testing.B, network string) {
	w.lab.gateway.run(b, "sysctl", "-q", "net.ipv4.ip_forward=1")
	w.lab.service.route(b, network, gatewayInner)
}

func (w *way) await(b *testing.B) *way {
	b.Helper()
	lab.Eventually(b, startPatience, w.name+" to reach the service", func() bool {
		_, err := w.lab.client.try(b, nil, "iperf3", "-c", serviceAddr, "-n", "1K", "--connect-timeout", "2000")
		return err == nil
	})
	return w
}

func bare(b *testing.B) *way {
	w := newWay(b, noTunnel)
	w.routed(b, "10.200.0.0/24")
	w.lab.client.route(b, "10.210.0.0/24", gatewayOuter)
	return w.await(b)
}

// ours is the tunnel with 5,000 more elements of policy in its firewall.
func ours(b *testing.B) *way {
	w := newWay(b, panterasWay)
	texts := []string{serviceAddr + "/32"}
	for i := range 5000 {
		texts = append(texts, fmt.Sprintf("10.210.0.%d/32:tcp/%d", 10+i%200, 1000+2*i))
	}
	peer := w.lab.add("bench", func(p *tunnel.Peer) { p.Allow = rules(b, texts...) })
	w.lab.program = build(b, "panteras-symbols", "./cmd/panteras") // for profiles
	w.lab.start()
	if n := strings.Count(w.lab.gateway.run(b, "nft", "list", "set", "inet", "panteras", "exact4"), peer.v4()); n < 5000 {
		b.Fatalf("%d elements", n)
	}
	file := filepath.Join(b.TempDir(), "bench.conf")
	if err := os.WriteFile(file, []byte(peer.config(everything)), 0o600); err != nil {
		b.Fatal(err)
	}
	wgQuickUp(b, w.lab.client, file, currentWireGuard(b))
	return w.await(b)
}

// wireguardAlone is the same WireGuard at both ends, without any firewall.
func wireguardAlone(b *testing.B) *way { return wireguard(b, wireguardGo) }

// wireguardWithNAT is that behind one rule of a firewall, which gives packets the gateway's
// address, as ours does: it tells what following connections costs by itself.
func wireguardWithNAT(b *testing.B) *way {
	w := wireguard(b, wireguardNAT)
	w.lab.gateway.run(b, "nft", "add table ip bench; add chain ip bench nat { type nat hook postrouting priority srcnat; }; add rule ip bench nat oifname lan masquerade")
	return w.await(b)
}

func wireguard(b *testing.B, name string) *way {
	w := newWay(b, name)
	w.routed(b, "10.99.0.0/16")
	client, _ := tunnel.NewPrivateKey()
	gateway, _ := tunnel.NewPrivateKey()
	dir := b.TempDir()
	engine := "WG_QUICK_USERSPACE_IMPLEMENTATION=" + build(b, "wireguard-symbols", "golang.zx2c4.com/wireguard")
	for _, end := range []struct {
		host *host
		text string
	}{
		{w.lab.gateway, fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.99.0.1/16\nListenPort = 51820\nMTU = 1420\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.99.0.2/32\n", gateway.Reveal(), client.Public())},
		{w.lab.client, fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.99.0.2/32\nMTU = 1420\n[Peer]\nPublicKey = %s\nEndpoint = %s:51820\nAllowedIPs = 10.99.0.0/16, 10.210.0.0/24\n", client.Reveal(), gateway.Public(), gatewayOuter)},
	} {
		file := filepath.Join(dir, "alone.conf")
		if err := os.WriteFile(file, []byte(end.text), 0o600); err != nil {
			b.Fatal(err)
		}
		wgQuickUp(b, end.host, file, engine)
	}
	return w.await(b)
}

// fasterCipher is the one of OpenVPN's two ciphers that this machine computes faster.
func fasterCipher(b *testing.B, dir string) string {
	best, fastest := "", 0.0
	for _, cipher := range []string{"CHACHA20-POLY1305", "AES-256-GCM"} {
		out := command(b, dir, "openssl", "speed", "-mr", "-seconds", "1", "-bytes", "1400", "-evp", strings.ToLower(cipher))
		speed, err := strconv.ParseFloat(strings.TrimSpace(out[strings.LastIndex(out, ":")+1:]), 64) // +F:25:AES-256-GCM:880047216.49
		if err != nil {
			b.Fatalf("openssl speed: %v\n%s", err, out)
		}
		if speed > fastest {
			best, fastest = cipher, speed
		}
	}
	return best
}

// openVPN has the faster of its ciphers, large buffers and a data channel in user space,
// where the kernel has none.
func openVPN(b *testing.B) *way {
	w := newWay(b, openVPNWay)
	w.routed(b, "10.99.0.0/16")
	dir := b.TempDir()
	fingerprint := map[string]string{}
	for _, end := range []string{"client", "gateway"} {
		command(b, dir, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN="+end, "-keyout", end+".key", "-out", end+".crt")
		_, hash, _ := strings.Cut(strings.TrimSpace(command(b, dir, "openssl", "x509", "-in", end+".crt", "-noout", "-fingerprint", "-sha256")), "=")
		fingerprint[end] = hash
	}
	common := []string{
		"--dev", "tun", "--proto", "udp", "--topology", "subnet", "--data-ciphers", fasterCipher(b, dir), "--auth", "none",
		"--sndbuf", "4194304", "--rcvbuf", "4194304", "--txqueuelen", "4000", "--fast-io", "--disable-dco", "--verb", "1",
	}
	start := func(h *host, end, other string, args ...string) {
		h.do(b, func() {
			lab.Program(b, "/usr/sbin/openvpn", lab.PanterasOptions{
				Dir: dir, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
				Args: slices.Concat(common, []string{"--cert", end + ".crt", "--key", end + ".key", "--peer-fingerprint", fingerprint[other]}, args),
			})
		})
	}
	start(w.lab.gateway, "gateway", "client", "--tls-server", "--dh", "none", "--ifconfig", "10.99.0.1", "255.255.0.0", "--local", gatewayOuter)
	start(w.lab.client, "client", "gateway", "--tls-client", "--remote", gatewayOuter, "--ifconfig", "10.99.0.2", "255.255.0.0", "--route", "10.210.0.0", "255.255.255.0", "10.99.0.1", "--nobind")
	return w.await(b)
}

// sshuttle carries TCP in SSH, with the faster cipher.
func sshuttle(b *testing.B) *way {
	w := newWay(b, sshuttleWay)
	w.lab.client.route(b, "10.210.0.0/24", gatewayOuter) // which forwards nothing; but the kernel must know a way
	dir := b.TempDir()
	for _, key := range []string{"host", "user"} {
		command(b, dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	}
	public, err := os.ReadFile(filepath.Join(dir, "user.pub"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "authorized"), public, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	w.lab.gateway.do(b, func() {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			b.Fatal(err)
		}
		lab.Program(b, "/usr/sbin/sshd", lab.PanterasOptions{Args: []string{
			"-D", "-f", "/dev/null", "-o", "HostKey=" + filepath.Join(dir, "host"), "-o", "AuthorizedKeysFile=" + filepath.Join(dir, "authorized"),
			"-o", "ListenAddress=" + gatewayOuter, "-o", "StrictModes=no", "-o", "PermitRootLogin=prohibit-password", "-o", "PidFile=none", "-o", "UsePAM=no",
		}})
	})
	w.lab.client.do(b, func() {
		ssh := fmt.Sprintf("ssh -i %s -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -c aes128-gcm@openssh.com", filepath.Join(dir, "user"))
		lab.Program(b, "/usr/bin/sshuttle", lab.PanterasOptions{
			Env:  []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir},
			Args: []string{"--method", "nft", "--no-latency-control", "-e", ssh, "-r", "root@" + gatewayOuter, "10.210.0.0/24"},
		})
	})
	return w.await(b)
}

// command runs a program to its end.
func command(b *testing.B, dir, name string, args ...string) string {
	b.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
