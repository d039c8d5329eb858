package launcher

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// consulHTTPS is Consul's port for TLS by custom; there is none unless it is configured.
const consulHTTPS = 8501

// leaderPath is what Consul is asked for: no right is needed for it.
const leaderPath = "/v1/status/leader"

// consulAPI is how this host's own Consul is reached.
type consulAPI struct {
	// plain is its port for HTTP; 0 tells that its arguments turn it off.
	plain uint16
	// tls is the URL that all who ask it on this host use, nil if they do not use TLS.
	tls *url.URL
}

// consulAPI tells what can be known before Consul starts: CONSUL_HTTP_ADDR says how it is
// asked, and its arguments may say that nobody can ask without TLS. What a configuration
// file of the operator's says, which may be for Consul's user alone, is not looked at.
func (b *builder) consulAPI(argv []string) consulAPI {
	var api consulAPI
	if !turnsOffHTTP(argv) {
		api.plain = portOption(argv, "http-port", consulHTTP)
	}
	if !b.consulOverTLS() {
		return api
	}
	address := b.ConsulHTTPAddr
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return api
	}
	if b.isOwnConsul(u.Hostname(), api.plain == 0) {
		api.tls = u
	}
	return api
}

// isOwnConsul tells whether a host is this one for sure. Any name may be, and is taken to
// be where this host's Consul cannot be asked in another way.
func (b *builder) isOwnConsul(host string, onlyWay bool) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsLoopback() || a == b.ConsulIP || b.isOwn(a)
	}
	names := []string{"localhost", b.Hostname, b.FQDN}
	for _, domain := range []string{b.ConsulDomain, consulDomain} {
		node := b.Hostname + ".node."
		names = append(names, node+domain, node+b.ConsulDC+"."+domain)
	}
	host = strings.TrimSuffix(host, ".")
	return onlyWay || slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(host, name) })
}

// consulProbe asks Consul as everybody on this host does.
func (b *builder) consulProbe(api consulAPI) Probe {
	probe := b.probeHTTP(api.plain, leaderPath)
	if api.tls != nil {
		probe.URL = api.tls.JoinPath(leaderPath).String()
		probe.TLS = &TLS{
			CAFile: b.ConsulCACert, CAPath: b.ConsulCAPath, CertFile: b.ConsulClientCert, KeyFile: b.ConsulClientKey,
			ServerName: b.ConsulTLSServerName, SkipVerify: !b.ConsulHTTPSSLVerify,
		}
	}
	probe.Expect = ":" // of the leader's address; without a leader it is empty
	return probe
}

// consulUI is where people find Consul's user interface: without TLS if they can, because
// HAProxy serves it so.
func (b *builder) consulUI(api consulAPI) string {
	if api.plain == 0 && api.tls != nil {
		return api.tls.JoinPath(leaderPath).String()
	}
	return b.probeHTTP(api.plain, leaderPath).URL
}

// claim takes the ports that Consul surely listens at for its API. A URL without a port, or
// that others answer as well, may be that of a proxy.
func (api consulAPI) claim(d *Daemon, listen netip.Addr, argv []string) {
	if api.plain != 0 {
		d.tcp(listen, "CONSUL_PARAMS", api.plain)
	}
	if port := portOption(argv, "https-port", 0); port != 0 {
		d.tcp(listen, "CONSUL_PARAMS", port)
	} else if api.plain == 0 && api.tls != nil {
		if n, err := strconv.ParseUint(api.tls.Port(), 10, 16); err == nil {
			d.tcp(listen, "CONSUL_HTTP_ADDR", uint16(n))
		}
	}
}

// noHTTP finds in configuration text that Consul has no port for HTTP.
var noHTTP = regexp.MustCompile(`\bports\s*=?\s*\{[^}]*\bhttp\s*=\s*-1\b`)

// turnsOffHTTP tells that the arguments of Consul leave it no port for HTTP without TLS.
func turnsOffHTTP(argv []string) bool {
	off := false
	for i, word := range argv {
		_, value, joined := strings.Cut(word, "=")
		if !joined && i+1 < len(argv) {
			value = argv[i+1]
		}
		switch flagName(word) {
		case "http-port":
			off = strings.HasPrefix(value, "-")
		case "hcl":
			off = off || noHTTP.MatchString(value)
		}
	}
	return off
}

// checkConsulAPI finds a Consul that nobody on this host can ask.
func (c *checker) checkConsulAPI() {
	i := slices.IndexFunc(c.daemons, func(d Daemon) bool { return d.Name == "consul" })
	api := c.consulAPI(c.daemons[i].Argv)
	if api.plain != 0 || api.tls != nil {
		return
	}
	port := portOption(c.daemons[i].Argv, "https-port", consulHTTPS)
	over := net.JoinHostPort(addrText(c.ConsulIP), strconv.Itoa(int(port)))
	if strings.HasPrefix(c.ConsulHTTPAddr, "unix://") {
		c.errorf("CONSUL_HTTP_ADDR", "is a socket, at which nobody sees whether this host's Consul is ready, and CONSUL_PARAMS turn HTTP without TLS off; leave HTTP on, or set CONSUL_HTTP_ADDR=https://%s, and CONSUL_CACERT", over)
		return
	}
	c.errorf("CONSUL_HTTP_ADDR", "is not how this host's Consul can be asked, because CONSUL_PARAMS turn HTTP without TLS off; set CONSUL_HTTP_ADDR=https://%s, and CONSUL_CACERT", over)
}
