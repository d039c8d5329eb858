package device

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// overhead is what WireGuard adds to a packet: an IPv6 header, the larger one, UDP's, its
// own 16 bytes and the tag of 16.
const overhead = 80

// smallestMTU is what IPv6 needs; an interface below has none.
const smallestMTU = 1280

// InnerMTU is the tunnel's MTU over an underlay: no packet of it is larger than the
// underlay carries, unless that were too small for IPv6.
func InnerMTU(underlay int) int { return max(underlay-overhead, smallestMTU) }

// Underlay finds the interface that carries the tunnel and its MTU: the one that has the
// first address that this host has at all, else the one with the default route.
func Underlay(candidates ...netip.Addr) (name string, mtu int, err error) {
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return "", 0, err
	}
	for _, c := range candidates {
		i := slices.IndexFunc(addrs, func(a netlink.Addr) bool { return c.IsValid() && a.IP.Equal(net.IP(c.AsSlice())) })
		if i >= 0 {
			return linkMTU(addrs[i].LinkIndex)
		}
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return "", 0, err
		}
		for _, r := range routes {
			if r.LinkIndex == 0 {
				continue
			}
			if r.Dst == nil {
				return linkMTU(r.LinkIndex)
			}
			if ones, _ := r.Dst.Mask.Size(); ones == 0 && r.Dst.IP.IsUnspecified() {
				return linkMTU(r.LinkIndex)
			}
		}
	}
	return "", 0, errors.New("no interface has a default route or the address of TUNNEL_ENDPOINT or IP")
}

func linkMTU(index int) (string, int, error) {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return "", 0, err
	}
	return link.Attrs().Name, link.Attrs().MTU, nil
}

// Holds says whether an interface of this host has an address.
func Holds(address netip.Addr) (bool, error) {
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return false, permission("cannot read the addresses of this host", err)
	}
	return slices.ContainsFunc(list, func(a netlink.Addr) bool { return a.IP.Equal(net.IP(address.AsSlice())) }), nil
}

// SetLink gives the interface its MTU and addresses, and takes others away. It returns how
// many things had to change.
func (d *Device) SetLink(mtu int, addresses []netip.Prefix) (changed int, err error) {
	if d.engine != nil {
		d.engine.bind.look() // a floating address may have come or gone
	}
	link, err := d.link()
	if err != nil {
		return 0, err
	}
	if link.Attrs().MTU != mtu {
		if err := netlink.LinkSetMTU(link, mtu); err != nil {
			return 0, permission(fmt.Sprintf("cannot set the MTU of %s to %d", d.name, mtu), err)
		}
		changed++
	}
	have, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return changed, permission("cannot read the addresses of "+d.name, err)
	}
	present := map[netip.Prefix]bool{}
	for _, a := range have {
		p := prefixOf(a.IPNet)
		present[p] = true
		if slices.Contains(addresses, p) || p.Addr().IsLinkLocalUnicast() {
			continue
		}
		if err := netlink.AddrDel(link, &a); err != nil {
			return changed, permission(fmt.Sprintf("cannot remove %s from %s", p, d.name), err)
		}
		changed++
	}
	for _, p := range addresses {
		if present[p] {
			continue
		}
		a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD // nobody else is on this link, and it would take a second
			d.allowIPv6()
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return changed, permission(fmt.Sprintf("cannot give %s the address %s", d.name, p), err)
		}
		changed++
	}
	return changed, nil
}

// allowIPv6 turns IPv6 on for the interface, which is ours, where the host has it off for new
// ones (net.ipv6.conf.default.disable_ipv6): peers have addresses of it. If that fails, so
// does what needs it, and says so.
func (d *Device) allowIPv6() {
	const off, on = "1", "0"
	file := filepath.Join("/proc/sys/net/ipv6/conf", d.name, "disable_ipv6")
	if now, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(now)) == off {
		_ = os.WriteFile(file, []byte(on), 0o644)
	}
}

func prefixOf(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones)
}

// Watch returns a channel that gets something whenever an interface, an address or a
// route of this host changes; changes that come together may be told once. It ends with
// done.
func Watch(done <-chan struct{}) (<-chan struct{}, error) {
	links, addrs, routes := make(chan netlink.LinkUpdate, 16), make(chan netlink.AddrUpdate, 16), make(chan netlink.RouteUpdate, 16)
	err := errors.Join(netlink.LinkSubscribe(links, done), netlink.AddrSubscribe(addrs, done), netlink.RouteSubscribe(routes, done))
	if err != nil {
		return nil, permission("cannot follow changes of the network", err)
	}
	changes := make(chan struct{}, 1)
	go func() {
		for links != nil || addrs != nil || routes != nil {
			var ok bool
			select {
			case _, ok = <-links:
				if !ok {
					links = nil
				}
			case _, ok = <-addrs:
				if !ok {
					addrs = nil
				}
			case _, ok = <-routes:
				if !ok {
					routes = nil
				}
			}
			if ok {
				select {
				case changes <- struct{}{}:
				default:
				}
			}
		}
	}()
	return changes, nil
}
