package configs

import "net/netip"

// tunnelRows are the settings that the gateway and the commands about peers need
// beside the common ones.
func tunnelRows() []Setting {
	rows := []Setting{
		{
			Name: "TUNNEL_PORT", Default: "51820",
			Help:  "The UDP port of the tunnel's gateway.",
			value: in(func(s *Settings) *uint16 { return &s.TunnelPort }, port),
		},
		{
			Name: "TUNNEL_INTERFACE", Default: "wg-panteras",
			Help:  "The tunnel's network interface on the gateway.",
			value: in(func(s *Settings) *string { return &s.TunnelInterface }, interfaceName),
		},
		{
			Name: "TUNNEL_ROUTES", Default: "the network of the interface that holds `IP`",
			Help:   "The networks that peers may reach: a comma list, the outer bound of what any peer is allowed.",
			value:  in(func(s *Settings) *[]netip.Prefix { return &s.TunnelRoutes }, prefixes),
			derive: deriveTunnelRoutes,
		},
		{
			Name: "TUNNEL_HOST_PORTS", Default: "`HAPROXY_HTTP_PORT` under the launcher where HAProxy runs, else none",
			Help:   "The TCP ports of the gateway host itself that peers may reach at its addresses in `TUNNEL_ROUTES`, as far as each may reach such an address: a comma list.",
			value:  in(func(s *Settings) *[]uint16 { return &s.TunnelHostPorts }, ports),
			derive: keepZero,
		},
		{
			Name: "TUNNEL_STORE", Default: TunnelStoreConsul,
			Help:  "Where peers are kept: consul, or file for one file in `STATE_DIR`. The first use is remembered in `STATE_DIR`, and another value is an error until the peers are moved by peer export and peer import.",
			value: in(func(s *Settings) *string { return &s.TunnelStore }, choice(TunnelStoreConsul, TunnelStoreFile)),
		},
		{
			Name: "TUNNEL_NAT", Default: "true",
			Help:  "Peers reach services from the gateway's address. false: from their own, to which services need a route.",
			value: in(func(s *Settings) *bool { return &s.TunnelNAT }, boolean),
		},
		{
			Name: "TUNNEL_DATAPATH", Default: TunnelDatapathAuto,
			Help:  "What moves packets: the kernel's WireGuard, the one in this program (userspace), or auto: the kernel's where it has one.",
			value: in(func(s *Settings) *string { return &s.TunnelDatapath }, choice(TunnelDatapathAuto, TunnelDatapathKernel, TunnelDatapathUserspace)),
		},
		{
			Name: "TUNNEL_METRICS_LISTEN", Default: "127.0.0.1:9154",
			Help:      "Where Prometheus finds the gateway's metrics. off, or an empty value, disables them.",
			value:     in(func(s *Settings) *string { return &s.TunnelMetricsListen }, metricsListen),
			keepEmpty: true,
		},
		dir("STATE_DIR", "/var/lib/panteras", "Where daemons keep what they must not lose.", func(s *Settings) *string { return &s.StateDir }),
		dir("RUN_DIR", "/run/panteras", "Where the files lie that are made for daemons.", func(s *Settings) *string { return &s.RunDir }),
		dir("LOG_DIR", "/var/log/panteras", "Where logs are written.", func(s *Settings) *string { return &s.LogDir }),
	}
	for i := range rows {
		if rows[i].Name != "TUNNEL_INTERFACE" { // the DNS server looks for peers there
			rows[i].Group = GroupTunnel
		}
	}
	return rows
}
