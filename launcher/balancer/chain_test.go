package balancer

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
)

// chain is a host that balances what a real Consul knows: the real consul-template renders
// its services by our template, and runs the built binary, which tells the real HAProxy.
type chain struct {
	*rig
	agent    *lab.ConsulNode
	folder   string // of the settings, the template and the snapshot
	settings map[string]string
}

// startedChain is such a host, without services. addDomain is HAPROXY_ADD_DOMAIN.
func startedChain(t *testing.T, addDomain string) (c *chain, template *lab.Process) {
	t.Helper()
	r := newRig(t)
	c = &chain{rig: r, agent: lab.Consul(t, lab.ConsulOptions{Extra: wan(t)}), folder: filepath.Join(r.RunDir, "settings")}
	c.settings = map[string]string{
		"IP": "192.0.2.9", "LISTEN_IP": "127.0.0.1", "HOSTNAME": "node1", "RUN_DIR": filepath.Join(r.RunDir, "r"), "STATE_DIR": filepath.Join(r.RunDir, "s"),
		"HAPROXY_HTTP_PORT": fmt.Sprint(r.Options.HTTPPort), "HAPROXY_STATS_PORT": fmt.Sprint(r.Options.StatsPort),
		"HAPROXY_ADD_DOMAIN": addDomain, "CONSUL_DNS": "127.0.0.1:8600",
	}
	r.RunDir, r.StateDir = filepath.Join(c.settings["RUN_DIR"], "haproxy"), filepath.Join(c.settings["STATE_DIR"], "haproxy")
	r.Options.Socket, r.Master = filepath.Join(r.RunDir, "admin.sock"), filepath.Join(r.RunDir, "master.sock")
	text, err := json.Marshal(map[string]any{"template": []any{map[string]any{
		"source": filepath.Join(c.folder, "snapshot.ctmpl"), "destination": c.snapshot(), "perms": "0600", "wait": map[string]any{"min": "100ms", "max": "1s"},
		"command": []string{filepath.Join(lab.Root(t), "bin", "panteras"), "haproxy", "apply", "--lenient", "--restricted", c.folder, c.snapshot()},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	c.put("panteras.json", string(text))
	c.put("snapshot.ctmpl", haproxy.Template)
	template = c.template()
	lab.Eventually(t, patience, "the first configuration", func() bool {
		_, err := os.Stat(filepath.Join(c.StateDir, haproxy.ConfigFile))
		return err == nil
	})
	c.startHAProxy()
	return c, template
}

// wan lets a Consul know others in other data centres.
func wan(t *testing.T) map[string]any {
	t.Helper()
	return map[string]any{"ports": map[string]any{"serf_wan": lab.Port(t)}}
}

func (c *chain) snapshot() string { return filepath.Join(c.folder, "snapshot.json") }

func (c *chain) put(name, content string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.folder, name), []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// template starts consul-template with the settings as they are now and an empty snapshot,
// as the launcher does at every start.
func (c *chain) template() *lab.Process {
	c.t.Helper()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(c.settings)) {
		lines = append(lines, name+"="+c.settings[name])
	}
	c.put("host", strings.Join(lines, "\n"))
	c.put(filepath.Base(c.snapshot()), "")
	return lab.ConsulTemplate(c.t, []string{"PATH=/usr/sbin:/usr/bin:/bin"}, "-config="+filepath.Join(c.folder, "panteras.json"), "-consul-addr="+c.agent.HTTPAddr.String(), "-kill-signal=SIGTERM")
}

// report waits until what HAProxy serves is as wanted, and returns the report of it.
func (c *chain) report(what string, wanted func(*haproxy.Report) bool) (report *haproxy.Report) {
	c.t.Helper()
	lab.Eventually(c.t, patience, what, func() bool {
		r, _, err := ReadReport(c.RunDir)
		report = r
		return err == nil && wanted(r)
	})
	return report
}

// explains runs `panteras explain` for a name, and looks for what it should say.
func (c *chain) explains(name string, want ...string) {
	c.t.Helper()
	p := lab.Panteras(c.t, lab.PanterasOptions{Args: []string{"explain", name, "--restricted", c.folder, "--consul-http-addr", c.agent.HTTPAddr.String()}})
	if code := p.Wait(c.t, patience); code != 0 {
		c.t.Errorf("explain %s ends with %d: %s", name, code, p.Stderr())
	}
	for _, piece := range want {
		if !strings.Contains(p.Stdout(), piece) {
			c.t.Errorf("explain %s does not say %q:\n%s", name, piece, p.Stdout())
		}
	}
}

// backend is a backend of a report; nil if it has none of that name.
func backend(r *haproxy.Report, name string) *haproxy.Backend {
	i := slices.IndexFunc(r.Backends, func(b haproxy.Backend) bool { return b.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Backends[i]
}
