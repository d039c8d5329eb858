package test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// port53 is where the server listens by default.
func port53(address string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(address), 53)
}

// startWild runs the server as it is by default, on port 53 of every address of
// the test's own network namespace, and returns when it answers on `ready`.
func startWild(t testing.TB, ready string, flags ...string) *dnsd {
	t.Helper()
	d := &dnsd{metrics: loopback4(t), addr: port53(ready)}
	d.Process = lab.Panteras(t, lab.PanterasOptions{
		Args:     append([]string{"dns", "--metrics-listen=" + d.metrics.String()}, flags...),
		Env:      dnsdEnv,
		ReadyDNS: d.addr,
	})
	return d
}

// hold opens an address over UDP and TCP, as a stub resolver does, and closes it
// when the test is over at the latest.
func hold(t testing.TB, addr netip.AddrPort) (*net.UDPConn, *net.TCPListener) {
	t.Helper()
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = udp.Close(), tcp.Close() })
	return udp, tcp
}

// serves fails the test unless the address answers over both transports.
func serves(t testing.TB, address string) {
	t.Helper()
	for _, network := range []string{"udp", "tcp"} {
		reply, err := exchange(network, port53(address), ednsQuery("node-7", dns.TypeA))
		if err == nil {
			err = hasAddress(reply, "10.0.0.5")
		}
		if err != nil {
			t.Errorf("%s over %s: %v", address, network, err)
		}
	}
}

// serving says whether an address answers at all.
func serving(address string) bool {
	client := &dns.Client{Timeout: 300 * time.Millisecond}
	reply, _, err := client.Exchange(ednsQuery("node-7", dns.TypeA), port53(address).String())
	return err == nil && hasAddress(reply, "10.0.0.5") == nil
}

// whoAmI is how an error names the test's own process.
func whoAmI(t testing.TB) string {
	t.Helper()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s (pid %d, ", strings.TrimSpace(string(comm)), os.Getpid())
}

// Beside a stub resolver on one address the server takes all the others, tells
// which it left out and who has it, and follows the addresses of the host.
func TestStubResolverBesideUs(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	addAddress(t, "net0", "10.9.0.1/24")
	addAddress(t, "net0", "10.9.0.2/24")
	addAddress(t, "net0", "fd00:9::1/64")
	stub, _ := hold(t, port53("127.0.0.53"))
	bridge, bridgeTCP := hold(t, port53("10.9.0.2"))
	d := startWild(t, "127.0.0.1")
	for _, address := range []string{"127.0.0.1", "10.9.0.1", "::1", "fd00:9::1"} {
		lab.Eventually(t, patience, address+" to be listened on", func() bool { return serving(address) })
		serves(t, address)
	}
	for _, holder := range []string{"127.0.0.53:53)", "10.9.0.2:53)"} {
		if want := whoAmI(t) + holder; !strings.Contains(d.Stderr(), want) {
			t.Errorf("the log does not say who holds an address (%q):\n%s", want, d.Stderr())
		}
	}
	if !regexp.MustCompile(`left out.*10\.9\.0\.2:53`).MatchString(d.Stderr()) {
		t.Errorf("the log does not say that 10.9.0.2:53 is left out:\n%s", d.Stderr())
	}
	for _, held := range []*net.UDPConn{stub, bridge} {
		client := dial(t, "udp", held.LocalAddr().(*net.UDPAddr).AddrPort())
		for range 32 {
			write(t, client, pack(t, ednsQuery("node-7", dns.TypeA)))
			_ = held.SetReadDeadline(time.Now().Add(patience))
			if _, err := held.Read(make([]byte, 512)); err != nil {
				t.Fatalf("a query to %s did not reach the server that has it: %v", held.LocalAddr(), err)
			}
		}
	}

	addAddress(t, "net0", "10.9.0.3/24")
	addAddress(t, "net0", "fd00:9::3/64")
	for _, address := range []string{"10.9.0.3", "fd00:9::3"} {
		lab.Eventually(t, patience, address+" to be listened on", func() bool { return serving(address) })
	}
	removeAddress(t, "net0", "10.9.0.3/24")
	lab.Eventually(t, patience, "10.9.0.3 to be given up", func() bool {
		return strings.Contains(d.Stderr(), `"not listening any more" address=10.9.0.3:53`)
	})
	addAddress(t, "net0", "10.9.0.3/24")
	lab.Eventually(t, patience, "10.9.0.3 to be listened on again", func() bool { return serving("10.9.0.3") })
	_, _ = bridge.Close(), bridgeTCP.Close()
	lab.Eventually(t, patience, "10.9.0.2 to be listened on once it is free", func() bool { return serving("10.9.0.2") })
	serves(t, "10.9.0.1")
	if code := d.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Where somebody has the whole port, the error says who.
func TestPortIsTaken(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	for what, open := range map[string]func() (close func()){
		"udp on 0.0.0.0": func() func() {
			c, err := net.ListenPacket("udp4", "0.0.0.0:53")
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = c.Close() }
		},
		"udp on 0.0.0.0, shared with whoever wants it": func() func() {
			share := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
				return errors.Join(c.Control(func(fd uintptr) {
					err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
				}), err)
			}}
			c, err := share.ListenPacket(context.Background(), "udp4", "0.0.0.0:53")
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = c.Close() }
		},
		"tcp on 0.0.0.0": func() func() {
			c, err := net.Listen("tcp4", "0.0.0.0:53")
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = c.Close() }
		},
		"udp on [::], for IPv4 too": func() func() {
			c, err := net.ListenPacket("udp", "[::]:53")
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = c.Close() }
		},
	} {
		closeIt := open()
		p := lab.Panteras(t, lab.PanterasOptions{Args: []string{"dns", "--metrics-listen=off"}, Env: dnsdEnv})
		if code := p.Wait(t, patience); code != 1 {
			t.Errorf("%s: exit code %d, want 1", what, code)
		}
		if !strings.Contains(p.Stderr(), whoAmI(t)) || !strings.Contains(p.Stderr(), "DNS_LISTEN") {
			t.Errorf("%s: the error does not name %q, nor say what to set:\n%s", what, whoAmI(t), p.Stderr())
		}
		closeIt()
	}
}

// A second copy ends with an error, and takes not one query from the first.
func TestSecondCopy(t *testing.T) {
	t.Parallel()
	for _, stub := range []bool{false, true} {
		t.Run(fmt.Sprintf("beside a stub resolver %v", stub), func(t *testing.T) {
			ownNetwork(t)
			addAddress(t, "net0", "10.9.0.1/24")
			if stub {
				hold(t, port53("127.0.0.53"))
			}
			u := scripted(t, always(trueAddress))
			first := startWild(t, "127.0.0.1", to("--dns-upstreams", u))
			lab.Eventually(t, patience, "the first copy to have every address", func() bool { return serving("::1") })
			load := startLoad(t, port53("10.9.0.1"), asker{network: "udp", names: []string{"www.example.org"}, address: trueAddress},
				asker{network: "tcp", names: []string{"www.example.org"}, address: trueAddress})
			for _, flags := range [][]string{nil, {"--dns-listen=127.0.0.1"}, {"--dns-listen=10.9.0.1:53"}} {
				second := lab.Panteras(t, lab.PanterasOptions{Args: append([]string{"dns", "--metrics-listen=off"}, flags...), Env: dnsdEnv})
				if code := second.Wait(t, patience); code != 1 {
					t.Errorf("%v: exit code %d, want 1", flags, code)
				}
				if want := fmt.Sprintf("panteras (pid %d, ", first.Pid()); !strings.Contains(second.Stderr(), want) {
					t.Errorf("%v: the error does not name the first copy (%q):\n%s", flags, want, second.Stderr())
				}
			}
			load.stopAndCheck(t)
		})
	}
}
