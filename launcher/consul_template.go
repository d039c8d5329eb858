package launcher

import (
	"strconv"
	"strings"
)

// consulTemplate renders templates of the operator's, which CONSUL_TEMPLATE_PARAMS
// name.
func consulTemplate(b *builder) Daemon {
	args := []arg{
		joinedArg("-consul-addr", b.ConsulHTTPAddr),
		joinedArg("-wait", "2s:10s"),
		joinedArg("-kill-signal", "SIGTERM"),
	}
	if b.ConsulHTTPTokenFile != "" {
		args = append(args, joinedArg("-consul-token-file", b.ConsulHTTPTokenFile))
	}
	args = append(args, b.consulTemplateTLS()...)
	return Daemon{
		Name: "consul-template", Run: b.StartConsulTemplate, Because: b.because("START_CONSUL_TEMPLATE", "EDGE", "SLAVE"),
		User: b.ConsulTemplate.User, NOFile: b.ConsulTemplate.NOFile,
		Argv:  arguments([]string{"consul-template"}, args, b.ConsulTemplate),
		Env:   b.env(b.state("consul-template"), map[string]string{"CONSUL_HTTP_TOKEN": b.consulToken()}),
		Probe: Probe{Kind: ProbeNotify}, After: []string{"consul"},
		Stop: Stop{"SIGTERM", 10},
	}
}

// consulToken is the token for a daemon's environment, which only its user and root
// can read. A token in a file beats it.
func (b *builder) consulToken() string {
	if b.ConsulHTTPTokenFile != "" {
		return ""
	}
	return b.ConsulHTTPToken
}

// consulTemplateTLS are its options where Consul's API is asked over TLS.
func (b *builder) consulTemplateTLS() []arg {
	if !b.consulOverTLS() {
		return nil
	}
	args := []arg{bareArg("-consul-ssl"), joinedArg("-consul-ssl-verify", strconv.FormatBool(b.ConsulHTTPSSLVerify))}
	for _, option := range []struct{ name, value string }{
		{"-consul-ssl-ca-cert", b.ConsulCACert},
		{"-consul-ssl-ca-path", b.ConsulCAPath},
		{"-consul-ssl-cert", b.ConsulClientCert},
		{"-consul-ssl-key", b.ConsulClientKey},
		{"-consul-ssl-server-name", b.ConsulTLSServerName},
	} {
		if option.value != "" {
			args = append(args, joinedArg(option.name, option.value))
		}
	}
	return args
}

// consulOverTLS tells how Consul's API is asked: the scheme of its address says so, and
// CONSUL_HTTP_SSL where there is none.
func (b *builder) consulOverTLS() bool {
	if strings.Contains(b.ConsulHTTPAddr, "://") {
		return strings.HasPrefix(b.ConsulHTTPAddr, "https://")
	}
	return b.ConsulHTTPSSL
}
