package launcher

import (
	"strings"
	"testing"
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
