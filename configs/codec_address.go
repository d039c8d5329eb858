package configs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

var address = codec[netip.Addr]{
	name:  "address",
	parse: parseAddr,
	format: func(a netip.Addr) string {
		if !a.IsValid() {
			return ""
		}
		return a.String()
	},
}

// servers is a list of addresses to send to. Repetitions are dropped: asking
// the same server twice is pointless but harms nobody.
func servers(defaultPort uint16) codec[[]netip.AddrPort] {
	return codec[[]netip.AddrPort]{
		name:   "addresses",
		parse:  func(text string) ([]netip.AddrPort, error) { return parseServers(text, defaultPort) },
		format: formatAddrPorts,
	}
}

var prefixes = codec[[]netip.Prefix]{
	name: "CIDRs",
	parse: func(text string) ([]netip.Prefix, error) {
		var list []netip.Prefix
		for _, item := range splitList(text) {
			p, err := parsePrefix(item)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
		if list == nil {
			return nil, errors.New("must list networks such as 10.0.0.0/8, separated by commas")
		}
		return list, nil
	},
	format: func(list []netip.Prefix) string {
		texts := make([]string, len(list))
		for i, p := range list {
			texts[i] = p.String()
		}
		return strings.Join(texts, ",")
	},
}

// addresses is a list of hosts.
var addresses = codec[[]netip.Addr]{
	name: "addresses",
	parse: func(text string) ([]netip.Addr, error) {
		var list []netip.Addr
		for _, item := range splitList(text) {
			a, err := parseAddr(item)
			if err != nil {
				return nil, err
			}
			if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
				return nil, fmt.Errorf("must list addresses of hosts, and %s is none", a)
			}
			if !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
		return list, nil
	},
	format: func(list []netip.Addr) string {
		texts := make([]string, len(list))
		for i, a := range list {
			texts[i] = a.String()
		}
		return strings.Join(texts, ",")
	},
}

// network is one prefix of the given family that can hold hosts.
func network(family string, is func(netip.Addr) bool, example string) codec[netip.Prefix] {
	return codec[netip.Prefix]{
		name: "CIDR",
		parse: func(text string) (netip.Prefix, error) {
			p, err := netip.ParsePrefix(text)
			if err != nil || !is(p.Addr()) || p.Addr().BitLen()-p.Bits() < 2 || p.Bits() == 0 {
				return netip.Prefix{}, fmt.Errorf("must be an %s network with room for hosts, such as %s", family, example)
			}
			return p.Masked(), nil
		},
		format: func(p netip.Prefix) string {
			if !p.IsValid() {
				return ""
			}
			return p.String()
		},
	}
}

// splitList takes a comma list; blanks separate as well, so that both habits work.
func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
}

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, errors.New("must be an IP address such as 10.0.0.5, not a host name")
	}
	return a.Unmap(), nil
}

// parseAddrPort reads addr, addr:port, [v6]:port and a bare v6 address. The
// port is defaultPort when left out.
func parseAddrPort(text string, defaultPort uint16) (netip.AddrPort, error) {
	host, portText, hasPort := cutPort(text)
	if a, err := netip.ParseAddr(host); err == nil {
		if !hasPort {
			return netip.AddrPortFrom(a.Unmap(), defaultPort), nil
		}
		p, err := port.parse(portText)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("holds %s, whose port is not a number from 1 to 65535", quote(text))
		}
		return netip.AddrPortFrom(a.Unmap(), p), nil
	}
	return netip.AddrPort{}, fmt.Errorf("holds %s: addresses are needed (addr, addr:port or [v6]:port), not host names", quote(text))
}

func parseServers(text string, defaultPort uint16) ([]netip.AddrPort, error) {
	var list []netip.AddrPort
	for _, item := range splitList(text) {
		server, err := parseAddrPort(item, defaultPort)
		if err != nil {
			return nil, err
		}
		if a := server.Addr(); a.IsUnspecified() || a.IsMulticast() {
			return nil, fmt.Errorf("holds %s, which is not the address of one server", quote(item))
		}
		if !slices.Contains(list, server) {
			list = append(list, server)
		}
	}
	if list == nil {
		return nil, errors.New("must list addresses addr[:port], separated by commas")
	}
	return list, nil
}

func formatAddrPorts(list []netip.AddrPort) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return strings.Join(texts, ",")
}

// parsePrefix reads a network, or an address as the network of that address alone.
func parsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("holds %s, which is not a network such as 10.0.0.0/8 or fd00::/8", quote(text))
	}
	if p.Addr().Is4In6() {
		// Sources are compared as plain IPv4, so a mapped network must be too.
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("holds %s, which mixes IPv4 and IPv6; write the IPv4 network plainly", quote(text))
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
