package client

import (
	"net/netip"
	"strings"
)

// linuxHooks are what wg-quick runs so that the platform's names, and no others,
// are asked of the gateway. They never fail: wg-quick takes the interface down
// again when a hook does. With systemd-resolved only the domains go to the gateway.
// Without, the gateway becomes the first server for all names, by resolvconf or in
// resolv.conf, which gets its content back in the end; %i is the interface. The shell
// has set -e.
func linuxHooks(servers []netip.Addr, domains []string) []string {
	if len(servers) == 0 || len(domains) == 0 {
		return nil
	}
	dns := joinedWords(servers, netip.Addr.String)
	routes := joinedWords(domains, func(d string) string { return "'~" + d + "'" })
	lines := joinedWords(servers, func(a netip.Addr) string { return "'nameserver " + a.String() + "'" })
	const saved = "/etc/resolv.conf.%i"
	return []string{
		"PostUp = { resolvectl dns %i " + dns + " && resolvectl domain %i " + routes + " && { resolvectl default-route %i no || true; }; } 2>/dev/null" +
			" || printf '%s\\n' " + lines + " | resolvconf -a %i -m 0 -x 2>/dev/null" +
			" || { { test -e " + saved + " || cp /etc/resolv.conf " + saved + "; } && { printf '%s\\n' " + lines + "; cat " + saved + "; } > /etc/resolv.conf; }" +
			" || echo 'cannot set up DNS: ask " + dns + " for the names' >&2 || true",
		"PreDown = resolvectl revert %i 2>/dev/null || true; resolvconf -d %i -f 2>/dev/null || true; ! test -e " + saved + " || { cat " + saved + " > /etc/resolv.conf && rm " + saved + "; } || true",
	}
}

// macScript makes a file for each domain, which macOS asks before all others.
func macScript(servers []netip.Addr, domains []string) string {
	if len(servers) == 0 || len(domains) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("#!/bin/sh\nsudo mkdir -p /etc/resolver\n")
	lines := joinedWords(servers, func(a netip.Addr) string { return "'nameserver " + a.String() + "'" })
	for _, d := range domains {
		b.WriteString("printf '%s\\n' " + lines + " | sudo tee '/etc/resolver/" + d + "' >/dev/null\n")
	}
	return b.String()
}

// windowsScript makes a rule for each domain, in place of those made before.
func windowsScript(servers []netip.Addr, domains []string) string {
	if len(servers) == 0 || len(domains) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("Get-DnsClientNrptRule | Where-Object Comment -eq 'panteras' | Remove-DnsClientNrptRule -Force\r\n")
	list := strings.ReplaceAll(joinedWords(servers, func(a netip.Addr) string { return "'" + a.String() + "'" }), " ", ",")
	for _, d := range domains {
		b.WriteString("Add-DnsClientNrptRule -Namespace '." + d + "' -NameServers " + list + " -Comment 'panteras'\r\n")
	}
	return b.String()
}

func joinedWords[T any](list []T, text func(T) string) string {
	return strings.ReplaceAll(joined(list, text), ", ", " ")
}
