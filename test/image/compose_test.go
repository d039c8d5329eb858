package image

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"panteras/configs"
	"panteras/internal/lab"
	"panteras/launcher"
	"panteras/launcher/export"
)

// where stands for the folder of a compose file.
const where = "/srv/panteras"

// read reads a compose file as Compose does.
func read(t *testing.T, content []byte) types.Services {
	t.Helper()
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  where,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(where, "compose.yaml"), Content: content}},
	}, func(o *loader.Options) { o.SetProjectName("panteras", true) })
	if err != nil {
		t.Fatal(err)
	}
	return project.Services
}

// hostWith is a machine that holds the IP of a settings file.
func hostWith(t *testing.T, settings string) configs.HostFacts {
	t.Helper()
	_, rest, _ := strings.Cut(settings, "IP=")
	text, _, _ := strings.Cut(rest, "\n")
	ip, err := netip.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return configs.HostFacts{DefaultInterface: "eth0", Interfaces: []configs.Interface{
		{Name: "eth0", Addrs: []netip.Addr{ip}, Networks: []netip.Prefix{netip.PrefixFrom(ip, 24)}},
	}}
}

// exported is the service that `panteras export compose` writes for a host whose
// settings are files of these contents.
func exported(t *testing.T, files map[string]string, environ ...string) (types.ServiceConfig, *launcher.Plan) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	facts := hostWith(t, files["host"])
	loaded, err := configs.Load(configs.Sources{Dir: dir, DirGiven: true, Environ: environ, Host: facts})
	if err != nil {
		t.Fatal(err)
	}
	plan := launcher.New(loaded, launcher.Facts{Self: "/usr/local/bin/panteras", Host: facts})
	if err := plan.Err(); err != nil {
		t.Fatal(err)
	}
	text := export.Compose(loaded, plan, export.Facts{Folder: where + "/restricted"})
	return read(t, []byte(text))["panteras"], plan
}

// same compares services but for what names them, the image, where it is built, and whether
// Compose makes the folder of settings.
func same(t *testing.T, name string, got, want types.ServiceConfig) {
	t.Helper()
	got.Build, want.Build = nil, nil
	for _, s := range []*types.ServiceConfig{&got, &want} {
		s.Name, s.Image = "", ""
		s.Volumes = slices.Clone(s.Volumes)
		for i, v := range s.Volumes {
			if v.Target == "/etc/panteras" {
				s.Volumes[i].Bind = nil
			}
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(types.ServiceConfig{})); diff != "" {
		t.Errorf("%s is not what `panteras export compose` writes (- exported, + there):\n%s", name, diff)
	}
}

// compose.yaml is what the export of a host without retired daemons is.
func TestComposeIsAsExported(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(lab.Root(t), "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, content)["panteras"]
	if got.Build == nil || got.Image != "panteras:latest" || got.Build.Args["VERSION"] == nil || *got.Build.Args["VERSION"] != "unknown" {
		t.Errorf("it builds %v as %q", got.Build, got.Image)
	}
	environ := []string{
		"START_MESOS_MASTER=false", "START_MARATHON=false", "START_CHRONOS=false", "START_MESOS_SLAVE=false", "START_REGISTRATOR=false",
	}
	want, _ := exported(t, map[string]string{"host": "IP=10.0.0.1\nHOSTNAME=host\n"}, environ...)
	same(t, "compose.yaml", got, want)
}

// The example's hosts have settings without a finding, and the services of its compose
// file are what the export of each would be.
func TestExampleIsAsExported(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(lab.Root(t), "examples", "compose")
	content, err := os.ReadFile(filepath.Join(dir, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	services := read(t, content)
	common, err := os.ReadFile(filepath.Join(dir, "restricted", "common"))
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "hosts", "*"))
	if err != nil || len(paths) != 5 {
		t.Fatalf("hosts %q, %v", paths, err)
	}
	daemons := map[string]string{
		"master": "consul zookeeper dns",
		"slave":  "consul consul-template haproxy keepalived dns",
	}
	for _, path := range paths {
		name := filepath.Base(path)
		role, _, _ := strings.Cut(name, "-")
		host, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, plan := exported(t, map[string]string{"common": string(common), "host": string(host)})
		for _, f := range plan.Findings {
			t.Errorf("%s: %+v", name, f)
		}
		var run []string
		for _, d := range plan.Daemons {
			if d.Run {
				run = append(run, d.Name)
			}
		}
		if got := strings.Join(run, " "); got != daemons[role] {
			t.Errorf("%s runs %s, want %s", name, got, daemons[role])
		}
		if hostname := "HOSTNAME=" + name + "\n"; !strings.Contains(string(host), hostname) {
			t.Errorf("%s lacks %s", name, hostname)
		}
		same(t, name, services[role], want)
	}
}
