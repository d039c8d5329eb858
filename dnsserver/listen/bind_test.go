package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

func TestMain(m *testing.M) {
	if os.Getenv(inheritMode) != "" {
		inherit()
		return
	}
	goleak.VerifyTestMain(m)
}

func local(t *testing.T, ip string) netip.AddrPort {
	t.Helper()
	return netip.AddrPortFrom(netip.MustParseAddr(ip), lab.Port(t))
}

func bind(t *testing.T, a netip.AddrPort, readers int) *Sockets {
	t.Helper()
	s, err := Bind(a, readers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestBindOpensASocketForEachReader(t *testing.T) {
	t.Parallel()
	a := local(t, "127.0.0.1")
	s := bind(t, a, 3)
	if len(s.UDP) != 3 || s.TCP == nil || s.Addr != a || s.Shared {
		t.Fatalf("%+v", s)
	}
	// What is sent arrives at one of them, spread by source.
	used := map[int]bool{}
	for range 200 {
		c, err := net.Dial("udp", a.String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("x"))
		c.Close()
		arrived := 0
		for i, fd := range s.UDP {
			if n, _, err := unix.Recvfrom(fd, make([]byte, 10), 0); err == nil && n == 1 {
				arrived++
				used[i] = true
			}
		}
		if arrived != 1 {
			t.Fatalf("a datagram arrived %d times", arrived)
		}
	}
	if len(used) != 3 {
		t.Errorf("%d of 3 sockets got anything", len(used))
	}
	c, err := net.DialTimeout("tcp", a.String(), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// Two copies of a server must not share a port: each would get a part of the queries.
func TestBindingTwiceNamesTheHolder(t *testing.T) {
	t.Parallel()
	for _, ips := range [][2]string{{"127.0.0.1", "127.0.0.1"}, {"127.0.0.1", "0.0.0.0"}, {"0.0.0.0", "127.0.0.1"}, {"0.0.0.0", "0.0.0.0"}} {
		first := local(t, ips[0])
		second := netip.AddrPortFrom(netip.MustParseAddr(ips[1]), first.Port())
		bind(t, first, 2)
		_, err := Bind(second, 2)
		var inUse *InUseError
		if !errors.As(err, &inUse) {
			t.Fatalf("%s after %s: %v", second, first, err)
		}
		if inUse.Addr != second || inUse.Network != "udp" || len(inUse.Holders) != 1 {
			t.Fatalf("%+v", inUse)
		}
		if h := inUse.Holders[0]; h.PID != os.Getpid() || h.Name == "" || h.Addr != first {
			t.Errorf("held by %+v, want pid %d on %s", h, os.Getpid(), first)
		}
		for _, piece := range []string{second.String() + "/udp", fmt.Sprintf("pid %d", os.Getpid()), first.String(), "DNS_LISTEN"} {
			if !strings.Contains(err.Error(), piece) {
				t.Errorf("%q lacks %q", err, piece)
			}
		}
	}
}

func TestBindNextToOthers(t *testing.T) {
	t.Parallel()
	port := lab.Port(t)
	bind(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), 1)
	bind(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), port), 1) // another address
	v6, err := Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), port), 1)  // another family
	if errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skip("this host has no IPv6")
	}
	if err != nil {
		t.Fatal(err)
	}
	v6.Close()
}

func TestATakenTCPPortIsNoSuccess(t *testing.T) {
	t.Parallel()
	a := local(t, "127.0.0.1")
	l, err := net.Listen("tcp", a.String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Bind(a, 1)
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.Network != "tcp" || len(inUse.Holders) != 1 || inUse.Holders[0].PID != os.Getpid() {
		t.Fatalf("%v", err)
	}
	// Nothing of the failed attempt is left.
	c, err := net.ListenPacket("udp", a.String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestSocketsAreGoneAfterClose(t *testing.T) {
	t.Parallel()
	a := local(t, "127.0.0.1")
	for range 3 {
		s, err := Bind(a, 2)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
}

func TestBindErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	a := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), lab.Port(t)) // documentation: on no interface
	var away *NotHereError
	if _, err := Bind(a, 1); !errors.As(err, &away) || away.Addr != a || !strings.Contains(err.Error(), a.String()) {
		t.Errorf("%v", err)
	}
	if err := explain(a, "udp", unix.EACCES); !strings.Contains(err.Error(), "CAP_NET_BIND_SERVICE") || !errors.Is(err, unix.EACCES) {
		t.Errorf("%v", err)
	}
	if err := explain(a, "udp", unix.EMFILE); !errors.Is(err, unix.EMFILE) || !strings.Contains(err.Error(), a.String()+"/udp") {
		t.Errorf("%v", err)
	}
}

func TestHostAddresses(t *testing.T) {
	t.Parallel()
	list, err := HostAddresses()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, a := range list {
		found = found || a == netip.MustParseAddr("127.0.0.1")
		if a.Is6() && a.IsLinkLocalUnicast() != (a.Zone() != "") || a.Is4In6() {
			t.Errorf("%s", a)
		}
	}
	if !found {
		t.Errorf("127.0.0.1 is not in %v", list)
	}
}

const inheritMode = "PANTERAS_TEST_INHERIT"

// inherit is what a started process does with the sockets handed to it: it tells them.
func inherit() {
	os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	list, err := Inherited()
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	for _, s := range list {
		fmt.Println(s.Addr, len(s.UDP), s.TCP != nil, s.Shared)
	}
	fmt.Println("left:", os.Getenv("LISTEN_FDS"))
}

func TestInherited(t *testing.T) {
	// Not parallel: a child has copies of all sockets until it executes its program, also of those that other tests have closed.
	a, b := local(t, "127.0.0.1"), local(t, "127.0.0.1")
	one, two := bind(t, a, 2), bind(t, b, 1)
	file := func(fd int) *os.File {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(dup), "socket")
		t.Cleanup(func() { f.Close() })
		return f
	}
	stream, err := one.TCP.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, test := range []struct {
		name  string
		files []*os.File
		want  string
	}{
		{"none", nil, "left: \n"},
		{"of two addresses", []*os.File{file(one.UDP[0]), stream, file(two.UDP[0]), file(one.UDP[1])}, fmt.Sprintf("%s 2 true true\n%s 1 false true\nleft: \n", a, b)},
		{"a file", []*os.File{file(one.UDP[0]), null}, "error: socket activation: descriptor 4 (LISTEN_FD_4): not a socket"},
		{"a second listener", []*os.File{stream, stream}, "a second TCP listener for " + a.String()},
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), inheritMode+"=1", fmt.Sprintf("LISTEN_FDS=%d", len(test.files)))
		cmd.ExtraFiles = test.files
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: %v, got\n%swant\n%s", test.name, err, out, test.want)
		}
	}
}
