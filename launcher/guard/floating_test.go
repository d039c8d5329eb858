package guard

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"panteras/launcher"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Only what keepalived has put on a device is taken away: not the same address with a
// network, which is an operator's, nor on another device, nor another address.
func TestRemoveFloating(t *testing.T) {
	runtime.LockOSThread() // for good: the namespace ends with the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("cannot make a network namespace (root may): %v", err)
	}
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "net0"}, PeerName: "net1"}); err != nil {
		t.Fatal(err)
	}
	for device, list := range map[string][]string{
		"net0": {"10.7.0.1/24", "10.7.0.100/32", "10.7.0.101/32", "fd00::100/128"},
		"net1": {"10.7.0.100/32", "10.7.0.102/24"},
	} {
		for _, text := range list {
			addr, err := netlink.ParseAddr(text)
			if err != nil {
				t.Fatal(err)
			}
			if err := netlink.AddrAdd(linkOf(t, device), addr); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, f := range []launcher.Floating{
		{},
		{Device: "net9", Addr: netip.MustParseAddr("10.7.0.100")},
		{Device: "net0", Addr: netip.MustParseAddr("10.7.0.100")},
		{Device: "net0", Addr: netip.MustParseAddr("10.7.0.100")}, // it is not there any more
		{Device: "net0", Addr: netip.MustParseAddr("fd00::100")},
		{Device: "net0", Addr: netip.MustParseAddr("10.7.0.1")},
		{Device: "net1", Addr: netip.MustParseAddr("10.7.0.102")},
	} {
		if err := RemoveFloating(f); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
	for device, want := range map[string][]string{"net0": {"10.7.0.1/24", "10.7.0.101/32"}, "net1": {"10.7.0.100/32", "10.7.0.102/24"}} {
		addrs, err := netlink.AddrList(linkOf(t, device), netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range addrs {
			got = append(got, a.IPNet.String())
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", device, got, want)
		}
	}
}

func linkOf(t *testing.T, device string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(device)
	if err != nil {
		t.Fatal(err)
	}
	return link
}
