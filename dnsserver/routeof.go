package dnsserver

import (
	"log/slog"
	"net/netip"

	"panteras/configs"
	"panteras/dnsserver/route"
	"panteras/dnsserver/upstream"
)

// RouteOf says in one phrase where a server with these settings, on a host with this text of /etc/hosts, sends questions for a name, for people who
// wonder. It is [configs.Settings.RouteOf] with what is answered here.
func RouteOf(s *configs.Settings, hosts, name string) string {
	snap, _, err := build(s, facts{hosts: []byte(hosts)}, func(a netip.AddrPort, local, consul bool, probe []byte) *upstream.Upstream {
		return upstream.New(a, local, consul, probe, slog.New(slog.DiscardHandler))
	})
	if err != nil || !hostName(name) {
		return s.RouteOf(name)
	}
	folded := wireName(name)
	if snap.names[string(folded)] != nil {
		return "this host itself, which knows it by HOSTNAME, FQDN or /etc/hosts"
	}
	switch snap.routes.Lookup(folded).Kind {
	case route.Loopback:
		return "this host itself, as all of localhost does (RFC 6761)"
	case route.Empty:
		return "this host itself, which says that nothing has that name (RFC 6303, RFC 6761)"
	case route.Reverse:
		return "Consul, because of DNS_PTR"
	}
	return s.RouteOf(name)
}
