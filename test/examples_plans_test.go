package test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
)

// marathonApp is what the examples say to Marathon.
type marathonApp struct {
	ID        string
	Instances int
	CPUs      float64
	Mem       float64
	Args      []string
	Env       map[string]string
	Container struct {
		Type   string
		Docker struct {
			Image, Network string
			PortMappings   []struct{ ContainerPort, HostPort, ServicePort int }
		}
	}
	HealthChecks []struct {
		Protocol, Path                                                                         string
		PortIndex, GracePeriodSeconds, IntervalSeconds, TimeoutSeconds, MaxConsecutiveFailures int
	}
	TaskKillGracePeriodSeconds int
	UpgradeStrategy            *struct{ MinimumHealthCapacity, MaximumOverCapacity float64 }
}

// TestExamplePlans reads what the examples say to Marathon, and gives the tags to the
// load balancer as Registrator would.
func TestExamplePlans(t *testing.T) {
	t.Parallel()
	macros := map[string]string{"TRACK": "stable", "INSTANCES": "2", "WEIGHT": "100", "REGISTRY": "registry.example.com", "VERSION": "1.2.0"}
	for _, c := range []struct {
		plan, backend, check string
		port                 uint16
		weight               int
	}{
		{"simple-webapp/marathon-stable.json", "backend_simple-webapp", "", 0, 100},
		{"simple-webapp/marathon-canary.json", "backend_simple-webapp", "", 0, 1},
		{"simple-webapp/marathon-tcp.json", "tcp_simple-tcp_6000", "", 6000, 100},
		{"simple-webapp/marathon_deploy.yml", "backend_simple-webapp", "", 0, 100},
		{"smooth-webapp/marathon.json", "backend_smooth-webapp", "GET /health", 0, 100},
		{"smooth-webapp/marathon_deploy.yml", "backend_smooth-webapp", "GET /health", 0, 100},
	} {
		app := readPlan(t, c.plan, macros)
		if app.ID == "" || app.Instances < 1 || app.Container.Docker.Image == "" || len(app.Container.Docker.PortMappings) != 1 || len(app.HealthChecks) != 1 {
			t.Errorf("%s is not complete: %+v", c.plan, app)
			continue
		}
		config := haproxy.Render(&haproxy.Snapshot{Instances: []*haproxy.Instance{{
			Service: app.Env["SERVICE_NAME"], ID: "1", Node: "node", Address: "192.0.2.1", Port: 31000, Tags: strings.Split(app.Env["SERVICE_TAGS"], ","),
		}}}, haproxy.Options{Listen: netip.IPv4Unspecified(), HTTPPort: 80, StatsPort: 81, Domain: "consul"}, nil)
		if len(config.Report.Findings) > 0 || len(config.Report.Backends) != 1 {
			t.Errorf("%s: %+v", c.plan, config.Report)
			continue
		}
		b := config.Report.Backends[0]
		if b.Name != c.backend || b.Check != c.check || b.Port != c.port || b.Servers[0].Weight != c.weight {
			t.Errorf("%s: %+v", c.plan, b)
		}
		if c.port != 0 && app.Container.Docker.PortMappings[0].ServicePort != int(c.port) {
			t.Errorf("%s: Marathon may hand port %d to another app", c.plan, c.port)
		}
		if grace := app.TaskKillGracePeriodSeconds; strings.HasPrefix(c.plan, "smooth") && grace <= 30 {
			t.Errorf("%s: tasks are killed after %d s, before they have drained", c.plan, grace)
		}
	}
}

var macro = regexp.MustCompile(`%%(\w+)%%`)

// readPlan reads a plan, with macros expanded as marathon_deploy does.
func readPlan(t *testing.T, path string, macros map[string]string) (app marathonApp) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(lab.Root(t), "examples", path))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".yml") {
		expanded := macro.ReplaceAllStringFunc(string(text), func(m string) string {
			value, ok := macros[strings.Trim(m, "%")]
			if !ok {
				t.Errorf("%s: nobody sets %s", path, m)
			}
			return value
		})
		var tree any
		if err := yaml.Unmarshal([]byte(expanded), &tree); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if text, err = json.Marshal(tree); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&app); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return app
}
