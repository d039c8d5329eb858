package test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ownNetwork moves the test into a network namespace of its own, where every port
// is free, with the loopback interface and one named "net0" that has no
// addresses yet. What the test's own goroutine opens or starts is in there; what
// other goroutines open is not, and so is no subtest. The namespace has no name and
// goes away with the last that is in it.
func ownNetwork(t testing.TB) {
	t.Helper()
	enter(t, unix.CLONE_NEWNET, "a network namespace")
	linkUp(t, "lo")
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "net0"}, PeerName: "net0-peer"}); err != nil {
		t.Fatalf("cannot add an interface: %v", err)
	}
	for _, name := range []string{"net0-peer", "net0"} {
		link, err := netlink.LinkByName(name)
		if err == nil { // no address of its own: that it is ready, a second later, is a change that a test did not make
			err = netlink.LinkSetIP6AddrGenMode(link, nl.IN6_ADDR_GEN_MODE_NONE)
		}
		if err != nil {
			t.Fatalf("cannot prepare %s: %v", name, err)
		}
		linkUp(t, name)
	}
}

// enter unshares namespaces for the thread that runs the test. The thread stays
// with the goroutine, and ends with it: no other goroutine ever gets to run there.
func enter(t testing.TB, flags int, what string) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(flags); err != nil {
		t.Skipf("cannot make %s (root may): %v", what, err)
	}
}

// ownEtc gives the test and the programs that it starts an /etc that holds nothing
// but what the test puts there, and returns the folder. The host's stays as it is.
func ownEtc(t testing.TB, files map[string]string) string {
	t.Helper()
	etc := t.TempDir()
	for name, content := range files {
		put(t, filepath.Join(etc, name), content)
	}
	enter(t, unix.CLONE_NEWNS, "a mount namespace")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("cannot keep mounts from the host: %v", err)
	}
	if err := unix.Mount(etc, "/etc", "", unix.MS_BIND, ""); err != nil {
		t.Skipf("cannot mount over /etc: %v", err)
	}
	return etc
}

// put replaces a file at once, as programs do that know what they are doing.
func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func linkUp(t testing.TB, name string) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		t.Fatalf("cannot bring up %s: %v", name, err)
	}
}

// addAddress gives an interface an address, ready for use at once.
func addAddress(t testing.TB, link, address string) {
	t.Helper()
	if err := changeAddress(netlink.AddrAdd, link, address); err != nil {
		t.Fatalf("cannot add %s to %s: %v", address, link, err)
	}
}

// nobodyAt makes an address known to an interface, behind which nobody is: what is sent
// there is lost, without a word.
func nobodyAt(t testing.TB, link, address string) {
	t.Helper()
	on, err := netlink.LinkByName(link)
	if err == nil {
		err = netlink.NeighAdd(&netlink.Neigh{
			LinkIndex: on.Attrs().Index, IP: net.ParseIP(address), State: netlink.NUD_PERMANENT, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 2},
		})
	}
	if err != nil {
		t.Fatalf("cannot make %s a neighbour: %v", address, err)
	}
}

// removeAddress takes it away again.
func removeAddress(t testing.TB, link, address string) {
	t.Helper()
	if err := changeAddress(netlink.AddrDel, link, address); err != nil {
		t.Fatalf("cannot remove %s from %s: %v", address, link, err)
	}
}

func changeAddress(change func(netlink.Link, *netlink.Addr) error, link, address string) error {
	on, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	if addr.IP.To4() == nil {
		addr.Flags = unix.IFA_F_NODAD // or IPv6 looks for duplicates for a second
	}
	return change(on, addr)
}

// neighbour is another host: a thread in a network namespace of its own, on one
// wire with the test's.
type neighbour struct{ calls chan func() }

// newNeighbour makes a host that is connected to the test's namespace: there the
// wire is the interface "wire", and in the neighbour's "eth0".
func newNeighbour(t testing.TB) *neighbour {
	t.Helper()
	n := &neighbour{calls: make(chan func())}
	started := make(chan error)
	fd := -1
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		started <- err
		for call := range n.calls {
			call()
		}
	}()
	t.Cleanup(func() { close(n.calls); <-ended })
	if err := <-started; err != nil {
		t.Skipf("cannot make a network namespace (root may): %v", err)
	}
	defer unix.Close(fd)
	wire := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wire"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(fd)}
	if err := netlink.LinkAdd(wire); err != nil {
		t.Fatalf("cannot connect two namespaces: %v", err)
	}
	linkUp(t, "wire")
	n.do(func() { linkUp(t, "lo"); linkUp(t, "eth0") })
	return n
}

// do runs f as the neighbour. It must not call t.Fatal: that ends goroutines, and
// this one is not the test's.
func (n *neighbour) do(f func()) {
	done := make(chan struct{})
	n.calls <- func() { defer close(done); f() }
	<-done
}

// add gives the neighbour an address.
func (n *neighbour) add(t testing.TB, address string) {
	t.Helper()
	var err error
	n.do(func() { err = changeAddress(netlink.AddrAdd, "eth0", address) })
	if err != nil {
		t.Fatalf("cannot add %s to the neighbour: %v", address, err)
	}
}

// dial connects from one of the neighbour's addresses.
func (n *neighbour) dial(t testing.TB, network, from string, server netip.AddrPort) net.Conn {
	t.Helper()
	dialer := net.Dialer{Timeout: patience}
	ip := net.ParseIP(from)
	if dialer.LocalAddr = (&net.UDPAddr{IP: ip}); network == "tcp" {
		dialer.LocalAddr = &net.TCPAddr{IP: ip}
	}
	var conn net.Conn
	var err error
	n.do(func() { conn, err = dialer.Dial(network, server.String()) })
	if err != nil {
		t.Fatalf("the neighbour cannot reach %s: %v", server, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
