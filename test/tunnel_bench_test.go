package test

import (
	"encoding/json"
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

// way is one way from the client to the service.
type way struct {
	name string
	lab  *tunnelLab
	// reach is what the client dials: the service's address.
	figures map[string][]float64
}

// The benchmark's rounds: each way is measured once in each, so that what the machine does
// besides falls on all of them.
const benchRounds = 5

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

// BenchmarkTunnel compares the tunnel with no tunnel at all, with WireGuard alone, with
// OpenVPN and with sshuttle: throughput, latency, and the processor time for a gigabyte.
// It prints medians, and their ratios to the tunnel's.
func BenchmarkTunnel(b *testing.B) {
	ways := []*way{bare(b), ours(b), wireguardAlone(b), wireguardWithNAT(b), openVPN(b), sshuttle(b)}
	for range b.N {
		for _, w := range ways {
			w.figures = map[string][]float64{}
		}
		for range benchRounds {
			for _, w := range ways {
				w.measure(b)
			}
		}
	}
	report(b, ways)
}

// measure takes every figure once.
func (w *way) measure(b *testing.B) {
	b.Helper()
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
			continue
		}
		w.note(m.name+" Mbit/s", result.End.Received.Bits/1e6)
		if gigabytes := result.End.Received.Bytes / 1e9; gigabytes > 0 {
			w.note("CPU s/GB", (w.cpu(b)-before)/gigabytes)
		}
	}
	if w.name != "sshuttle" { // carries no ICMP
		out, err := w.lab.client.try(b, nil, "ping", "-q", "-c", "300", "-i", "0.002", serviceAddr)
		if m := pingAverage.FindStringSubmatch(out); err == nil && m != nil {
			avg, _ := strconv.ParseFloat(m[1], 64)
			w.note("round trip µs", avg*1000)
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
	networks := map[string]bool{}
	for _, h := range []*host{w.lab.client, w.lab.gateway} {
		network, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", h.net.Fd()))
		if err != nil {
			b.Fatal(err)
		}
		networks[network] = true
	}
	total := 0.0
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		network, err := os.Readlink(p + "/ns/net")
		name, err2 := os.ReadFile(p + "/comm")
		if err != nil || err2 != nil || !networks[network] || strings.Contains(string(name), "iperf3") {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(p))
		own, _, _ := lab.ProcessorTime(pid) // it may have ended
		total += own
	}
	return total
}

// report prints the medians, and how many times ours each is.
func report(b *testing.B, ways []*way) {
	figures := []string{}
	for _, m := range measures {
		figures = append(figures, m.name+" Mbit/s")
	}
	figures = append(figures, "round trip µs", "CPU s/GB")
	var text, spread strings.Builder
	fmt.Fprintf(&text, "medians of %d rounds; in brackets ours divided by theirs\n%-18s", benchRounds, "")
	for _, f := range figures {
		fmt.Fprintf(&text, "%18s", f)
	}
	mine := ways[slices.IndexFunc(ways, func(w *way) bool { return w.name == "panteras" })]
	for _, w := range ways {
		fmt.Fprintf(&text, "\n%-18s", w.name)
		for _, f := range figures {
			m := lab.Median(w.figures[f])
			if m == 0 {
				fmt.Fprintf(&text, "%18s", "-")
				continue
			}
			fmt.Fprintf(&text, "%10.5g %7s", m, fmt.Sprintf("(%.2f)", lab.Median(mine.figures[f])/m))
			fmt.Fprintf(&spread, "\n%s, %s: %.5g to %.5g", w.name, f, slices.Min(w.figures[f]), slices.Max(w.figures[f]))
		}
	}
	b.Log(text.String() + "\nfrom the least to the most of the rounds:" + spread.String())
	b.ReportMetric(lab.Median(mine.figures["up Mbit/s"]), "Mbit/s-up")
	b.ReportMetric(lab.Median(mine.figures["down Mbit/s"]), "Mbit/s-down")
}

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
	w := newWay(b, "no tunnel")
	w.routed(b, "10.200.0.0/24")
	w.lab.client.route(b, "10.210.0.0/24", gatewayOuter)
	return w.await(b)
}

// ours is the tunnel with 5,000 more elements of policy in its firewall.
func ours(b *testing.B) *way {
	w := newWay(b, "panteras")
	texts := []string{serviceAddr + "/32"}
	for i := range 5000 {
		texts = append(texts, fmt.Sprintf("10.210.0.%d/32:tcp/%d", 10+i%200, 1000+2*i))
	}
	peer := w.lab.add("bench", func(p *tunnel.Peer) { p.Allow = rules(b, texts...) })
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
func wireguardAlone(b *testing.B) *way { return wireguard(b, "wireguard-go") }

// wireguardWithNAT is that behind one rule of a firewall, which gives packets the gateway's
// address, as ours does: it tells what following connections costs by itself.
func wireguardWithNAT(b *testing.B) *way {
	w := wireguard(b, "wireguard-go, NAT")
	w.lab.gateway.run(b, "nft", "add table ip bench; add chain ip bench nat { type nat hook postrouting priority srcnat; }; add rule ip bench nat oifname lan masquerade")
	return w.await(b)
}

func wireguard(b *testing.B, name string) *way {
	w := newWay(b, name)
	w.routed(b, "10.99.0.0/16")
	client, _ := tunnel.NewPrivateKey()
	gateway, _ := tunnel.NewPrivateKey()
	dir := b.TempDir()
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
		wgQuickUp(b, end.host, file, currentWireGuard(b))
	}
	return w.await(b)
}

// openVPN has the faster of its ciphers on machines without AES in hardware, large buffers
// and a data channel in user space, where the kernel has none.
func openVPN(b *testing.B) *way {
	w := newWay(b, "OpenVPN")
	w.routed(b, "10.99.0.0/16")
	dir := b.TempDir()
	fingerprint := map[string]string{}
	for _, end := range []string{"client", "gateway"} {
		command(b, dir, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN="+end, "-keyout", end+".key", "-out", end+".crt")
		_, hash, _ := strings.Cut(strings.TrimSpace(command(b, dir, "openssl", "x509", "-in", end+".crt", "-noout", "-fingerprint", "-sha256")), "=")
		fingerprint[end] = hash
	}
	common := []string{
		"--dev", "tun", "--proto", "udp", "--topology", "subnet", "--data-ciphers", "CHACHA20-POLY1305", "--auth", "none",
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
	w := newWay(b, "sshuttle")
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
