package launcher

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Who asks Consul's API does so over TLS when the operator's settings say so.
func TestDaemonsThatAskConsulOverTLS(t *testing.T) {
	files := []string{"CONSUL_CACERT=/tls/ca.pem", "CONSUL_CLIENT_CERT=/tls/c.pem", "CONSUL_CLIENT_KEY=/tls/c.key", "CONSUL_TLS_SERVER_NAME=server.dc1.consul"}
	for _, test := range []struct {
		environ []string
		tls     bool
		uri     string
	}{
		{[]string{"CONSUL_HTTP_ADDR=10.0.0.5:8501", "CONSUL_HTTP_SSL=true"}, true, "consul-tls://10.0.0.5:8501"},
		{[]string{"CONSUL_HTTP_ADDR=https://10.0.0.5:8501"}, true, "consul-tls://10.0.0.5:8501"},
		{[]string{"CONSUL_HTTP_ADDR=http://10.0.0.5:8500", "CONSUL_HTTP_SSL=true"}, false, "consul://10.0.0.5:8500"},
		{nil, false, "consul://10.0.0.5:8500"},
	} {
		p := goodPlan(t, append(test.environ, files...)...)
		template, registrator := argvOf(t, p, "consul-template"), daemonOf(t, p, "registrator")
		const options = "-consul-ssl -consul-ssl-verify=true -consul-ssl-ca-cert=/tls/ca.pem -consul-ssl-cert=/tls/c.pem -consul-ssl-key=/tls/c.key -consul-ssl-server-name=server.dc1.consul"
		if strings.Contains(template, options) != test.tls || !test.tls && strings.Contains(template, "ssl") {
			t.Errorf("%q: %s", test.environ, template)
		}
		if got := registrator.Argv[len(registrator.Argv)-1]; got != test.uri {
			t.Errorf("%q: registrator asks %s", test.environ, got)
		}
		if got := registrator.Env["CONSUL_CACERT"]; (got == "/tls/ca.pem") != test.tls || (registrator.Env["CONSUL_TLSKEY"] == "/tls/c.key") != test.tls {
			t.Errorf("%q: registrator's environment is %v", test.environ, registrator.Env)
		}
	}
}

// Consul is asked whether it is ready as everybody on the host asks it.
func TestConsulIsAskedAsOthersAskIt(t *testing.T) {
	tls := &TLS{CAFile: "/tls/ca.pem", CertFile: "/tls/c.pem", KeyFile: "/tls/c.key", ServerName: "server.dc1.consul"}
	files := []string{"CONSUL_CACERT=/tls/ca.pem", "CONSUL_CLIENT_CERT=/tls/c.pem", "CONSUL_CLIENT_KEY=/tls/c.key", "CONSUL_TLS_SERVER_NAME=server.dc1.consul"}
	const plain = "http://127.0.0.1:8500/v1/status/leader"
	for _, test := range []struct {
		environ []string
		url, ui string
		tls     *TLS
	}{
		{nil, plain, plain, nil},
		{[]string{"CONSUL_PARAMS=-http-port=9500"}, "http://127.0.0.1:9500/v1/status/leader", "http://127.0.0.1:9500/v1/status/leader", nil},
		{[]string{"CONSUL_HTTP_ADDR=10.0.0.5:8501", "CONSUL_HTTP_SSL=true"}, "https://10.0.0.5:8501/v1/status/leader", plain, tls},
		{[]string{"CONSUL_HTTP_ADDR=https://127.0.0.1:8501"}, "https://127.0.0.1:8501/v1/status/leader", plain, tls},
		{[]string{"CONSUL_HTTP_ADDR=https://node1.example:8501/", "FQDN=node1.example"}, "https://node1.example:8501/v1/status/leader", plain, tls},
		{[]string{"CONSUL_HTTP_ADDR=https://Node1.Example.", "FQDN=node1.example"}, "https://Node1.Example./v1/status/leader", plain, tls},
		{[]string{"CONSUL_HTTP_ADDR=https://localhost:8501"}, "https://localhost:8501/v1/status/leader", plain, tls},
		{[]string{"CONSUL_HTTP_ADDR=https://node1:8501"}, "https://node1:8501/v1/status/leader", plain, tls},
		{[]string{"CONSUL_HTTP_ADDR=https://node1.node.corp.example:8501", "CONSUL_DOMAIN=corp.example"}, "https://node1.node.corp.example:8501/v1/status/leader", plain, tls},
		{[]string{"CONSUL_HTTP_ADDR=https://node1.node.dc7.consul:8501", "CONSUL_DC=dc7"}, "https://node1.node.dc7.consul:8501/v1/status/leader", plain, tls},
		// Not this host's, or not for sure:
		{[]string{"CONSUL_HTTP_ADDR=https://10.0.0.6:8501"}, plain, plain, nil},
		{[]string{"CONSUL_HTTP_ADDR=https://consul.example:8501"}, plain, plain, nil},
		{[]string{"CONSUL_HTTP_ADDR=https://node2.node.consul:8501"}, plain, plain, nil},
		{
			[]string{"CONSUL_HTTP_ADDR=https://consul.example:8501", "CONSUL_PARAMS=-http-port=-1"},
			"https://consul.example:8501/v1/status/leader", "https://consul.example:8501/v1/status/leader", tls,
		},
		{
			[]string{"CONSUL_HTTP_ADDR=https://10.0.0.5:8501", "CONSUL_PARAMS=-http-port=-1 -https-port=8501"},
			"https://10.0.0.5:8501/v1/status/leader", "https://10.0.0.5:8501/v1/status/leader", tls,
		},
		{
			[]string{"CONSUL_HTTP_ADDR=https://10.0.0.5:8501", `CONSUL_PARAMS=-hcl='ports { http = -1 }'`},
			"https://10.0.0.5:8501/v1/status/leader", "https://10.0.0.5:8501/v1/status/leader", tls,
		},
	} {
		d := daemonOf(t, goodPlan(t, append(test.environ, files...)...), "consul")
		want := Probe{Kind: ProbeHTTP, URL: test.url, Expect: ":", TLS: test.tls}
		if diff := cmp.Diff(want, d.Probe); diff != "" || d.UI != test.ui {
			t.Errorf("%q: the user interface is at %s; probe (-want +got):\n%s", test.environ, d.UI, diff)
		}
	}
}

// HAProxy's page of the host links to user interfaces where the arguments of daemons put
// them.
func TestLinksOfHAProxysPage(t *testing.T) {
	for _, test := range []struct{ environ, want []string }{
		{nil, []string{`http://%[var(txn.host)]:8500/">Consul`, `http://%[var(txn.host)]:8080/">Marathon`}},
		{
			[]string{"CONSUL_PARAMS=-http-port=9500", "MARATHON_PARAMS=--http_port 8081", "MESOS_MASTER_PARAMS=--port=5055", "CHRONOS_PARAMS=--http_port 4401"},
			[]string{`http://%[var(txn.host)]:9500/">Consul`, `http://%[var(txn.host)]:8081/">Marathon`, `http://%[var(txn.host)]:5055/">Mesos`, `http://%[var(txn.host)]:4401/">Chronos`},
		},
		{[]string{"CONSUL_HTTP_ADDR=https://10.0.0.5:8501", "CONSUL_PARAMS=-http-port=-1"}, []string{`https://%[var(txn.host)]:8501/">Consul`}},
	} {
		d := daemonOf(t, goodPlan(t, test.environ...), "haproxy")
		var page string
		for _, f := range d.Files {
			if strings.Contains(f.Content, ">HAProxy</a>") {
				page += f.Content
			}
		}
		for _, want := range test.want {
			if !strings.Contains(page, want) {
				t.Errorf("%q: no %s in %s", test.environ, want, page)
			}
		}
	}
}
