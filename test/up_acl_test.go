package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
)

// The tokens of a Consul that lets nobody do anything without one.
const (
	managementToken = "9a1b2c3d-0000-4000-8000-000000000001"
	agentToken      = "9a1b2c3d-0000-4000-8000-000000000002"
	defaultToken    = "9a1b2c3d-0000-4000-8000-000000000003"
	launcherToken   = "9a1b2c3d-0000-4000-8000-000000000004"
)

// documentedPolicy is the block of rules in docs/launcher.md under a heading.
func documentedPolicy(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(lab.Root(t), "docs", "launcher.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)" + regexp.QuoteMeta(heading) + ".*?```hcl\n(.*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatalf("docs/launcher.md has no rules for %q", heading)
	}
	return strings.ReplaceAll(string(found[1]), "NODE", "node-1")
}

// TestUpWithACLsAndTLS gives Consul's tokens what docs/launcher.md says, and no more.
func TestUpWithACLsAndTLS(t *testing.T) {
	t.Parallel()
	h := oneHost(t, only("consul", "consul-template", "dns")...)
	authority, certificate, key := selfSigned(t, "10.7.0.1")
	config, err := json.Marshal(map[string]any{
		"ports": map[string]any{"https": 8501},
		"tls":   map[string]any{"https": map[string]any{"ca_file": authority, "cert_file": certificate, "key_file": key}},
		"acl": map[string]any{
			"enabled": true, "default_policy": "deny",
			"tokens": map[string]any{"initial_management": managementToken, "agent": agentToken, "default": defaultToken},
		},
		"performance": map[string]any{"raft_multiplier": 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, h.path("acl.json"), string(config))
	put(t, h.path("in.ctmpl"), `{{range service "panteras-dns" "any"}}{{.Address}}{{end}}`)
	h.env = append(h.env,
		"CONSUL_PARAMS=-log-level=warn -config-file="+h.path("acl.json"), "CONSUL_HTTP_ADDR=https://10.7.0.1:8501", "CONSUL_CACERT="+authority,
		"CONSUL_HTTP_TOKEN="+launcherToken, "CONSUL_TEMPLATE_PARAMS=-template="+h.path("in.ctmpl")+":"+h.path("state", "out"))
	h.up(t)
	h.ready(t, "consul", "dns")
	rules := documentedPolicy(t, "The token of the launcher")
	var launcherPolicy struct{ ID string }
	for _, token := range []struct{ name, secret, rules string }{
		{"agent", agentToken, documentedPolicy(t, "The token of Consul itself")},
		{"default", defaultToken, documentedPolicy(t, "The token of those who ask by DNS")},
		// At first it lacks one right.
		{"launcher", launcherToken, strings.ReplaceAll(rules, `"panteras-dns"`, `"another"`)},
	} {
		answer := httpDo(http.MethodPut, "10.7.0.1:8500", "/v1/acl/policy?token="+managementToken, jsonOf(t, map[string]any{"Name": token.name, "Rules": token.rules}))
		if err := json.Unmarshal([]byte(answer), &launcherPolicy); err != nil || launcherPolicy.ID == "" {
			t.Fatalf("cannot make a policy: %s", answer)
		}
		answer = httpDo(http.MethodPut, "10.7.0.1:8500", "/v1/acl/token?token="+managementToken, jsonOf(t, map[string]any{
			"SecretID": token.secret, "Policies": []map[string]string{{"Name": token.name}},
		}))
		if !strings.Contains(answer, token.secret) {
			t.Fatalf("cannot make a token: %s", answer)
		}
	}
	h.must(t, "restart", "dns") // when something changes, Consul is told
	lab.Eventually(t, readyTime, "a word about the missing right", func() bool {
		return strings.Contains(h.Stderr(), "cannot register panteras-dns") && strings.Contains(h.Stderr(), "service:write")
	})
	answer := httpDo(http.MethodPut, "10.7.0.1:8500", "/v1/acl/policy/"+launcherPolicy.ID+"?token="+managementToken, jsonOf(t, map[string]any{"Name": "launcher", "Rules": rules}))
	if !strings.Contains(answer, launcherPolicy.ID) {
		t.Fatalf("cannot change a policy: %s", answer)
	}
	h.must(t, "restart", "dns")
	h.ready(t, "consul-template", "haproxy")
	lab.Eventually(t, readyTime, "the DNS server in DNS", func() bool {
		return lab.RunDig(t, "@10.7.0.1", "+short", "panteras-dns.service.consul") == "10.7.0.1\n"
	})
	lab.Eventually(t, readyTime, "what consul-template makes", func() bool {
		out, _ := os.ReadFile(h.path("state", "out"))
		return string(out) == "10.7.0.1"
	})
	lab.Eventually(t, readyTime, "all services in Consul", func() bool {
		services := httpGet("10.7.0.1:8500", "/v1/catalog/services?token="+managementToken)
		return strings.Contains(services, "consul-ui") && strings.Contains(services, "haproxy") && strings.Contains(services, "panteras-dns")
	})
	for _, secret := range []string{launcherToken, managementToken} {
		if strings.Contains(h.Stdout()+h.Stderr(), secret) {
			t.Error("a token is in the output")
		}
		for _, p := range inNetwork(networkOf(t)) {
			if strings.Contains(p, secret) {
				t.Errorf("a token is among arguments: %s", p)
			}
		}
	}
	h.Stop(t)
	if strings.Contains(h.Stderr(), "cannot deregister") {
		t.Error("what was registered could not be deregistered")
	}
}

func jsonOf(t testing.TB, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// selfSigned makes a certificate for an address, which is its own authority.
func selfSigned(t *testing.T, address string) (authority, certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: address}, IPAddresses: []net.IP{net.ParseIP(address)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", name, err))
		}
	}
	certificate = filepath.Join(dir, "cert.pem")
	return certificate, certificate, filepath.Join(dir, "key.pem")
}
