package launcher

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"panteras/configs"
)

// testFacts are those of an ordinary host with the packages of Debian, and this
// program in a usual place.
func testFacts(addr string) Facts {
	return Facts{
		Host: configs.HostFacts{
			Hostname: "node1",
			Interfaces: []configs.Interface{
				{Name: "lo", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
				{Name: "docker0", Addrs: []netip.Addr{netip.MustParseAddr("172.17.0.1")}},
				{Name: "eth0", Addrs: []netip.Addr{netip.MustParseAddr(addr)}},
			},
			DefaultInterface: "eth0",
			Users:            []string{"root", "zookeeper", "haproxy", "nobody"},
		},
		Self: "/usr/local/bin/panteras",
	}
}

// planDir plans from a settings folder on a host with the address.
func planDir(t *testing.T, dir, addr string) *Plan {
	t.Helper()
	facts := testFacts(addr)
	loaded, _ := configs.Load(configs.Sources{Dir: dir, DirGiven: true, Host: facts.Host})
	return New(loaded, facts)
}

// planEnv plans from an environment, without files, on the host 10.0.0.5.
func planEnv(t *testing.T, environ ...string) *Plan {
	t.Helper()
	facts := testFacts("10.0.0.5")
	loaded, _ := configs.Load(configs.Sources{Dir: t.TempDir(), DirGiven: true, Environ: environ, Host: facts.Host})
	return New(loaded, facts)
}

// goodPlan is planEnv for settings without errors.
func goodPlan(t *testing.T, environ ...string) *Plan {
	t.Helper()
	p := planEnv(t, environ...)
	if err := p.Err(); err != nil {
		t.Fatalf("%q: %v", environ, err)
	}
	return p
}

func daemonOf(t *testing.T, p *Plan, name string) Daemon {
	t.Helper()
	i := slices.IndexFunc(p.Daemons, func(d Daemon) bool { return d.Name == name })
	if i < 0 {
		t.Fatalf("there is no daemon %s", name)
	}
	return p.Daemons[i]
}

// argvOf is a daemon's command line as one text.
func argvOf(t *testing.T, p *Plan, name string) string {
	t.Helper()
	return strings.Join(daemonOf(t, p, name).Argv, " ")
}

// fileOf is the content of a daemon's file, by the end of its path.
func fileOf(t *testing.T, d Daemon, suffix string) string {
	t.Helper()
	for _, f := range d.Files {
		if strings.HasSuffix(f.Path, suffix) {
			return f.Content
		}
	}
	t.Fatalf("%s has no file %s", d.Name, suffix)
	return ""
}
