package configs

import (
	"log/slog"
	"net/netip"
	"slices"
)

// The ports that a list of servers takes when it names none.
const (
	dnsServerPort = 53
	consulDNSPort = 8600
)

// table is every setting there is, in the order of the documentation. A row
// whose default depends on another row stands after it.
var table = slices.Concat(commonRows, tunnelRows(), daemonRows())

// commonRows are the settings of the host and of its names.
var commonRows = []Setting{
	{
		Name: "IP", Default: "the address of the interface with the default route",
		Help:   "This node's address, as other hosts reach it. Never 0.0.0.0, loopback or a Docker bridge.",
		value:  in(func(s *Settings) *netip.Addr { return &s.IP }, address),
		derive: deriveIP,
	},
	{
		Name: "HOST_IP", Default: "`IP`",
		Group:  GroupDaemons,
		Help:   "The address that components advertise for this host.",
		value:  in(func(s *Settings) *netip.Addr { return &s.HostIP }, address),
		derive: deriveHostIP,
	},
	{
		Name: "LISTEN_IP", Default: "0.0.0.0",
		Help:  "Where components listen. 0.0.0.0 and :: both mean every address of the host.",
		value: in(func(s *Settings) *netip.Addr { return &s.ListenIP }, address),
	},
	{
		Name: "CONSUL_IP", Default: "`LISTEN_IP` if that is set to one address, else `IP`",
		Help:   "Consul's advertised, API and DNS address.",
		value:  in(func(s *Settings) *netip.Addr { return &s.ConsulIP }, address),
		derive: deriveConsulIP,
	},
	{
		Name: "HOSTNAME", Default: "the host's name",
		Help:       "The node's name. Inherited from the environment it ranks below the files, because shells and Docker always export it.",
		value:      in(func(s *Settings) *string { return &s.Hostname }, hostName),
		derive:     deriveHostname,
		belowFiles: true,
	},
	{
		Name: "FQDN", Default: "the dotted name beside `HOSTNAME` in /etc/hosts, else `HOSTNAME`",
		Help:   "The node's fully qualified name. The default never asks the network.",
		value:  in(func(s *Settings) *string { return &s.FQDN }, hostName),
		derive: deriveFQDN,
	},
	{
		Name: "CONSUL_DOMAIN", Default: "consul",
		Help:  "The domain that Consul answers for.",
		value: in(func(s *Settings) *string { return &s.ConsulDomain }, domain),
	},
	{
		Name:  "HAPROXY_ADD_DOMAIN",
		Help:  "One more domain whose names are names of services, with or without the leading dot. It may not be consul or `CONSUL_DOMAIN`, nor lie under them.",
		value: in(func(s *Settings) *string { return &s.HAProxyAddDomain }, domain),
	},
	{
		Name: "START_DNS", Default: "true",
		Group: GroupDaemons,
		Help:  "Run the DNS server on this host.",
		value: in(func(s *Settings) *bool { return &s.StartDNS }, boolean),
	},
	{
		Name: "START_DNSMASQ", AliasOf: "START_DNS",
		Group: GroupDaemons,
		Help:  "The former name of `START_DNS`.",
	},
	{
		Name:      "DNSMASQ_ADDRESS",
		Help:      "A single blank forces `DNS_MODE` to direct, as it switched off PanteraS's wildcard. Other values have no effect.",
		value:     optOut{},
		keepBlank: true,
	},
	{
		Name: "DNS_PORT", Default: "53",
		Help:  "The port of the DNS server, where `DNS_LISTEN` names none.",
		value: in(func(s *Settings) *uint16 { return &s.DNSPort }, port),
	},
	{
		Name: "DNS_LISTEN", Default: "every address of `LISTEN_IP` at `DNS_PORT`",
		Help:   "Where the DNS server listens: a comma list of addr[:port].",
		value:  listenValue{},
		derive: deriveDNSListen,
	},
	{
		Name: "DNS_MODE", Default: DNSModeDirect,
		Help:  "How service names are answered. direct: Consul's answer as it is. lb: the HAProxy that serves them. legacy: `CONSUL_IP` for every A question, as PanteraS's dnsmasq did.",
		value: in(func(s *Settings) *string { return &s.DNSMode }, dnsMode),
	},
	{
		Name: "DNS_UPSTREAMS", Default: "the nameservers of resolv.conf",
		Help:   "The recursors for all other names: a comma list of addr[:port], port 53 unless given.",
		value:  in(func(s *Settings) *[]netip.AddrPort { return &s.DNSUpstreams }, servers(dnsServerPort)),
		derive: keepZero,
	},
	{
		Name:  "DNS_ROUTES",
		Help:  "Extra routes suffix=addr[:port][,addr[:port]], separated by blanks. The longest suffix wins.",
		value: in(func(s *Settings) *[]DNSRoute { return &s.DNSRoutes }, routes),
	},
	{
		Name: "DNS_ALLOW", Default: "loopback, RFC 1918, 100.64.0.0/10, link-local, ULA, and the tunnel's networks on a gateway",
		Help:   "Who may ask: a comma list of networks or addresses that replaces the default.",
		value:  in(func(s *Settings) *[]netip.Prefix { return &s.DNSAllow }, prefixes),
		derive: deriveDNSAllow,
	},
	{
		Name: "DNS_UDP_SIZE", Default: "1232",
		Help:  "The largest UDP answer in bytes, 512 to 4096.",
		value: in(func(s *Settings) *int { return &s.DNSUDPSize }, number("bytes", 512, 4096)),
	},
	{
		Name:  "DNS_PTR",
		Help:  "The networks whose reverse names Consul is asked for: a comma list.",
		value: in(func(s *Settings) *[]netip.Prefix { return &s.DNSPTR }, prefixes),
	},
	{
		Name: "METRICS_LISTEN", Default: "127.0.0.1:9153",
		Help:      "Where `panteras dns` has metrics for Prometheus. Under the launcher, unless this is set, they are among those at `STATUS_LISTEN`. off, or an empty value, disables them.",
		value:     in(func(s *Settings) *string { return &s.MetricsListen }, metricsListen),
		keepEmpty: true,
	},
	{
		Name: "LOG_QUERIES", Default: "off",
		Help:  "Log one line for every query, or for one in N with 1/N.",
		value: in(func(s *Settings) *int { return &s.LogQueries }, sampling),
	},
	{
		Name: "CONSUL_DNS", Default: "`CONSUL_IP` at port 8600",
		Help:   "Consul's DNS servers in order of preference: a comma list of addr[:port], port 8600 unless given.",
		value:  in(func(s *Settings) *[]netip.AddrPort { return &s.ConsulDNS }, servers(consulDNSPort)),
		derive: deriveConsulDNS,
	},
	{
		Name: "CONSUL_HTTP_ADDR", Default: "`CONSUL_IP` at port 8500",
		Help:   "Consul's API: host:port, http://host:port, https://host:port or unix:///path.",
		value:  in(func(s *Settings) *string { return &s.ConsulHTTPAddr }, consulAPI),
		derive: deriveConsulHTTPAddr,
	},
	{
		Name: "CONSUL_HTTP_TOKEN", Secret: true,
		Help:  "The ACL token for Consul's API.",
		value: in(func(s *Settings) *string { return &s.ConsulHTTPToken }, token),
	},
	{
		Name:  "CONSUL_HTTP_TOKEN_FILE",
		Help:  "A file that holds the ACL token; it beats `CONSUL_HTTP_TOKEN`.",
		value: in(func(s *Settings) *string { return &s.ConsulHTTPTokenFile }, filePath),
	},
	consulTLS("HTTP_SSL", "false", "Ask Consul's API over TLS, where `CONSUL_HTTP_ADDR` names no scheme.", in(func(s *Settings) *bool { return &s.ConsulHTTPSSL }, boolean)),
	consulTLS("HTTP_SSL_VERIFY", "true", "Check the certificate of Consul's API.", in(func(s *Settings) *bool { return &s.ConsulHTTPSSLVerify }, boolean)),
	consulTLS("CACERT", "", "A file with the certificates of the authorities that Consul's API is checked against.", in(func(s *Settings) *string { return &s.ConsulCACert }, filePath)),
	consulTLS("CAPATH", "", "A folder of such files.", in(func(s *Settings) *string { return &s.ConsulCAPath }, filePath)),
	consulTLS("CLIENT_CERT", "", "A file with the certificate to show to Consul's API; it needs `CONSUL_CLIENT_KEY`.", in(func(s *Settings) *string { return &s.ConsulClientCert }, filePath)),
	consulTLS("CLIENT_KEY", "", "A file with the key of `CONSUL_CLIENT_CERT`.", in(func(s *Settings) *string { return &s.ConsulClientKey }, filePath)),
	consulTLS("TLS_SERVER_NAME", "", "The name that the certificate of Consul's API must have, where that is not the host in `CONSUL_HTTP_ADDR`.", in(func(s *Settings) *string { return &s.ConsulTLSServerName }, hostName)),
	{
		Name:  "TUNNEL_ENDPOINT",
		Help:  "The host[:port] that tunnel clients dial. Setting it makes this host a gateway.",
		value: in(func(s *Settings) *string { return &s.TunnelEndpoint }, dialled),
	},
	{
		Name: "TUNNEL_CIDR", Default: "10.99.0.0/16",
		Help:  "The tunnel's IPv4 network.",
		value: in(func(s *Settings) *netip.Prefix { return &s.TunnelCIDR }, network("IPv4", netip.Addr.Is4, "10.99.0.0/16")),
	},
	{
		Name: "TUNNEL_CIDR6", Default: "a ULA /64",
		Help:   "The tunnel's IPv6 network; the default is made once, of random numbers, for all gateways of a store.",
		value:  in(func(s *Settings) *netip.Prefix { return &s.TunnelCIDR6 }, network("IPv6", netip.Addr.Is6, "fd12:3456:789a:1::/64")),
		derive: keepZero,
	},
	{
		Name: "LOG_LEVEL", Default: "info",
		Help:  "The lowest level that is logged.",
		value: in(func(s *Settings) *slog.Level { return &s.LogLevel }, logLevel),
	},
	{
		Name: "LOG_FORMAT", Default: LogFormatText,
		Help:  "How log lines are written.",
		value: in(func(s *Settings) *string { return &s.LogFormat }, choice(LogFormatText, LogFormatJSON)),
	},
}

// consulTLS is a row about TLS to Consul's API, named as Consul's own tools name it.
func consulTLS(suffix, byDefault, help string, v value) Setting {
	return Setting{Name: "CONSUL_" + suffix, Default: byDefault, Help: help, value: v}
}
