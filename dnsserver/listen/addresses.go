package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// HostAddresses lists the addresses of all interfaces; link-local IPv6 ones carry their zone.
// The kernel is asked once, however many interfaces there are: this is done every second.
func HostAddresses() ([]netip.Addr, error) {
	all, err := addresses(nil)
	if err != nil {
		return nil, fmt.Errorf("cannot list the addresses of the interfaces: %w", err)
	}
	var list []netip.Addr
	for _, a := range all {
		ip := prefixOf(a).Addr()
		if ip.Is6() && ip.IsLinkLocalUnicast() {
			i, err := net.InterfaceByIndex(a.LinkIndex)
			if err != nil {
				continue // it has gone meanwhile, and its addresses with it
			}
			ip = ip.WithZone(i.Name)
		}
		if ip.IsValid() {
			list = append(list, ip)
		}
	}
	return list, nil
}

// NetworksOf lists the networks that an interface has addresses in, link-local ones
// excepted; none where there is no such interface.
func NetworksOf(name string) []netip.Prefix {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil
	}
	all, err := addresses(link)
	if err != nil {
		return nil
	}
	var list []netip.Prefix
	for _, a := range all {
		if p := prefixOf(a); p.IsValid() && !p.Addr().IsLinkLocalUnicast() {
			list = append(list, p.Masked())
		}
	}
	return list
}

// addresses are those of a link, or of all. Where they keep changing while the kernel lists
// them, some may be missing.
func addresses(link netlink.Link) (list []netlink.Addr, err error) {
	for range 3 {
		list, err = netlink.AddrList(link, netlink.FAMILY_ALL)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return list, err
		}
	}
	return list, nil
}

// prefixOf is an address and its network; invalid if it is neither IPv4 nor IPv6.
func prefixOf(a netlink.Addr) netip.Prefix {
	ip, ok := netip.AddrFromSlice(a.IP)
	if !ok {
		return netip.Prefix{}
	}
	bits, _ := a.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), bits)
}
