package balancer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"panteras/configs/haproxy"
	"panteras/internal/lab"

	consul "github.com/hashicorp/consul/api"
)

// TestFromConsul follows a service from its registration in a real Consul, through the
// real consul-template, the built binary and HAProxy, to an answer, and away again.
func TestFromConsul(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	agent := lab.Consul(t, lab.ConsulOptions{})
	settings := filepath.Join(r.RunDir, "settings")
	folders := map[string]string{"RUN_DIR": filepath.Join(r.RunDir, "r"), "STATE_DIR": filepath.Join(r.RunDir, "s")}
	var lines []string
	for name, value := range map[string]string{
		"IP": "192.0.2.9", "LISTEN_IP": "127.0.0.1", "HOSTNAME": "node1", "RUN_DIR": folders["RUN_DIR"], "STATE_DIR": folders["STATE_DIR"],
		"HAPROXY_HTTP_PORT": fmt.Sprint(r.Options.HTTPPort), "HAPROXY_STATS_PORT": fmt.Sprint(r.Options.StatsPort),
		"HAPROXY_ADD_DOMAIN": ".my.own.domain.com", "CONSUL_DNS": "127.0.0.1:8600",
	} {
		lines = append(lines, name+"="+value)
	}
	source, snapshot := filepath.Join(settings, "snapshot.ctmpl"), filepath.Join(settings, "snapshot.json")
	config := map[string]any{"template": []any{map[string]any{
		"source": source, "destination": snapshot, "perms": "0600", "wait": map[string]any{"min": "100ms", "max": "1s"},
		"command": []string{filepath.Join(lab.Root(t), "bin", "panteras"), "haproxy", "apply", "--lenient", "--restricted", settings, snapshot},
	}}}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(settings, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"host": strings.Join(lines, "\n"), "panteras.json": string(text), "snapshot.ctmpl": haproxy.Template} {
		if err := os.WriteFile(filepath.Join(settings, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	template := func() *lab.Process {
		return lab.ConsulTemplate(t, []string{"PATH=/usr/sbin:/usr/bin:/bin"}, "-config="+filepath.Join(settings, "panteras.json"), "-consul-addr="+agent.HTTPAddr.String(), "-kill-signal=SIGTERM")
	}
	running := template()

	r.RunDir, r.StateDir = filepath.Join(folders["RUN_DIR"], "haproxy"), filepath.Join(folders["STATE_DIR"], "haproxy")
	r.Options.Socket, r.Master = filepath.Join(r.RunDir, "admin.sock"), filepath.Join(r.RunDir, "master.sock")
	lab.Eventually(t, patience, "the first configuration", func() bool {
		_, err := os.Stat(filepath.Join(r.StateDir, haproxy.ConfigFile))
		return err == nil
	})
	r.startHAProxy()

	instance := func(id, status string, tags ...string) lab.Service {
		i := web(t, "my_service", id, tags...)
		return lab.Service{Name: "my_service", ID: id, Node: "node-" + id, NodeIP: "127.0.0.1", Port: i.Port, Tags: tags, Status: status}
	}
	one, two := instance("one", consul.HealthPassing, "haproxy"), instance("two", consul.HealthPassing, "haproxy", "weight=100")
	answers := func(what string, host string, want ...string) {
		t.Helper()
		lab.Eventually(t, patience, what, func() bool {
			got := map[string]bool{}
			for range 4 {
				code, body := r.get(host, "/")
				if code != 200 {
					body = fmt.Sprint(code)
				}
				got[body] = true
			}
			for _, w := range want {
				if !got[w] {
					return false
				}
			}
			return len(got) == len(want)
		})
	}
	agent.Register(t, one)
	answers("the first instance serves", "my_service.service.consul:80", "one")
	agent.Register(t, two)
	answers("both serve", "my_service.service.dc1.consul", "one", "two")
	lab.Eventually(t, patience, "the report of what serves", func() bool {
		report, _, err := ReadReport(r.RunDir)
		return err == nil && len(report.Backends) == 1 && len(report.Backends[0].Servers) == 2
	})
	explain := lab.Panteras(t, lab.PanterasOptions{Args: []string{"explain", "my_service.my.own.domain.com", "--restricted", settings, "--consul-http-addr", agent.HTTPAddr.String()}})
	if code := explain.Wait(t, patience); code != 0 {
		t.Errorf("explain ends with %d", code)
	}
	for _, want := range []string{"goes to Consul, as my_service.service.consul", "knows 2 of my_service", `on "node-two" is passing`, "backend_my_service serves", fmt.Sprintf("127.0.0.1:%d weight 100", two.Port)} {
		if !strings.Contains(explain.Stdout(), want) {
			t.Errorf("explain does not say %q:\n%s", want, explain.Stdout())
		}
	}
	one.Status = consul.HealthCritical
	agent.Register(t, one)
	answers("the critical instance leaves", "my_service.my.own.domain.com", "two")

	// Names that consul-template would choke on, and names of other services.
	hostile := lab.Service{Name: `evil|"}{{ .x }}`, ID: "evil", Node: "node-evil", NodeIP: "127.0.0.1", Port: 1, Tags: []string{"haproxy", "a\"\n}\n\tserver x 127.0.0.1:1"}}
	agent.Register(t, hostile, lab.Service{Name: "a.my_service", ID: "dotted", Node: "node-evil", NodeIP: "127.0.0.1", Port: 1, Tags: []string{"haproxy"}})
	if _, err := agent.API.KV().Put(&consul.KVPair{Key: "haproxy/my_service/maxconn", Value: []byte("33")}, nil); err != nil {
		t.Fatal(err)
	}
	maxconn := func(want int) {
		t.Helper()
		lab.Eventually(t, patience, "the limit of the KV store", func() bool {
			servers, err := r.runtime().servers()
			if err != nil {
				return false
			}
			for _, s := range servers["backend_my_service"] {
				if s.ready && s.maxconn == want {
					return true
				}
			}
			return false
		})
	}
	maxconn(33)
	lab.Eventually(t, patience, "the hostile names are reported", func() bool {
		report, _, err := ReadReport(r.RunDir)
		return err == nil && len(report.Findings) == 2
	})

	// Without consul-template, and without Consul, everything goes on.
	running.Kill()
	answers("no consul-template", "my_service.service.consul", "two")
	one.Status = consul.HealthPassing
	agent.Register(t, one)
	if err := os.WriteFile(snapshot, nil, 0o600); err != nil { // as the launcher does at every start
		t.Fatal(err)
	}
	template()
	answers("what changed meanwhile", "my_service.service.consul", "one", "two")
	agent.Restart(t)
	answers("Consul restarts", "my_service.service.consul", "one", "two")
	agent.WaitLeader(t)
	agent.Deregister(t, one)
	answers("one leaves after Consul's restart", "my_service.service.consul", "two")
	agent.Kill()
	r.haproxy.Kill()
	r.startHAProxy()
	answers("HAProxy starts without Consul", "my_service.service.consul", "two")
}
