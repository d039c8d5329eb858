package sock

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bound opens a UDP socket on an address, with packet information as a server on a wildcard address has it.
func bound(t *testing.T, addr string) (fd int, port uint16) {
	t.Helper()
	a := netip.MustParseAddrPort(addr)
	family := unix.AF_INET
	if a.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no socket of the family of %s here: %v", addr, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if family == unix.AF_INET {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	} else {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	if err == nil {
		err = unix.Bind(fd, Sockaddr(a))
	}
	if err != nil {
		t.Skipf("cannot bind %s here: %v", addr, err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return fd, uint16(sa.Port)
	case *unix.SockaddrInet6:
		return fd, uint16(sa.Port)
	}
	t.Fatalf("a socket of type %T", sa)
	return 0, 0
}

// shut closes a socket of bound, and leaves another file in its place: what is closed once more at the end of the test must not be another test's by then.
func shut(t *testing.T, fd int) {
	t.Helper()
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	if err := unix.Dup3(null, fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

// dial connects a client to one address of the server: it hears nothing that comes from another one.
func dial(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func TestRepliesLeaveFromTheAddressThatWasAsked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ listen, asked, from string }{
		{"0.0.0.0:0", "127.0.0.1", "127.0.0.1"},
		{"0.0.0.0:0", "127.0.0.5", "127.0.0.1"},
		{"127.0.0.7:0", "127.0.0.7", "127.0.0.1"},
		{"[::]:0", "::1", "::1"},
		{"[::]:0", "127.0.0.5", "127.0.0.1"}, // where the socket takes IPv4, too
	} {
		t.Run(test.listen+" asked at "+test.asked, func(t *testing.T) {
			t.Parallel()
			fd, port := bound(t, test.listen)
			c := dial(t, netip.AddrPortFrom(netip.MustParseAddr(test.asked), port))
			in, out := NewInbox(4, 100, true), NewOutbox(16, 1<<17, onHost)
			var peer, other Peer
			buf := make([]byte, 100)
			if _, errno := in.Receive(fd); errno != unix.EAGAIN {
				t.Fatalf("an empty socket: %v", errno)
			}
			for range 3 {
				if _, err := c.Write([]byte("question")); err != nil {
					t.Fatal(err)
				}
				n, errno := in.Receive(fd)
				if errno != 0 || n != 1 || string(in.Datagram(0)) != "question" {
					t.Fatalf("%d datagrams, %v", n, errno)
				}
				in.Peer(0, &peer)
				own := c.LocalAddr().(*net.UDPAddr).AddrPort()
				if peer.Addr() != netip.MustParseAddr(test.from) || peer.Port() != own.Port() {
					t.Errorf("from %s, port %d, want %s, %d", peer.Addr(), peer.Port(), test.from, own.Port())
				}
				// Another message in between must not change what the peer says.
				another := dial(t, netip.AddrPortFrom(netip.MustParseAddr(test.asked), port))
				if _, err := another.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				if _, errno := in.Receive(fd); errno != 0 {
					t.Fatal(errno)
				}
				in.Peer(0, &other)
				if !out.Add(fd, []byte("answer"), &peer) || out.Flush() != 0 {
					t.Fatal("it cannot be sent")
				}
				n, err := c.Read(buf)
				if err != nil || string(buf[:n]) != "answer" {
					t.Fatalf("%q, %v", buf[:n], err)
				}
			}
		})
	}
}

func TestPeerOfNothing(t *testing.T) {
	t.Parallel()
	var p Peer
	if p.Addr().IsValid() || p.Port() != 0 {
		t.Errorf("%s, %d", p.Addr(), p.Port())
	}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		server, port := bound(t, listen)
		addr := netip.AddrPortFrom(netip.MustParseAddrPort(listen).Addr(), port)
		ports := map[uint16]bool{}
		in, up, out := NewInbox(4, 100, true), NewInbox(4, 100, false), NewOutbox(16, 1<<17, onHost)
		var peer Peer
		for range 8 {
			fd, err := Connect(addr, 1<<16)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(fd) })
			if _, errno := up.Receive(fd); errno != unix.EAGAIN {
				t.Errorf("an empty socket: %v", errno)
			}
			if errno := Send(fd, []byte("q")); errno != 0 {
				t.Fatal(errno)
			}
			if _, errno := in.Receive(server); errno != 0 {
				t.Fatal(errno)
			}
			in.Peer(0, &peer)
			ports[peer.Port()] = true
			if !out.Add(server, []byte("a"), &peer) || out.Flush() != 0 {
				t.Fatal("it cannot be sent")
			}
			if n, errno := up.Receive(fd); errno != 0 || n != 1 || string(up.Datagram(0)) != "a" {
				t.Errorf("%d datagrams, %v", n, errno)
			}
		}
		if len(ports) < 8 {
			t.Errorf("%d ports for 8 sockets", len(ports))
		}
	}
}

// The kernel tells that nobody listens: the query fails over without a wait.
func TestAClosedPortIsReported(t *testing.T) {
	t.Parallel()
	fd, port := bound(t, "127.0.0.1:0")
	shut(t, fd)
	c, err := Connect(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(c)
	if errno := Send(c, []byte("q")); errno != 0 {
		t.Fatal(errno)
	}
	if _, errno := NewInbox(1, 10, false).Receive(c); errno != unix.ECONNREFUSED {
		t.Errorf("got %v", errno)
	}
}

func TestZones(t *testing.T) {
	t.Parallel()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skipf("no interface lo here: %v", err)
	}
	for zone, want := range map[string]uint32{"": 0, "lo": uint32(lo.Index), "17": 17, "nonsense": 0} {
		a := netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(zone), 53)
		if got := Sockaddr(a).(*unix.SockaddrInet6).ZoneId; got != want {
			t.Errorf("zone %q: %d, want %d", zone, got, want)
		}
	}
	if _, ok := Sockaddr(netip.MustParseAddrPort("[::ffff:192.0.2.1]:53")).(*unix.SockaddrInet4); !ok {
		t.Error("a mapped address is not taken as IPv4")
	}
}
