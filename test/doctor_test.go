package test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// doctorLine is one finding of `panteras doctor --json`.
type doctorLine struct{ Check, Level, Message, Fix string }

// runDoctor runs the built program in the namespaces of the test, and returns what it
// found and its exit code.
func runDoctor(t *testing.T, environ ...string) (lines []doctorLine, code int) {
	t.Helper()
	p := lab.Panteras(t, lab.PanterasOptions{Args: []string{"doctor", "--json"}, Env: environ})
	code = p.Wait(t, patience)
	var report struct{ Findings []doctorLine }
	if err := json.Unmarshal([]byte(p.Stdout()), &report); err != nil {
		t.Fatalf("%v in %q; stderr: %s", err, p.Stdout(), p.Stderr())
	}
	return report.Findings, code
}

// wantLine fails the test unless a line of the check has the level, and the pieces in
// its message and its fix.
func wantLine(t *testing.T, lines []doctorLine, check, level, message, fix string) {
	t.Helper()
	for _, l := range lines {
		if l.Check == check && l.Level == level && strings.Contains(l.Message, message) && strings.Contains(l.Fix, fix) {
			return
		}
	}
	t.Errorf("no line %s %s with %q and the fix %q in\n%+v", level, check, message, fix, lines)
}

// hide takes what is at a path away, for this test and what it starts.
func hide(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		return
	}
	if err := unix.Mount("/dev/null", path, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("cannot hide %s: %v", path, err)
	}
}

// readOnly makes a folder that nothing can be written to, not even by root.
func readOnly(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// leaderSocket answers as a Consul with a leader does, on a unix socket: that can be reached
// from every network namespace.
func leaderSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "consul.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`"10.7.0.1:8300"`)) })}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return "unix://" + path
}

const doctorPasswd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	addAddress(t, "net0", "10.7.0.1/24")
	ownEtc(t, map[string]string{"resolv.conf": "nameserver 10.7.0.53\n", "passwd": doctorPasswd})
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"} {
		hide(t, filepath.Join(dir, "haproxy"))
	}
	if err := unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, ""); err != nil {
		t.Logf("/dev/net is not there anyway: %v", err)
	}
	for _, args := range [][]string{
		{"add", "table", "inet", "site"},
		{"add", "chain", "inet", "site", "in", "{ type filter hook input priority 0; policy drop; }"},
		{"add", "rule", "inet", "site", "in", "iif", "lo", "accept"},
		{"add", "chain", "inet", "site", "through", "{ type filter hook forward priority 0; policy drop; }"},
		{"add", "table", "inet", "panteras_gateway"},
		{"add", "chain", "inet", "panteras_gateway", "in", "{ type filter hook input priority 0; policy drop; }"},
		{"add", "rule", "inet", "panteras_gateway", "in", "iif", "lo", "accept"},
	} {
		if output, err := exec.Command("nft", args...).CombinedOutput(); err != nil {
			t.Fatalf("nft %q: %v: %s (run `make deps` first)", args, err, output)
		}
	}
	// A new network has what the machine has, where Docker may have turned it on.
	if output, err := exec.Command("sysctl", "-qw", "net.ipv4.ip_forward=0").CombinedOutput(); err != nil {
		t.Fatalf("sysctl: %v: %s", err, output)
	}
	lab.Start(t, exec.Command("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--no-resolv", "--pid-file="))
	lab.Eventually(t, patience, "dnsmasq listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:53")
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})

	state := readOnly(t)
	lines, code := runDoctor(t, "IP=10.7.0.1", "HOSTNAME=node1", "TUNNEL_ENDPOINT=10.7.0.1", "STATE_DIR="+state+"/panteras",
		"RUN_DIR="+t.TempDir(), "START_CONSUL=false", "CONSUL_HTTP_ADDR=127.0.0.1:1", "ZOOKEEPER_HOSTS=a:1,b:1", "ZOOKEEPER_ID=1")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	wantLine(t, lines, "port 53", "fail", "udp is held by dnsmasq (pid ", "systemctl disable --now dnsmasq")
	wantLine(t, lines, "port 53", "fail", "tcp is held by dnsmasq (pid ", "systemctl disable --now dnsmasq")
	wantLine(t, lines, "resolv.conf", "warn", "this host asks 10.7.0.53", "panteras resolvconf install")
	wantLine(t, lines, "recursors", "ok", "10.7.0.53", "")
	wantLine(t, lines, "consul", "fail", "cannot reach Consul at 127.0.0.1:1: ", "CONSUL_HTTP_ADDR")
	wantLine(t, lines, "programs", "fail", "haproxy is not installed", "apt-get install haproxy")
	wantLine(t, lines, "programs", "warn", "marathon is not installed", "START_MARATHON=false")
	wantLine(t, lines, "firewall", "warn", "the chain in of the table inet site", "nft insert rule inet site in udp dport '{ 53, ")
	wantLine(t, lines, "firewall", "warn", "the chain through of the table inet site", "iifname wg-panteras accept")
	wantLine(t, lines, "ip_forward", "warn", "IPv4 is not forwarded", "sysctl -w net.ipv4.ip_forward=1")
	wantLine(t, lines, "STATE_DIR", "fail", "read-only file system", "set STATE_DIR")
	wantLine(t, lines, "settings", "warn", "ZOOKEEPER_HOSTS", "panteras plan")
	for _, l := range lines {
		if l.Check == "/dev/net/tun" && (l.Level == "ok" || !strings.Contains(l.Message, "there is no /dev/net/tun")) || strings.Contains(l.Message, "panteras_gateway") {
			t.Errorf("unwanted: %+v", l)
		}
		if l.Level != "ok" && l.Fix == "" {
			t.Errorf("no fix: %+v", l)
		}
	}
}

func TestDoctorIsContent(t *testing.T) {
	t.Parallel()
	consul := leaderSocket(t)
	ownNetwork(t)
	addAddress(t, "net0", "10.7.0.1/24")
	ownEtc(t, map[string]string{"resolv.conf": "nameserver 10.7.0.1\n", "resolv.conf.orig": "nameserver 10.7.0.53\n", "passwd": doctorPasswd})
	environ := []string{
		"IP=10.7.0.1", "HOSTNAME=node1", "MASTER=false", "SLAVE=false", "START_CONSUL=false", "CONSUL_HTTP_ADDR=" + consul,
		"STATE_DIR=" + t.TempDir(), "RUN_DIR=" + t.TempDir(), "LOG_DIR=" + t.TempDir(), "METRICS_LISTEN=off",
	}
	lines, code := runDoctor(t, environ...)
	wantLine(t, lines, "port 53", "ok", "free for the DNS server", "")
	wantLine(t, lines, "resolv.conf", "ok", "asks the DNS server at 10.7.0.1", "")
	wantLine(t, lines, "recursors", "ok", "10.7.0.53 (/etc/resolv.conf.orig)", "")
	wantLine(t, lines, "consul", "ok", "the leader is 10.7.0.1:8300", "")
	wantLine(t, lines, "programs", "ok", "installed", "")
	if code != 0 {
		t.Errorf("exit code %d:\n%+v", code, lines)
	}
	startWild(t, "10.7.0.1", "--ip=10.7.0.1", "--consul-dns=10.7.0.9:8600")
	lines, code = runDoctor(t, environ...)
	wantLine(t, lines, "port 53", "ok", "held by panteras", "")
	if code != 0 {
		t.Errorf("with the DNS server up, exit code %d:\n%+v", code, lines)
	}
}

func TestDoctorFindsThatConsulHasNoLeader(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{Leaderless: true})
	lines, code := runDoctor(t, "IP=10.7.0.1", "HOSTNAME=node1", "CONSUL_HTTP_ADDR="+node.HTTPAddr.String())
	wantLine(t, lines, "consul", "fail", "has no leader", "CONSUL_HOSTS")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
}
