package test

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// activated starts the server with sockets as a service manager hands them over:
// descriptors from 3 on, meant for the very process that finds its own id in
// LISTEN_PID.
func activated(t testing.TB, sockets []*os.File, env []string, flags ...string) *lab.Process {
	t.Helper()
	shell := `export LISTEN_PID=$$; exec "$0" dns --metrics-listen=off "$@"`
	cmd := exec.Command("/bin/sh", append([]string{"-c", shell, panterasPath(t)}, flags...)...)
	cmd.Env = append(append([]string{"LISTEN_FDS=" + string(rune('0'+len(sockets)))}, dnsdEnv...), env...)
	cmd.ExtraFiles, cmd.Dir = sockets, t.TempDir()
	return lab.Start(t, cmd)
}

// handOver opens both sockets of an address and gives our own descriptors away.
func handOver(t testing.TB, addr netip.AddrPort) []*os.File {
	t.Helper()
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	var files []*os.File
	for _, socket := range []interface{ File() (*os.File, error) }{udp, tcp} {
		file, err := socket.File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		files = append(files, file)
	}
	return files
}

// manager is the socket to which a service tells its state (sd_notify(3)).
func manager(t testing.TB) (path string, next func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return path, func() string {
		t.Helper()
		message := make([]byte, 4096)
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		n, err := conn.Read(message)
		if err != nil {
			t.Fatalf("the service manager is told nothing: %v", err)
		}
		return string(message[:n])
	}
}

// Sockets that were handed over are served, and DNS_LISTEN is left alone; what
// came in before the server ran is answered too. The manager hears of each state.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	u := scripted(t, always(trueAddress))
	addr, unused := loopback4(t), loopback4(t)
	sockets := handOver(t, addr)
	early := dial(t, "udp", addr)
	write(t, early, pack(t, ednsQuery("early.example.org", dns.TypeA)))
	notify, next := manager(t)
	p := activated(t, sockets, []string{"NOTIFY_SOCKET=" + notify}, to("--dns-upstreams", u), "--dns-listen="+unused.String(), "--consul-dns="+unusedServer(t).String())
	if got := next(); got != "READY=1" {
		t.Errorf("first state %q, want READY=1", got)
	}
	wantAddress(t, unpack(t, read(t, early)), trueAddress)
	both := func() {
		t.Helper()
		for _, network := range []string{"udp", "tcp"} {
			reply, err := exchange(network, addr, ednsQuery("www.example.org", dns.TypeA))
			if err == nil {
				err = hasAddress(reply, trueAddress)
			}
			if err != nil {
				t.Errorf("%s: %v", network, err)
			}
		}
	}
	both()
	if conn, err := net.Dial("tcp", unused.String()); err == nil {
		_ = conn.Close()
		t.Error("DNS_LISTEN is listened on as well")
	}

	p.Signal(syscall.SIGHUP)
	if got := next(); !strings.Contains(got, "RELOADING=1") || !strings.Contains(got, "MONOTONIC_USEC=") {
		t.Errorf("state %q at a reload, want RELOADING=1 and the time", got)
	}
	if got := next(); got != "READY=1" {
		t.Errorf("state %q after a reload, want READY=1", got)
	}
	both()
	p.Signal(syscall.SIGTERM)
	if got := next(); got != "STOPPING=1" {
		t.Errorf("state %q at SIGTERM, want STOPPING=1", got)
	}
	if code := p.Wait(t, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	// The manager's own descriptors live on: what comes in between waits there for another run, which takes over from here.
	waiting := map[string]net.Conn{}
	for _, network := range []string{"udp", "tcp"} {
		waiting[network] = dial(t, network, addr)
		write(t, waiting[network], pack(t, ednsQuery("between.example.org", dns.TypeA)))
	}
	activated(t, sockets, []string{"NOTIFY_SOCKET=" + notify}, to("--dns-upstreams", u), "--consul-dns="+unusedServer(t).String())
	if got := next(); got != "READY=1" {
		t.Errorf("second run: state %q, want READY=1", got)
	}
	for _, conn := range waiting {
		wantAddress(t, unpack(t, read(t, conn)), trueAddress)
	}
	both()
}

// A descriptor that is no socket for DNS is an error that says which it is.
func TestSocketActivationRefuses(t *testing.T) {
	t.Parallel()
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p := activated(t, []*os.File{file}, nil, "--consul-dns="+unusedServer(t).String())
	if code := p.Wait(t, patience); code == 0 || !strings.Contains(p.Stderr(), "descriptor") {
		t.Errorf("exit code %d, output:\n%s", code, p.Stderr())
	}
}

// An upstream that is a socket which was handed over is as much a circle as any.
func TestSocketActivationOwnSocket(t *testing.T) {
	t.Parallel()
	addr := loopback4(t)
	p := activated(t, handOver(t, addr), nil, "--dns-upstreams="+addr.String(), "--consul-dns="+unusedServer(t).String())
	if code := p.Wait(t, patience); code != 2 || !strings.Contains(p.Stderr(), addr.String()) {
		t.Errorf("exit code %d, want 2, output:\n%s", code, p.Stderr())
	}
}
