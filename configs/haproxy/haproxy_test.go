package haproxy

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func testOptions() Options {
	return Options{
		Listen: netip.MustParseAddr("10.0.0.5"), VIP: netip.MustParseAddr("10.0.0.9"), HTTPPort: 80, StatsPort: 81,
		Domain: "consul", AddDomain: "my.own.domain.com", Hosts: []string{"localhost", "node1"},
		Links: []Link{{Name: "Consul", Port: 8500}}, Socket: "/run/panteras/haproxy/admin.sock",
	}
}

func instance(service, id string, port int, tags ...string) *Instance {
	return &Instance{Service: service, ID: id, Node: "node-1", Address: "10.1.0.1", Port: port, Tags: tags}
}

func snapshot(instances ...*Instance) *Snapshot {
	return &Snapshot{Datacenters: []string{"dc1"}, Instances: instances}
}

func messages(r Report) string {
	var text strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&text, "%s: %s\n", f.Service, f.Message)
	}
	return text.String()
}

func TestGolden(t *testing.T) {
	s := snapshot(
		instance("web", "a", 31001, "haproxy", "haproxy_route=/minions", "haproxy_httpchk=GET /health"),
		instance("web", "b", 31002, "haproxy", "weight=1"),
		instance("db", "c", 31003, "haproxy_tcp=5432"),
		instance("bad", "d", 31004, "haproxy", "haproxy_route=/$(id)", "weight=257", "haproxy_tcp=8500"),
	)
	s.Maxconn = map[string]string{"web/maxconn": "12", "": ""}
	c := Render(s, testOptions(), nil)
	report, err := json.MarshalIndent(c.Report, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{ConfigFile: c.Files[ConfigFile], HostsFile: c.Files[HostsFile], PathsFile: c.Files[PathsFile], "report.json": string(report) + "\n"} {
		path := filepath.Join("testdata", "golden", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s differs (-file +now); if that is meant: go test ./configs/haproxy -update\n%s", path, diff)
		}
	}
}

// TestNames: a service is served under every name that the DNS server leads here.
func TestNames(t *testing.T) {
	o := testOptions()
	o.Domain = "acme.example"
	s := snapshot(instance("Web", "a", 1001, "haproxy"))
	s.Datacenters = []string{"dc1", "DC2", "bad dc"}
	for _, name := range []string{
		"web.service", "web.service.acme.example", "web.service.dc1.acme.example", "web.service.dc2.acme.example",
		"web.service.consul", "web.service.dc1.consul", "web.service.dc2.consul", "web.my.own.domain.com",
	} {
		if got := Render(s, o, nil).Hosts[name]; got != "backend_Web" {
			t.Errorf("%s leads to %q", name, got)
		}
	}
	if n := len(Render(s, o, nil).Report.Backends[0].Hosts); n != 8 {
		t.Errorf("%d names", n)
	}
}

// TestConflicts: who has a route keeps it, whatever the newcomer is called.
func TestConflicts(t *testing.T) {
	old := instance("zebra", "z", 1001, "haproxy", "haproxy_route=/x", "haproxy_tcp=7000")
	newcomer := instance("ant", "a", 1002, "haproxy", "haproxy_route=/x", "haproxy_tcp=7000")
	first := Render(snapshot(old), testOptions(), nil)
	second := Render(snapshot(newcomer, old), testOptions(), &first.Report)
	if got := second.Paths["/x/"]; got != "backend_zebra" {
		t.Errorf("the route went to %s", got)
	}
	if _, ok := second.Shape.Sections["tcp_zebra_7000"]; !ok || len(second.Shape.Sections) != 3 {
		t.Errorf("sections: %v", second.Shape.Sections)
	}
	want := "ant: does not get path /x: zebra has it; choose another\n" +
		"ant: does not get port 7000: zebra has it; choose another\n" +
		"zebra: keeps path /x, which ant want as well\n" +
		"zebra: keeps port 7000, which ant want as well\n"
	if diff := cmp.Diff(want, messages(second.Report)); diff != "" {
		t.Error(diff)
	}
	// Without a holder the first by name gets it; with the holder gone, so does the other.
	if got := Render(snapshot(newcomer, old), testOptions(), nil).Paths["/x/"]; got != "backend_ant" {
		t.Errorf("without a holder the route went to %s", got)
	}
	if got := Render(snapshot(newcomer), testOptions(), &second.Report).Paths["/x/"]; got != "backend_ant" {
		t.Errorf("after the holder the route went to %s", got)
	}
}

// TestEachInstanceHasItsOwnTags: ports and weights are those of the instance.
func TestEachInstanceHasItsOwnTags(t *testing.T) {
	c := Render(snapshot(
		instance("web", "http", 80, "haproxy", "weight=7"), instance("web", "tcp", 5000, "haproxy_tcp=7000", "haproxy_tcp=7001"), instance("web", "none", 9, "other"),
		instance("web", "twice", 80, "haproxy", "weight=9"),
	), testOptions(), nil)
	var got strings.Builder
	for _, b := range c.Report.Backends {
		fmt.Fprint(&got, b.Name)
		for _, s := range b.Servers {
			fmt.Fprintf(&got, " %s*%d", s.Address, s.Weight)
		}
		got.WriteString("\n")
	}
	want := "backend_web 10.1.0.1:80*7\ntcp_web_7000 10.1.0.1:5000*100\ntcp_web_7001 10.1.0.1:5000*100\n"
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
	if want := "web: 10.1.0.1:80 is registered more than once; only the first counts\n"; messages(c.Report) != want {
		t.Errorf("findings: %s", messages(c.Report))
	}
}

// hostile are tags, each of which must do nothing but be reported. They are in a file, as
// others register them in a real Consul.
var hostile = readHostile("testdata/hostile.json")

func readHostile(path string) (tags []string) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &tags)
	}
	if err != nil {
		panic(err)
	}
	return tags
}

func TestHostileTags(t *testing.T) {
	base := Render(snapshot(instance("web", "a", 1001, "haproxy")), testOptions(), nil)
	for _, tag := range hostile {
		c := Render(snapshot(instance("web", "a", 1001, "haproxy", tag)), testOptions(), nil)
		if diff := cmp.Diff(base.Files, c.Files); diff != "" {
			t.Errorf("%q has an effect:\n%s", tag, diff)
		}
		if len(c.Report.Findings) != 1 {
			t.Errorf("%q: findings %q", tag, messages(c.Report))
		}
	}
	if len(hostile) < 50 {
		t.Errorf("only %d tags", len(hostile))
	}
	check(t, Render(snapshot(instance("web", "a", 1001, append(hostile, "haproxy")...)), testOptions(), nil))
}

// check lets HAProxy itself check a configuration.
func check(t testing.TB, c *Config) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range c.Files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("haproxy", "-c", "-q", "-f", filepath.Join(dir, ConfigFile))
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if cmd.Err != nil {
		cmd.Path, cmd.Err = "/usr/sbin/haproxy", nil
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("HAProxy does not take it: %v\n%s\n%s", err, output, c.Files[ConfigFile])
	}
}

// FuzzRender registers an instance as a stranger may, beside a service of somebody
// else's, and lets HAProxy check what is rendered.
func FuzzRender(f *testing.F) {
	for i := 0; i < len(hostile); i += 8 { // each seed is a process in every run of the tests
		tag := hostile[i]
		f.Add("stranger", "node", "10.1.0.2", 1002, tag, "128")
	}
	f.Add("a\nb", "n\"} d", "fe80::1%eth0", 0, "haproxy", "x")
	f.Add(strings.Repeat("a", 64), "", "0.0.0.0", 70000, "haproxy_tcp=7000", "-1")
	victim := instance("victim", "v", 1001, "haproxy", "haproxy_route=/victim", "haproxy_tcp=7777")
	alone := Render(snapshot(victim), testOptions(), nil)
	f.Fuzz(func(t *testing.T, service, node, address string, port int, tag, maxconn string) {
		stranger := &Instance{Service: service, ID: tag, Node: node, Address: address, Port: port, Tags: []string{"haproxy", "haproxy_tcp=7001", tag}}
		s := snapshot(victim, stranger)
		s.Unnamed, s.Maxconn = []string{service}, map[string]string{service + "/maxconn": maxconn}
		c := Render(s, testOptions(), &alone.Report)
		if service != "victim" {
			for _, section := range []string{"backend_victim", "tcp_victim_7777"} {
				if c.Shape.Sections[section] != alone.Shape.Sections[section] {
					t.Errorf("%s changed", section)
				}
			}
			if c.Hosts["victim.service.consul"] != "backend_victim" || c.Paths["/victim/"] != "backend_victim" {
				t.Error("the victim lost a route")
			}
		}
		check(t, c)
	})
}
