package dnsserver

import (
	"net/netip"
	"strings"

	"panteras/configs"
	"panteras/dnsserver/route"
)

// localhost is answered by its own rule (RFC 6761 section 6.3), in both address families whatever /etc/hosts says.
func localhost(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// localNames collects what is answered here: HOSTNAME and FQDN with IP, then /etc/hosts (hosts(5)), both ways. The settings win over the file,
// because Debian's says 127.0.1.1 for the host's own name.
func localNames(s *configs.Settings, hosts []byte) map[string]*localName {
	names := map[string]*localName{}
	add := func(name string, a netip.Addr) {
		key := string(wireName(name))
		n := names[key]
		if n == nil {
			n = &localName{}
			names[key] = n
		}
		n.addrs = append(n.addrs, a)
	}
	reverse := func(a netip.Addr, name string) {
		key := string(wireName(route.ReverseName(a)))
		if names[key] == nil {
			names[key] = &localName{ptr: []string{strings.TrimSuffix(name, ".") + "."}}
		}
	}
	fixed := map[string]bool{}
	for _, name := range []string{s.FQDN, s.Hostname} {
		key := string(wireName(name))
		if !s.IP.IsValid() || !hostName(name) || fixed[key] {
			continue
		}
		fixed[key] = true
		add(name, s.IP)
		reverse(s.IP, name)
	}
	for line := range strings.Lines(string(hosts)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		a, err := netip.ParseAddr(f[0])
		if err != nil {
			continue
		}
		a = a.Unmap().WithZone("")
		first := true
		for _, name := range f[1:] {
			if !hostName(name) || fixed[string(wireName(name))] {
				continue
			}
			if !localhost(name) {
				add(name, a)
			}
			if first {
				reverse(a, name)
				first = false
			}
		}
	}
	return names
}

// hostName says whether s can be served as a name: labels of 1 to 63 bytes, 253 in all, and not an address (HOSTNAME may be one).
func hostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 || strings.ContainsAny(s, `\"`) {
		return false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return true
}
