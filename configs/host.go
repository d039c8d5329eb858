package configs

import (
	"fmt"
	"net/netip"
	"strings"
)

// HostFacts is what defaults and checks need to know about the machine. The
// zero value is a machine about which nothing is known.
type HostFacts struct {
	// Hostname is the kernel's name of the host.
	Hostname string
	// HostsFile is the content of /etc/hosts.
	HostsFile string
	// Interfaces are the network interfaces that are up, with their addresses.
	Interfaces []Interface
	// DefaultInterface holds the IPv4 default route with the lowest metric, ""
	// when there is none; DefaultInterface6 is the same for IPv6.
	DefaultInterface  string
	DefaultInterface6 string
	// Users are the names in /etc/passwd.
	Users []string
}

// Interface is a network interface and the addresses it holds.
type Interface struct {
	Name  string
	Addrs []netip.Addr
	// Networks are the addresses with the lengths of their networks, not masked.
	Networks []netip.Prefix
}

// Addrs are the addresses of all interfaces.
func (h HostFacts) Addrs() []netip.Addr {
	var list []netip.Addr
	for _, i := range h.Interfaces {
		list = append(list, i.Addrs...)
	}
	return list
}

// defaultAddr is the address of the interface with the default route, IPv4
// first; the zero Addr when there is none.
func (h HostFacts) defaultAddr() netip.Addr {
	for _, family := range []struct {
		iface string
		is    func(netip.Addr) bool
	}{{h.DefaultInterface, netip.Addr.Is4}, {h.DefaultInterface6, netip.Addr.Is6}} {
		for _, i := range h.Interfaces {
			if family.iface == "" || i.Name != family.iface {
				continue
			}
			for _, a := range i.Addrs {
				if family.is(a) && isHostAddr(a) {
					return a
				}
			}
		}
	}
	return netip.Addr{}
}

// unreachable says why other hosts cannot reach this one by the address; "" when
// nothing speaks against it. An address that no interface holds may be right:
// some clouds translate addresses.
func (h HostFacts) unreachable(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "stands for every address"
	case a.IsLoopback():
		return "is a loopback address"
	case a.IsMulticast():
		return "is a multicast address"
	}
	for _, i := range h.Interfaces {
		for _, held := range i.Addrs {
			if held.WithZone("") == a.WithZone("") && h.isBridge(i.Name) {
				return fmt.Sprintf("is an address of %s, a network inside this host", i.Name)
			}
		}
	}
	return ""
}

// isBridge tells by its name whether an interface leads to containers or virtual
// machines of this host only. The one with the default route leads outside,
// whatever its name is.
func (h HostFacts) isBridge(name string) bool {
	if name == h.DefaultInterface || name == h.DefaultInterface6 {
		return false
	}
	for _, prefix := range []string{"docker", "br-", "virbr", "veth"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// candidateText lists the addresses that IP could be, for messages.
func (h HostFacts) candidateText() string {
	var first, rest []string
	for _, i := range h.Interfaces {
		if h.isBridge(i.Name) {
			continue
		}
		for _, a := range i.Addrs {
			text := fmt.Sprintf("%s (%s)", a, i.Name)
			switch {
			case !isHostAddr(a):
			case i.Name == h.DefaultInterface:
				first = append(first, text)
			default:
				rest = append(rest, text)
			}
		}
	}
	if len(first)+len(rest) == 0 {
		return "an address of this host; none was found on its interfaces"
	}
	return oneOf(append(first, rest...))
}

// isHostAddr tells whether an interface's address can be a host's address to others.
func isHostAddr(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsLinkLocalUnicast()
}

// qualify finds the fully qualified name of a host in the text of /etc/hosts: the
// first dotted name on a line that holds the host's name. Names of localhost are
// passed over: some systems put the host's name beside them.
func qualify(hostsFile, host string) (name string, ok bool) {
	for line := range strings.Lines(hostsFile) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		dotted, holds := "", false
		for _, n := range fields[1:] {
			n = strings.TrimSuffix(n, ".")
			holds = holds || strings.EqualFold(n, host)
			lower := strings.ToLower(n)
			if dotted == "" && strings.Contains(n, ".") && !strings.HasPrefix(lower, "localhost.") && !strings.HasSuffix(lower, ".localhost") && checkName(n) == nil {
				dotted = n
			}
		}
		if holds && dotted != "" {
			return dotted, true
		}
	}
	return "", false
}
