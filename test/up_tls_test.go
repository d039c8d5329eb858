package test

import (
	"fmt"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// TestUpWithTLSAlone is a host whose Consul answers nobody without TLS: it becomes ready, and
// all that asks it works. Where settings say that it is asked without TLS, that is an error
// before anything starts.
func TestUpWithTLSAlone(t *testing.T) {
	t.Parallel()
	h := oneHost(t, append(only("consul", "consul-template", "dns"), "DNS_MODE=lb")...)
	authority, certificate, key := h.certificates(t)
	put(t, h.path("tls.json"), jsonOf(t, map[string]any{
		"tls":         map[string]any{"https": map[string]any{"ca_file": authority, "cert_file": certificate, "key_file": key}},
		"performance": map[string]any{"raft_multiplier": 1},
	}))
	h.env = append(h.env, "CONSUL_PARAMS=-log-level=warn -http-port=-1 -https-port=8501 -config-file="+h.path("tls.json"), "CONSUL_CACERT="+authority)
	output, code := h.run(t, "plan")
	if code != 2 || !strings.Contains(output, "set CONSUL_HTTP_ADDR=https://10.7.0.1:8501") {
		t.Errorf("where Consul is asked without TLS: exit code %d: %s", code, output)
	}
	h.env = append(h.env, "CONSUL_HTTP_ADDR=https://10.7.0.1:8501")
	h.up(t)
	h.ready(t, "consul", "consul-template", "haproxy", "dns")
	if answer := httpGet("10.7.0.1:8500", "/v1/status/leader"); !strings.Contains(answer, "refused") {
		t.Errorf("Consul answers without TLS: %s", answer)
	}
	// What the launcher registers passes, and HAProxy serves what passes.
	for name, port := range map[string]int{"consul-ui": 8501, "haproxy": 80, "panteras-dns": 53} {
		lab.Eventually(t, readyTime, name+" in DNS", func() bool {
			return strings.Contains(lab.RunDig(t, "@10.7.0.1", "+short", "SRV", name+".service.consul"), fmt.Sprintf(" %d ", port))
		})
	}
}
