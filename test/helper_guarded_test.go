package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
)

// guarded is a host whose Consul denies what is not allowed, and takes TLS as well.
type guarded struct {
	*upHost
	policies map[string]string // their IDs, by name
}

// documented are the policies of docs/security.md, by the words before them.
var documented = []struct{ token, policy, words string }{
	{agentToken, "agent", "The token of Consul itself"},
	{defaultToken, "default", "The token of those who ask by DNS"},
	{launcherToken, "launcher", "The token of the launcher"},
	{launcherToken, "gateway", "A gateway, and whoever uses `panteras peer`"},
	{launcherToken, "registrator", "Registrator has the same token"},
}

// guardedHost prepares a host with everything that asks Consul for something. Its tokens
// are not known to Consul yet.
func guardedHost(t *testing.T) *guarded {
	t.Helper()
	ownNetwork(t)
	addAddress(t, "net0", "10.7.0.1/24")
	addAddress(t, "net0", serviceHere+"/24")
	withDocker(t)
	h := newHost(t, "10.7.0.1", only("consul", "consul-template", "dns", "mesos-master", "marathon", "chronos", "registrator")...)
	for _, name := range []string{"mesos-master", "marathon", "chronos"} {
		h.misbehave(t, name, "alone")
	}
	h.misbehave(t, "registrator", "container of-docker")
	authority, certificate, key := h.certificates(t)
	put(t, h.path("acl.json"), jsonOf(t, map[string]any{
		"ports": map[string]any{"https": 8501},
		"tls":   map[string]any{"https": map[string]any{"ca_file": authority, "cert_file": certificate, "key_file": key}},
		"acl": map[string]any{
			"enabled": true, "default_policy": "deny",
			"tokens": map[string]any{"initial_management": managementToken, "agent": agentToken, "default": defaultToken},
		},
		"performance": map[string]any{"raft_multiplier": 1},
	}))
	put(t, h.path("in.ctmpl"), `{{range service "panteras-dns" "any"}}{{.Address}}{{end}}`)
	h.env = append(h.env,
		"CONSUL_PARAMS=-log-level=warn -config-file="+h.path("acl.json"), "CONSUL_HTTP_ADDR=https://10.7.0.1:8501", "CONSUL_CACERT="+authority,
		"CONSUL_TEMPLATE_PARAMS=-template="+h.path("in.ctmpl")+":"+h.path("state", "out"),
		"DNS_MODE=lb", "KEEPALIVED_VIP="+vip, "TUNNEL_ENDPOINT=10.7.0.1", "TUNNEL_ROUTES=10.7.0.0/24", "TUNNEL_STORE=consul")
	g := &guarded{h, map[string]string{}}
	g.useToken(t, launcherToken)
	return g
}

// useToken puts the launcher's token into the settings of the host, in the place of another.
func (g *guarded) useToken(t *testing.T, token string) {
	t.Helper()
	file := g.path("restricted", "host")
	put(t, file, "CONSUL_HTTP_TOKEN="+token+"\n")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs another command of panteras by the settings of the host.
func (g *guarded) run(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	return g.upHost.run(t, append([]string{"--restricted", g.path("restricted")}, args...)...)
}

// must runs a command that must succeed.
func (g *guarded) must(t *testing.T, args ...string) string {
	t.Helper()
	return g.upHost.must(t, append([]string{"--restricted", g.path("restricted")}, args...)...)
}

// serviceHere is where a service of these tests is, which HAProxy is not.
const serviceHere = "10.7.0.9"

// manage asks Consul as its administrator, and returns the answer.
func (g *guarded) manage(t *testing.T, path string, body any) string {
	t.Helper()
	text, ok := body.(string)
	if !ok {
		text = jsonOf(t, body)
	}
	return httpDo(http.MethodPut, "10.7.0.1:8500", path+"?token="+managementToken, text)
}

// policy makes or changes a policy.
func (g *guarded) policy(t *testing.T, name, rules string) {
	t.Helper()
	path := "/v1/acl/policy"
	if id := g.policies[name]; id != "" {
		path += "/" + id
	}
	var made struct{ ID string }
	answer := g.manage(t, path, map[string]any{"Name": name, "Rules": rules})
	if err := json.Unmarshal([]byte(answer), &made); err != nil || made.ID == "" {
		t.Fatalf("cannot make or change the policy %s: %s", name, answer)
	}
	g.policies[name] = made.ID
}

// admit makes the tokens with the policies of the page, but for those that have other rules.
func (g *guarded) admit(t *testing.T, others map[string]string) {
	t.Helper()
	for _, d := range documented {
		rules, ok := others[d.policy]
		if !ok {
			rules = documentedPolicy(t, d.words)
		}
		g.policy(t, d.policy, rules)
	}
	for _, token := range []string{agentToken, defaultToken, launcherToken} {
		g.makeToken(t, token, token)
	}
}

// accessorOf is by what a token is changed and deleted.
func accessorOf(token string) string { return "a" + token[1:] }

// makeToken makes a token with the policies that the page gives to one of its tokens.
func (g *guarded) makeToken(t *testing.T, token, like string) {
	t.Helper()
	var policies []map[string]string
	for _, d := range documented {
		if d.token == like {
			policies = append(policies, map[string]string{"Name": d.policy})
		}
	}
	answer := g.manage(t, "/v1/acl/token", map[string]any{"SecretID": token, "AccessorID": accessorOf(token), "Policies": policies})
	if !strings.Contains(answer, token) {
		t.Fatalf("cannot make a token: %s", answer)
	}
}

// doctorSays waits until doctor has a line about rights with all the pieces.
func (g *guarded) doctorSays(t *testing.T, level string, pieces ...string) {
	t.Helper()
	var lines []string
	said := func() bool {
		output, _ := g.run(t, "doctor", "--json")
		var report struct{ Findings []doctorLine }
		if err := json.Unmarshal([]byte(output[:strings.LastIndex(output, "}")+1]), &report); err != nil {
			t.Fatalf("%v in %s", err, output)
		}
		lines = lines[:0]
		for _, f := range report.Findings {
			if f.Check == "rights in Consul" {
				lines = append(lines, f.Level+" "+f.Message+" fix: "+f.Fix)
			}
		}
		return slices.ContainsFunc(lines, func(line string) bool {
			for _, piece := range append(pieces, level+" ") {
				if !strings.Contains(line, piece) {
					return false
				}
			}
			return true
		})
	}
	for deadline := time.Now().Add(readyTime); !said(); {
		if time.Now().After(deadline) {
			t.Errorf("doctor never says %s %q, but %q", level, pieces, lines)
			return
		}
	}
}

// logged waits until the launcher's log has a line with all the pieces.
func (g *guarded) logged(t *testing.T, pieces ...string) {
	t.Helper()
	lab.Eventually(t, readyTime, fmt.Sprintf("a line with %q in the log", pieces), func() bool {
		for line := range strings.Lines(g.Stderr()) {
			line = strings.ReplaceAll(line, `\"`, `"`)
			if !slices.ContainsFunc(pieces, func(piece string) bool { return !strings.Contains(line, piece) }) {
				return true
			}
		}
		return false
	})
}

func jsonOf(t testing.TB, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// certificates makes what the host's Consul needs for TLS, and a copy of the certificate that all may read who ask it.
func (h *upHost) certificates(t *testing.T) (authority, certificate, key string) {
	t.Helper()
	_, certificate, key = selfSigned(t, "10.7.0.1")
	text, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	authority = h.path("authority.pem")
	put(t, authority, string(text))
	if err := os.Chmod(authority, 0o644); err != nil { // the DNS server runs as nobody
		t.Fatal(err)
	}
	return authority, certificate, key
}
