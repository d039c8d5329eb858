package configs

import (
	"log/slog"
	"net/netip"
)

// The values of [Settings.DNSMode].
const (
	// DNSModeDirect answers service names with Consul's answer as it is.
	DNSModeDirect = "direct"
	// DNSModeLB answers A and AAAA questions for services behind HAProxy with the
	// HAProxy that should take the request, and all else with Consul's answer.
	DNSModeLB = "lb"
	// DNSModeLegacy answers A questions under the Consul domain with CONSUL_IP,
	// as PanteraS's dnsmasq did.
	DNSModeLegacy = "legacy"
)

// The values of [Settings.LogFormat].
const (
	// LogFormatText is slog's key=value lines.
	LogFormatText = "text"
	// LogFormatJSON is one JSON object per line.
	LogFormatJSON = "json"
)

// Settings is what the operator asked for, with defaults filled in. A value
// that [Load] returns without an error has passed every check.
type Settings struct {
	// IP is this node's address as other hosts reach it; the zero Addr when it
	// was not set and no interface holds a default route.
	IP netip.Addr
	// HostIP is the address handed to components that advertise the host; IP
	// unless set, so it may be the zero Addr.
	HostIP netip.Addr
	// ListenIP is where components listen; 0.0.0.0 or :: means everywhere.
	ListenIP netip.Addr
	// ConsulIP is Consul's advertised, API and DNS address; the zero Addr when
	// unknown, never unspecified.
	ConsulIP netip.Addr

	// Hostname is the node's name, FQDN its fully qualified name. Both keep the
	// letters' case and carry no trailing dot.
	Hostname string
	FQDN     string

	// ConsulDomain is the domain Consul answers for. Lower case, no leading or
	// trailing dot, never empty.
	ConsulDomain string
	// HAProxyAddDomain is the extra domain of services; written like
	// ConsulDomain, and "" when there is none.
	HAProxyAddDomain string

	// StartDNS tells whether this host runs the DNS server.
	StartDNS bool
	// DNSPort is the port of the DNS server where DNSListen gives none.
	DNSPort uint16
	// DNSListen is never empty. By default it is ListenIP at DNSPort; an
	// unspecified ListenIP stands for both 0.0.0.0 and [::].
	DNSListen []netip.AddrPort
	// DNSListenSet tells that an operator gave DNS_LISTEN, so that every
	// address in it is wanted and none may be left out quietly.
	DNSListenSet bool
	// DNSMode is DNSModeDirect, DNSModeLB or DNSModeLegacy.
	DNSMode string
	// DNSUpstreams are the recursors; nil means to follow resolv.conf.
	DNSUpstreams []netip.AddrPort
	// DNSRoutes are extra routes in the order they were written, no suffix twice.
	DNSRoutes []DNSRoute
	// DNSAllow lists the masked source prefixes that may ask. It replaces the
	// default as a whole when set.
	DNSAllow []netip.Prefix
	// DNSUDPSize is the largest UDP answer in bytes, 512 to 4096.
	DNSUDPSize int
	// DNSPTR lists the masked prefixes whose reverse names Consul is asked for.
	DNSPTR []netip.Prefix
	// MetricsListen is where Prometheus finds the metrics, "" when it is off; see
	// [MetricsAddress].
	MetricsListen string
	// LogQueries is 0 for off, 1 for every query and N for one query in N.
	LogQueries int

	// ConsulDNS lists Consul's DNS servers in order of preference.
	ConsulDNS []netip.AddrPort
	// ConsulHTTPAddr is Consul's API as Consul's own client takes it:
	// host:port, http(s)://host:port or unix:///path. It is "" when unknown.
	ConsulHTTPAddr string
	// ConsulHTTPToken is the ACL token. It is a secret: never print it.
	ConsulHTTPToken string
	// ConsulHTTPTokenFile names a file that holds the token; Consul's client
	// prefers it to ConsulHTTPToken.
	ConsulHTTPTokenFile string
	// ConsulHTTPSSL asks the API over TLS where ConsulHTTPAddr has no scheme;
	// ConsulHTTPSSLVerify checks its certificate.
	ConsulHTTPSSL, ConsulHTTPSSLVerify bool
	// ConsulCACert, ConsulCAPath, ConsulClientCert and ConsulClientKey name files
	// of TLS to the API, "" for none.
	ConsulCACert, ConsulCAPath, ConsulClientCert, ConsulClientKey string
	// ConsulTLSServerName is the name in the API's certificate where it is not the
	// host in ConsulHTTPAddr, else "".
	ConsulTLSServerName string

	// TunnelEndpoint is the host[:port] that tunnel clients dial; "" on a host
	// that is not a gateway.
	TunnelEndpoint string
	// TunnelCIDR is the tunnel's masked IPv4 network.
	TunnelCIDR netip.Prefix
	// TunnelCIDR6 is the tunnel's masked IPv6 network, the zero Prefix when unset.
	TunnelCIDR6 netip.Prefix

	TunnelSettings
	DaemonSettings

	// LogLevel is the lowest level that is logged.
	LogLevel slog.Level
	// LogFormat is LogFormatText or LogFormatJSON.
	LogFormat string
}

// DNSRoute sends the names under a domain suffix to servers of its own.
type DNSRoute struct {
	// Suffix is a domain: lower case, no leading or trailing dot, never empty.
	Suffix string
	// Upstreams are the servers in the order they were written, never empty.
	Upstreams []netip.AddrPort
}
