package launcher

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
