package launcher

import (
	"encoding/json"
	"path"
	"strconv"
	"strings"

	"panteras/configs"
	"panteras/configs/haproxy"
)

// consulTemplate renders the services of Consul for the load balancer, and templates of
// the operator's, which CONSUL_TEMPLATE_PARAMS name.
func consulTemplate(b *builder) Daemon {
	args := []arg{
		{name: "config", text: []string{"-config=" + b.run("consul-template", "panteras.json")}, repeats: true},
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
		Files: b.snapshotFiles(),
		Probe: Probe{Kind: ProbeNotify}, After: []string{"consul"},
		Stop: Stop{"SIGTERM", 10},
	}
}

// snapshotFiles make consul-template render the snapshot of services and apply it. The
// snapshot is empty at every start, so that it is applied anew: settings, and how we
// read it, may have changed.
func (b *builder) snapshotFiles() []File {
	dir := b.run("consul-template")
	source, snapshot := path.Join(dir, "snapshot.ctmpl"), path.Join(dir, "snapshot.json")
	text := configText{Template: []templateText{{
		Source: source, Destination: snapshot, Perms: "0600",
		Command:        append(balancerCommand("apply", b.facts.Self, b.RunDir), snapshot),
		CommandTimeout: "90s",
		// An instance that fails must be gone within 3 s, however much else changes. What
		// changes while a snapshot is applied is in the next one, so that to wait longer
		// would save nothing on a host that is busy.
		Wait: waitText{Min: "250ms", Max: "1s"},
	}}}
	var peers []File
	if b.learnsPeers() {
		source := path.Join(dir, "peers.ctmpl")
		peers = []File{{Path: source, Mode: "0600", Content: b.peersTemplate()}, {Path: b.peersFile(), Mode: "0600", Keep: true}}
		reload := []string{b.facts.Self, "reload", "keepalived", "--run-dir", b.RunDir}
		for i, word := range reload {
			reload[i] = configs.QuoteWord(word)
		}
		text.Template = append(text.Template, templateText{
			Source: source, Destination: b.peersFile(), Perms: "0600",
			// A keepalived that does not run reads the file when it starts.
			Command:        []string{"/bin/sh", "-c", strings.Join(reload, " ") + " || true"},
			CommandTimeout: "30s",
			Wait:           waitText{Min: "1s", Max: "5s"},
		})
	}
	content, _ := json.MarshalIndent(text, "", "  ") // texts only
	return append([]File{
		{Path: path.Join(dir, "host"), Mode: "0600", Content: b.balancerSettings()},
		{Path: path.Join(dir, "panteras.json"), Mode: "0600", Content: string(content) + "\n"},
		{Path: source, Mode: "0600", Content: haproxy.Template},
		{Path: snapshot, Mode: "0600"},
	}, peers...)
}

// balancerCommand is a command of `panteras haproxy` with the settings of a host that
// runs, whose logs are those of consul-template.
func balancerCommand(name, self, runDir string) []string {
	return []string{self, "haproxy", name, "--lenient", "--restricted", path.Join(runDir, "consul-template")}
}

// RetryCommand tries a snapshot again that is not in effect, as consul-template did when
// it had rendered it. It runs with the environment of consul-template.
func RetryCommand(self, runDir string) []string { return balancerCommand("retry", self, runDir) }

// balancerSettings is a settings file with what HAProxy's configuration depends on, and
// nothing that may hold a secret.
func (b *builder) balancerSettings() string {
	var text strings.Builder
	for _, name := range []string{
		"IP", "HOST_IP", "LISTEN_IP", "HOSTNAME", "FQDN", "CONSUL_DOMAIN", "HAPROXY_ADD_DOMAIN", "KEEPALIVED_VIP", "HAPROXY_HTTP_PORT", "HAPROXY_STATS_PORT",
		"DNS_PORT", "STATUS_LISTEN", "MASTER", "SLAVE", "CONSUL_MODE", "START_CONSUL", "START_MARATHON", "START_MESOS_MASTER", "START_CHRONOS",
		"STATE_DIR", "RUN_DIR", "LOG_LEVEL", "LOG_FORMAT",
	} {
		if o := b.origins[name]; b.loaded.Given(name) && o.Value != "" {
			text.WriteString(name + "=" + configs.QuoteWord(o.Value) + "\n")
		}
	}
	return text.String()
}

// configText is a configuration of consul-template.
type configText struct {
	Template []templateText `json:"template"`
}

type templateText struct {
	Source         string   `json:"source"`
	Destination    string   `json:"destination"`
	Perms          string   `json:"perms"`
	Command        []string `json:"command"`
	CommandTimeout string   `json:"command_timeout"`
	Wait           waitText `json:"wait"`
}

type waitText struct {
	Min string `json:"min"`
	Max string `json:"max"`
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
