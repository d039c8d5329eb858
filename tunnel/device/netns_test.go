package device

import (
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ownNetwork moves the test into a network namespace of its own, with the interface
// "net0" and its other end "net1".
func ownNetwork(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // for good: the namespace ends with the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("cannot make a network namespace (root may): %v", err)
	}
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "net0"}, PeerName: "net1"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lo", "net0", "net1"} {
		if err := netlink.LinkSetUp(link(t, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestProbeLeavesNothing(t *testing.T) {
	ownNetwork(t)
	if err := Probe(); err != nil && !errors.Is(err, errNoModule) {
		t.Fatal(err)
	}
	if links, err := netlink.LinkList(); err != nil || len(links) != 3 {
		t.Errorf("%v, %v", links, err)
	}
}

// Without the right to make interfaces nothing is said about modules.
func TestProbeTellsNoRightsFromNoModule(t *testing.T) {
	ownNetwork(t)
	capabilities := []unix.CapUserData{{}, {}}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capset(&header, &capabilities[0]); err != nil { // of this thread, which ends with the test
		t.Fatal(err)
	}
	if err := Probe(); err == nil || errors.Is(err, errNoModule) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Error(err)
	}
}

func TestOpenRefusesWhatIsNotWireGuard(t *testing.T) {
	ownNetwork(t)
	_, err := Open(Options{Name: "net0", Datapath: Auto, MTU: 1420, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err == nil || !strings.Contains(err.Error(), "TUNNEL_INTERFACE") {
		t.Error(err)
	}
	link(t, "net0") // nobody removed it
}

func TestSetLinkChangesOnlyWhatDiffers(t *testing.T) {
	ownNetwork(t)
	d := &Device{name: "net0"}
	if d.index = link(t, "net0").Attrs().Index; d.index == 0 {
		t.Fatal("no index")
	}
	for _, step := range []struct {
		mtu       int
		addresses []string
		changed   int
	}{
		{1420, []string{"10.99.0.1/16", "fd12::1/64"}, 3},
		{1420, []string{"10.99.0.1/16", "fd12::1/64"}, 0},
		{1320, []string{"10.99.0.1/24", "fd12::1/64"}, 3},
		{1320, nil, 2},
	} {
		var want []netip.Prefix
		for _, a := range step.addresses {
			want = append(want, netip.MustParsePrefix(a))
		}
		changed, err := d.SetLink(step.mtu, want)
		if err != nil || changed != step.changed {
			t.Errorf("%+v: %d, %v", step, changed, err)
		}
		l := link(t, "net0")
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		var got []netip.Prefix
		for _, a := range addrs {
			if p := prefixOf(a.IPNet); !p.Addr().IsLinkLocalUnicast() {
				got = append(got, p)
			}
		}
		slices.SortFunc(got, netip.Prefix.Compare)
		if !slices.Equal(got, want) || l.Attrs().MTU != step.mtu {
			t.Errorf("%+v: MTU %d, %v", step, l.Attrs().MTU, got)
		}
	}
}

// Peers have addresses of IPv6 also at a gateway whose administrator has turned IPv6 off.
func TestSetLinkWhereIPv6IsOff(t *testing.T) {
	ownNetwork(t)
	const file = "/proc/sys/net/ipv6/conf/net0/disable_ipv6"
	if err := os.WriteFile(file, []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := &Device{name: "net0", index: link(t, "net0").Attrs().Index}
	if changed, err := d.SetLink(1420, []netip.Prefix{netip.MustParsePrefix("10.99.0.1/16"), netip.MustParsePrefix("fd12::1/64")}); err != nil || changed != 3 {
		t.Errorf("%d, %v", changed, err)
	}
}

func TestUnderlayIsWhereTheAddressIs(t *testing.T) {
	ownNetwork(t)
	if _, _, err := Underlay(); err == nil {
		t.Error("there is none, and no error")
	}
	address := func(name, a string) {
		addr, err := netlink.ParseAddr(a)
		if err == nil {
			err = netlink.AddrAdd(link(t, name), addr)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	address("net0", "10.200.0.1/24")
	address("net1", "10.201.0.1/24")
	if err := netlink.LinkSetMTU(link(t, "net1"), 1400); err != nil {
		t.Fatal(err)
	}
	gateway := netip.MustParseAddr("10.200.0.254")
	if err := netlink.RouteAdd(&netlink.Route{Gw: gateway.AsSlice()}); err != nil {
		t.Fatal(err)
	}
	public, own := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("10.201.0.1")
	for _, test := range []struct {
		candidates []netip.Addr
		name       string
		mtu        int
	}{
		{nil, "net0", 1500},
		{[]netip.Addr{{}, public, own}, "net1", 1400}, // behind somebody's NAT
		{[]netip.Addr{public}, "net0", 1500},
	} {
		name, mtu, err := Underlay(test.candidates...)
		if err != nil || name != test.name || mtu != test.mtu {
			t.Errorf("%v: %s, %d, %v", test.candidates, name, mtu, err)
		}
	}
}

func TestWatchTellsOfAChange(t *testing.T) {
	ownNetwork(t)
	done := make(chan struct{})
	defer close(done)
	changes, err := Watch(done)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetMTU(link(t, "net0"), 1400); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changes:
	case <-time.After(20 * time.Second):
		t.Error("nothing was told")
	}
}
