package test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"panteras/internal/lab"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// host is a machine of its own as far as networks go: a network namespace, and a mount
// namespace with a /run where nothing is yet, and an /etc whose changes nobody else sees. The test's own goroutine goes there and
// back, with everything that it calls.
type host struct{ net, mnt *os.File }

// bareHost makes a host, with nothing but a loopback interface.
func bareHost(t testing.TB) *host {
	t.Helper()
	lab.Root(t) // it is looked for from the working folder, which a mount namespace takes away
	runtime.LockOSThread()
	home := hereNow(t)
	defer home.leaveTo(t)
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		t.Skipf("cannot make namespaces (root may): %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("cannot keep mounts from the host: %v", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatalf("cannot mount a /run: %v", err)
	}
	ownCopyOfEtc(t)
	linkUp(t, "lo")
	h := hereNow(t)
	t.Cleanup(func() { h.net.Close(); h.mnt.Close() })
	return h
}

// ownCopyOfEtc puts something over /etc that takes changes in place of it: hooks of wg-quick
// write /etc/resolv.conf, and must never write the machine's.
func ownCopyOfEtc(t testing.TB) {
	t.Helper()
	here, _ := os.Readlink("/proc/thread-self/ns/mnt")
	if machine, err := os.Readlink("/proc/1/ns/mnt"); err == nil && here == machine {
		t.Fatal("the test has no mount namespace of its own, so the machine would get another /etc")
	}
	for _, dir := range []string{"/run/etc/upper", "/run/etc/work"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if unix.Mount("overlay", "/etc", "overlay", 0, "lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work") != nil {
		if out, err := exec.Command("cp", "-a", "/etc/.", "/run/etc/upper").CombinedOutput(); err != nil {
			t.Fatalf("cannot copy /etc: %v\n%s", err, out)
		}
		if err := unix.Mount("/run/etc/upper", "/etc", "", unix.MS_BIND, ""); err != nil {
			t.Fatalf("cannot keep changes of /etc from the machine: %v", err)
		}
	}
	_ = os.Remove("/etc/resolv.conf") // it may be a link
	if err := os.WriteFile("/etc/resolv.conf", []byte(resolvConf), 0o644); err != nil {
		t.Fatal(err)
	}
}

// resolvConf is what a host's resolv.conf says at first: a server that does not exist.
const resolvConf = "nameserver 192.0.2.53\n"

// hereNow is where the test's thread is.
func hereNow(t testing.TB) *host {
	t.Helper()
	h := &host{}
	for path, file := range map[string]**os.File{"/proc/thread-self/ns/net": &h.net, "/proc/thread-self/ns/mnt": &h.mnt} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		*file = f
	}
	return h
}

// enter moves the test's thread.
func (h *host) enter(t testing.TB) {
	t.Helper()
	for file, flag := range map[*os.File]int{h.net: unix.CLONE_NEWNET, h.mnt: unix.CLONE_NEWNS} {
		if err := unix.Setns(int(file.Fd()), flag); err != nil {
			t.Fatalf("cannot enter a namespace: %v", err)
		}
	}
}

// leaveTo enters and forgets.
func (h *host) leaveTo(t testing.TB) {
	t.Helper()
	h.enter(t)
	h.net.Close()
	h.mnt.Close()
}

// do runs f on the host. It may fail the test.
func (h *host) do(t testing.TB, f func()) {
	t.Helper()
	home := hereNow(t)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		home.leaveTo(t)
		if err := unix.Chdir(dir); err != nil {
			t.Fatal(err)
		}
	}()
	h.enter(t)
	f()
}

// try runs a program on the host to its end and returns what it printed.
func (h *host) try(t testing.TB, env []string, name string, args ...string) (string, error) {
	t.Helper()
	var out []byte
	var err error
	h.do(t, func() {
		cmd := exec.Command(name, args...)
		cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}, env...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		out, err = cmd.CombinedOutput()
	})
	return string(out), err
}

// run is try for what must succeed.
func (h *host) run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := h.try(t, nil, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// address gives an interface of the host an address.
func (h *host) address(t testing.TB, link, address string) {
	t.Helper()
	h.do(t, func() { addAddress(t, link, address) })
}

// route sends what is for a network over a neighbour.
func (h *host) route(t testing.TB, network, via string) {
	t.Helper()
	h.do(t, func() {
		_, dst, err := net.ParseCIDR(network)
		if err == nil {
			err = netlink.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(via)})
		}
		if err != nil {
			t.Fatalf("cannot route %s via %s: %v", network, via, err)
		}
	})
}

// mtu sets the MTU of an interface.
func (h *host) mtu(t testing.TB, name string, mtu int) {
	t.Helper()
	h.do(t, func() {
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetMTU(link, mtu)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// connect puts a wire between two hosts, an interface at each end.
func connect(t testing.TB, a *host, aLink, aAddress string, b *host, bLink, bAddress string) {
	t.Helper()
	a.do(t, func() {
		wire := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: aLink}, PeerName: bLink, PeerNamespace: netlink.NsFd(int(b.net.Fd()))}
		if err := netlink.LinkAdd(wire); err != nil {
			t.Fatalf("cannot connect two hosts: %v", err)
		}
	})
	for _, end := range []struct {
		host          *host
		link, address string
	}{{a, aLink, aAddress}, {b, bLink, bAddress}} {
		end.host.do(t, func() {
			link, err := netlink.LinkByName(end.link)
			if err == nil {
				err = netlink.LinkSetIP6AddrGenMode(link, nl.IN6_ADDR_GEN_MODE_NONE)
			}
			if err != nil {
				t.Fatal(err)
			}
			linkUp(t, end.link)
			addAddress(t, end.link, end.address)
		})
	}
}

// dial connects from the host.
func (h *host) dial(t testing.TB, network, address string, d net.Dialer) (conn net.Conn, err error) {
	t.Helper()
	if d.Timeout == 0 {
		d.Timeout = patience
	}
	h.do(t, func() { conn, err = d.Dial(network, address) })
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

// echo serves TCP on the host: whoever connects is sent what he sends.
func (h *host) echo(t testing.TB, address string) {
	t.Helper()
	h.serve(t, address, func(c net.Conn) { _, _ = io.Copy(c, c) })
}

// serve serves TCP on the host.
func (h *host) serve(t testing.TB, address string, handle func(net.Conn)) {
	t.Helper()
	var l net.Listener
	var err error
	h.do(t, func() { l, err = net.Listen("tcp", address) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
}

// packets opens a UDP socket on the host.
func (h *host) packets(t testing.TB, address string) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	var err error
	h.do(t, func() { c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address))) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// DialContext connects from the host, whatever goroutine calls it.
func (h *host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		var r result
		if r.err = unix.Setns(int(h.net.Fd()), unix.CLONE_NEWNET); r.err == nil {
			r.conn, r.err = new(net.Dialer).DialContext(ctx, network, address)
		}
		done <- r
	}()
	r := <-done
	return r.conn, r.err
}
