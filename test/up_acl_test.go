package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"panteras/internal/lab"
	"panteras/launcher"
)

// The tokens of a Consul that lets nobody do anything without one.
const (
	managementToken = "9a1b2c3d-0000-4000-8000-000000000001"
	agentToken      = "9a1b2c3d-0000-4000-8000-000000000002"
	defaultToken    = "9a1b2c3d-0000-4000-8000-000000000003"
	launcherToken   = "9a1b2c3d-0000-4000-8000-000000000004"
	nextToken       = "9a1b2c3d-0000-4000-8000-000000000005"
)

// policyPage is the page with the rights that panteras needs in Consul.
const policyPage = "docs/security.md"

// documentedPolicy is the first block of rules there after some words.
func documentedPolicy(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(lab.Root(t), policyPage))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)" + regexp.QuoteMeta(heading) + ".*?```hcl acl\n(.*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatalf("%s has no rules for %q", policyPage, heading)
	}
	return strings.ReplaceAll(string(found[1]), "NODE", "node-1")
}

// TestUpWithACLsAndTLS gives Consul's tokens what docs/security.md says, and no more: all
// works. Then it takes each right away, and is told which one is missing.
func TestUpWithACLsAndTLS(t *testing.T) {
	t.Parallel()
	g := guardedHost(t)
	g.up(t)
	g.ready(t, "consul", "dns")
	g.doctorSays(t, "warn", "does not know the token of CONSUL_HTTP_TOKEN")
	agent := documentedPolicy(t, "The token of Consul itself")
	// From the start: once it has written about its node, it is known.
	g.admit(t, map[string]string{"agent": without(t, agent, `node "node-1" { policy = "write" }`)})
	g.must(t, "restart", "consul") // it begins again with a token that is known
	g.doctorSays(t, "fail", `Consul itself lacks node:write on "node-1"`, `node "node-1" { policy = "write" }`)
	g.policy(t, "agent", agent)
	g.must(t, "restart", "consul")
	g.ready(t, "consul", "consul-template", "haproxy", "keepalived", "mesos-master", "marathon", "chronos", "registrator", "dns", "tunnel")
	g.doctorSays(t, "ok", "all that this host needs")
	g.allWorks(t)

	g.eachRight(t)
	g.rotateToken(t)
	for _, secret := range []string{launcherToken, nextToken, managementToken} {
		if strings.Contains(g.Stdout()+g.Stderr(), secret) {
			t.Error("a token is in the output")
		}
		for _, p := range inNetwork(networkOf(t)) {
			if strings.Contains(p, secret) {
				t.Errorf("a token is among arguments: %s", p)
			}
		}
	}
	before := len(g.Stderr())
	g.Stop(t)
	if strings.Contains(g.Stderr()[before:], "cannot deregister") {
		t.Error("what was registered could not be deregistered")
	}
}

// allWorks tries everything for which Consul is asked.
func (g *guarded) allWorks(t *testing.T) {
	t.Helper()
	var services map[string][]string
	for _, name := range []string{"chronos", "consul-ui", "haproxy", "marathon", "mesos", "panteras-dns", "panteras-gateway", "panteras-keepalived", "of-docker"} {
		lab.Eventually(t, readyTime, name+" in Consul", func() bool {
			_ = json.Unmarshal([]byte(httpGet("10.7.0.1:8500", "/v1/catalog/services?token="+managementToken)), &services)
			return services[name] != nil
		})
	}
	lab.Eventually(t, readyTime, "the DNS server in DNS", func() bool {
		return lab.RunDig(t, "@10.7.0.1", "+short", "panteras-dns.service.consul") == "10.7.0.1\n"
	})
	lab.Eventually(t, readyTime, "what consul-template makes", func() bool {
		out, _ := os.ReadFile(g.path("state", "out"))
		return string(out) == "10.7.0.1"
	})

	// A service behind HAProxy, with a limit: by its name, which leads to HAProxy.
	webServer(t, serviceHere+":31999", "served")
	g.manage(t, "/v1/kv/haproxy/web/maxconn", "7")
	if answer := g.manage(t, "/v1/agent/service/register", map[string]any{"Name": "web", "Port": 31999, "Address": serviceHere, "Tags": []string{"haproxy"}}); answer != "" {
		t.Fatalf("cannot register: %s", answer)
	}
	lab.Eventually(t, readyTime, "HAProxy to serve the service", func() bool {
		return curl(t, "-H", "Host: web.service.consul", "http://10.7.0.1/") == "served"
	})
	lab.Eventually(t, readyTime, "the name of the service to lead to HAProxy", func() bool {
		return lab.RunDig(t, "@10.7.0.1", "+short", "web.service.consul") == "10.7.0.1\n"
	})
	lab.Eventually(t, readyTime, "the limit in HAProxy's configuration", func() bool {
		config, _ := os.ReadFile(g.path("state", "haproxy", "haproxy.cfg"))
		return strings.Contains(string(config), serviceHere+":31999") && strings.Contains(string(config), "maxconn 7")
	})

	// keepalived's peers.
	g.manage(t, "/v1/agent/service/register", map[string]any{"ID": "other", "Name": launcher.KeepalivedService, "Address": "10.7.0.66", "Tags": []string{vip}})
	lab.Eventually(t, readyTime, "keepalived's peer", func() bool {
		peers, _ := os.ReadFile(g.path("state", "consul-template", "keepalived-peers.conf"))
		return strings.Contains(string(peers), "    10.7.0.66\n")
	})

	// The tunnel's.
	g.must(t, "peer", "add", "alice-laptop", "--output", g.path("alice.conf"))
	if list := g.must(t, "peer", "list"); !strings.Contains(list, "alice-laptop") {
		t.Errorf("peer list: %s", list)
	}
	lab.Eventually(t, readyTime, "the gateway to let the peer in", g.letsPeerIn)
}

// letsPeerIn tells whether the tunnel's interface knows a peer.
func (g *guarded) letsPeerIn() bool { return g.peersIn() > 0 }

// peersIn is how many the tunnel's interface knows.
func (g *guarded) peersIn() int {
	output, _ := exec.Command("wg", "show", tunnelInterface, "peers").Output()
	return len(strings.Fields(string(output)))
}

// rotateToken gives the host another token, as docs/operations.md says. The gateway hears of a
// revocation after that.
func (g *guarded) rotateToken(t *testing.T) {
	t.Helper()
	lab.Eventually(t, readyTime, "both peers at the gateway", func() bool { return g.peersIn() == 2 })
	gateway := g.status()["tunnel"].Pid
	g.makeToken(t, nextToken, launcherToken)
	g.useToken(t, nextToken)
	g.must(t, "reload")
	if answer := httpDo(http.MethodDelete, "10.7.0.1:8500", "/v1/acl/token/"+accessorOf(launcherToken)+"?token="+managementToken, ""); answer != "true" {
		t.Fatalf("cannot delete the old token: %s", answer)
	}
	// A question that was on its way may still be answered with the old token.
	for _, step := range []struct {
		action string
		left   int
	}{{"disable", 1}, {"enable", 2}, {"disable", 1}} {
		g.must(t, "peer", step.action, "alice-laptop")
		lab.Eventually(t, patience, "the gateway to hear of a peer: "+step.action, func() bool { return g.peersIn() == step.left })
	}
	if now := g.status()["tunnel"].Pid; now != gateway {
		t.Errorf("the gateway was restarted: it was process %d, and is %d", gateway, now)
	}
	g.doctorSays(t, "ok", "all that this host needs")
}

// without is a policy that lacks a rule.
func without(t *testing.T, policy, rule string) string {
	t.Helper()
	rest := strings.Replace(policy, rule+"\n", "", 1)
	if rest == policy {
		t.Fatalf("there is no rule %s in\n%s", rule, policy)
	}
	return rest
}

// eachRight takes rights away, one after the other.
func (g *guarded) eachRight(t *testing.T) {
	t.Helper()
	// Registrator's comprises what others need, so it goes first, and stays away.
	g.policy(t, "registrator", `key "nothing" { policy = "read" }`)
	policy := documentedPolicy(t, "The token of the launcher")
	// Consul 1.14 merges policies in its cache, where the other one has the right to write
	// now as well until its text changes.
	g.policy(t, "launcher", policy+"\n")
	g.doctorSays(t, "fail", `lacks service:write on ""`, "Registrator", `service_prefix "" { policy = "write" }`)
	for line := range strings.Lines(policy) {
		rule := strings.TrimSpace(line)
		m := regexp.MustCompile(`^([a-z]+)(?:_prefix)? ("[^"]*") { policy = "([a-z]+)" }$`).FindStringSubmatch(rule)
		if m == nil {
			t.Fatalf("%s: what is the rule %q?", policyPage, rule)
		}
		g.policy(t, "launcher", without(t, policy, rule))
		g.doctorSays(t, "fail", fmt.Sprintf("lacks %s:%s on %s", m[1], m[3], m[2]), "is needed by", rule)
	}

	// What cannot be registered is said when that is tried.
	g.policy(t, "launcher", without(t, policy, `service "marathon" { policy = "write" }`))
	g.must(t, "stop", "marathon")
	g.logged(t, "cannot deregister marathon", "service:write", `service "marathon" { policy = "write" }`)
	// What cannot be read, Consul hides; the launcher asks.
	g.policy(t, "launcher", `service_prefix "panteras" { policy = "write" }`)
	g.policy(t, "gateway", `key "nothing" { policy = "read" }`)
	g.manage(t, "/v1/kv/panteras/tunnel/peers/news/", "") // or a gateway hears nothing for a minute
	g.must(t, "start", "marathon")                        // when something changes, Consul is asked
	for _, lacking := range []string{`service:read on ""`, `node:read on ""`, `key:read on "haproxy/"`, `key:write on "panteras/tunnel/"`, `service:write on ""`} {
		g.logged(t, "rights in Consul", "lacks "+lacking, "add to its policy")
	}
	g.logged(t, "Consul hides services or nodes from DNS_MODE=lb", "service:read or node:read")
	g.logged(t, "the store of peers", "key:read", `key_prefix "panteras/tunnel/" { policy = "write" }`)
	if output, code := g.run(t, "peer", "add", "bob"); code != 1 || !strings.Contains(output, "lacks key:") || !strings.Contains(output, `key_prefix "panteras/tunnel/" { policy = "write" }`) {
		t.Errorf("peer add without the right: exit code %d: %s", code, output)
	}
	if !g.letsPeerIn() {
		t.Error("the gateway has shut its peer out, because it may not read its store")
	}

	g.policy(t, "default", `key "nothing" { policy = "read" }`)
	g.doctorSays(t, "fail", "consul.service.consul", "acl.tokens.default")

	// Everything given back, all is well again.
	for _, d := range documented {
		g.policy(t, d.policy, documentedPolicy(t, d.words))
	}
	g.doctorSays(t, "ok", "all that this host needs")
	g.must(t, "restart", "marathon")
	g.logged(t, "the token has all rights in Consul that this host needs")
	g.must(t, "peer", "add", "bob", "--output", g.path("bob.conf"))
}
