package configs

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// compareNet lets cmp look at addresses.
var compareNet = cmp.Options{
	cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}),
}

func TestDefaults(t *testing.T) {
	want := Settings{
		IP: netip.MustParseAddr("10.0.0.5"), HostIP: netip.MustParseAddr("10.0.0.5"),
		ListenIP: netip.MustParseAddr("0.0.0.0"), ConsulIP: netip.MustParseAddr("10.0.0.5"),
		Hostname: "node1", FQDN: "node1.example.com",
		ConsulDomain: "consul", StartDNS: true, DNSPort: 53,
		DNSListen: addrPorts("0.0.0.0:53", "[::]:53"), DNSMode: "direct",
		DNSAllow: cidrs("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
			"100.64.0.0/10", "169.254.0.0/16", "fe80::/10", "fc00::/7"),
		DNSUDPSize: 1232, MetricsListen: "127.0.0.1:9153",
		ConsulDNS: addrPorts("10.0.0.5:8600"), ConsulHTTPAddr: "10.0.0.5:8500", ConsulHTTPSSLVerify: true,
		TunnelCIDR: netip.MustParsePrefix("10.99.0.0/16"), DaemonSettings: defaultDaemons(),
		TunnelSettings: TunnelSettings{
			TunnelPort: 51820, TunnelInterface: "wg-panteras", TunnelRoutes: cidrs("10.0.0.0/24"),
			TunnelStore: "consul", TunnelNAT: true, TunnelDatapath: "auto", TunnelMetricsListen: "127.0.0.1:9154",
			StateDir: "/var/lib/panteras", RunDir: "/run/panteras", LogDir: "/var/log/panteras",
		},
		LogLevel: slog.LevelInfo, LogFormat: "text",
	}
	loaded := mustLoadEnv(t)
	if diff := cmp.Diff(want, loaded.Settings, compareNet); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if len(loaded.Warnings()) > 0 {
		t.Errorf("warnings without any settings: %q", loaded.Warnings())
	}
	for i, s := range All() {
		if loaded.Origins[i].Name != s.Name {
			t.Fatalf("origin %d is of %s, want the order of the table: %s", i, loaded.Origins[i].Name, s.Name)
		}
		if o := loaded.Origins[i].Origin; o != "default" && s.AliasOf == "" {
			t.Errorf("%s came from %q, want default", s.Name, o)
		}
	}
}

func defaultDaemons() DaemonSettings {
	as := func(user string) Process { return Process{User: user, NOFile: 65536} }
	heap := []string{"-Xmx512m"}
	return DaemonSettings{
		Master: true, Slave: true, Edge: true, StartConsul: true, StartZooKeeper: true, StartMesosMaster: true, StartMarathon: true,
		StartChronos: true, StartConsulTemplate: true, StartMesosSlave: true, StartRegistrator: true,
		ConsulBootstrap: []string{"-bootstrap-expect", "1"}, ConsulServer: true, ConsulDC: "dc1",
		ZooKeeperHosts: []HostPort{{"node1", 2181}}, MesosMasterQuorum: 1, ClusterName: "mesoscluster",
		MarathonJavaOpts: heap, ZooKeeperJavaOpts: heap, ChronosJavaOpts: heap,
		RegisterConsulUI: true, RegisterMarathon: true, RegisterMesosMaster: true, RegisterChronos: true,
		HAProxyHTTPPort: 80, HAProxyStatsPort: 81,
		StatusListen: netip.MustParseAddrPort("127.0.0.1:9000"),
		ImageTag:     "latest", DockerImage: "panteras:latest", DockerRestart: "always",
		// The ordinary host has the Debian package of ZooKeeper, and no user consul.
		Consul: as("root"), ZooKeeper: as("zookeeper"), MesosMaster: as("root"), Marathon: as("root"), Chronos: as("root"),
		ConsulTemplate: as("root"), HAProxy: as("root"), Keepalived: as("root"), MesosSlave: as("root"), Registrator: as("root"),
		DNS: as("nobody"), Tunnel: as("root"),
	}
}

// TestPrecedence gives a setting in the lowest layers up to one layer and expects
// that one to win.
func TestPrecedence(t *testing.T) {
	ranks := []struct{ layer, origin string }{
		{"default", "default"},
		{"common", "common:1"},
		{"host", "host:2"},
		{"overwrite", "overwrite:1"},
		{"environment", "environment"},
		{"flag", "--dns-port"},
	}
	for top, rank := range ranks {
		t.Run(rank.layer, func(t *testing.T) {
			src := Sources{DirGiven: true, Host: testHost(), Flags: map[string]string{}}
			files := map[string]string{}
			for i, r := range ranks[:top+1] {
				text := []string{"", "1001", "1002", "1003", "1004", "1005"}[i]
				switch r.layer {
				case "common", "overwrite":
					files[r.layer] = "DNS_PORT=" + text
				case "host":
					files[r.layer] = "# a comment\nexport DNS_PORT=" + text
				case "environment":
					src.Environ = []string{"PATH=/bin", "DNS_PORT=" + text}
				case "flag":
					src.Flags["DNS_PORT"] = text
				}
			}
			src.Dir = writeFiles(t, files)
			loaded, err := Load(src)
			if err != nil {
				t.Fatal(err)
			}
			want := []uint16{53, 1001, 1002, 1003, 1004, 1005}[top]
			if loaded.Settings.DNSPort != want {
				t.Errorf("DNSPort = %d, want %d", loaded.Settings.DNSPort, want)
			}
			origin := originOf(t, loaded, "DNS_PORT").Origin
			if strings.TrimPrefix(origin, src.Dir+"/") != rank.origin {
				t.Errorf("origin %q, want %q", origin, rank.origin)
			}
		})
	}
}

func TestInheritedHostnameRanksBelowFiles(t *testing.T) {
	for _, test := range []struct {
		name       string
		file       string
		environ    []string
		flags      map[string]string
		want, from string
	}{
		{"default", "", nil, nil, "node1", "default"},
		{"environment above default", "", []string{"HOSTNAME=env1"}, nil, "env1", "environment"},
		{"file above environment", "HOSTNAME=file1", []string{"HOSTNAME=env1"}, nil, "file1", "common:1"},
		{"flag above all", "HOSTNAME=file1", []string{"HOSTNAME=env1"}, map[string]string{"HOSTNAME": "flag1"}, "flag1", "--hostname"},
		{"files know the shell's own HOSTNAME", "HOSTNAME=x-$HOSTNAME", nil, nil, "x-node1", "common:1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := writeFiles(t, map[string]string{"common": test.file})
			loaded, err := Load(Sources{Dir: dir, DirGiven: true, Environ: test.environ, Flags: test.flags, Host: testHost()})
			if err != nil {
				t.Fatal(err)
			}
			got := originOf(t, loaded, "HOSTNAME")
			if got.Value != test.want || strings.TrimPrefix(got.Origin, dir+"/") != test.from || loaded.Settings.Hostname != test.want {
				t.Errorf("HOSTNAME = %q from %q, want %q from %q", got.Value, got.Origin, test.want, test.from)
			}
		})
	}
}

func TestEmptyMeansDefault(t *testing.T) {
	dir := writeFiles(t, map[string]string{"common": "DNS_PORT=1001\nDNS_MODE=legacy", "overwrite": "DNS_PORT=\nDNS_MODE='  '"})
	loaded, err := Load(Sources{Dir: dir, DirGiven: true, Host: testHost()})
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Settings.DNSPort != 53 || loaded.Settings.DNSMode != "direct" {
		t.Errorf("an empty value left port %d and mode %q, want the defaults", loaded.Settings.DNSPort, loaded.Settings.DNSMode)
	}
	if o := originOf(t, loaded, "DNS_PORT").Origin; o != "default" {
		t.Errorf("origin %q, want default", o)
	}
}

func TestAlias(t *testing.T) {
	for _, test := range []struct {
		name, file string
		environ    []string
		start      bool
		warning    string
	}{
		{"alone", "START_DNSMASQ=false", nil, false, "START_DNSMASQ is deprecated: write START_DNS instead"},
		{"the new name wins in one file", "START_DNSMASQ=false START_DNS=true", nil, true, "START_DNSMASQ is deprecated and has no effect here: START_DNS"},
		{"the higher layer wins", "START_DNS=true", []string{"START_DNSMASQ=no"}, false, "environment: START_DNSMASQ is deprecated: write START_DNS"},
		{"the new name above", "START_DNSMASQ=false", []string{"START_DNS=yes"}, true, "(environment) beats it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := writeFiles(t, map[string]string{"host": test.file})
			loaded, err := Load(Sources{Dir: dir, DirGiven: true, Environ: test.environ, Host: testHost()})
			if err != nil {
				t.Fatal(err)
			}
			if loaded.Settings.StartDNS != test.start {
				t.Errorf("StartDNS = %v, want %v", loaded.Settings.StartDNS, test.start)
			}
			if len(loaded.Warnings()) != 1 || !strings.Contains(loaded.Warnings()[0], test.warning) {
				t.Errorf("warnings %q, want one with %q", loaded.Warnings(), test.warning)
			}
		})
	}
	_, err := loadEnv(t, "START_DNSMASQ=maybe")
	wantError(t, err, `environment: START_DNSMASQ="maybe" must be true`)
}

func TestDnsmasqAddressOptOut(t *testing.T) {
	loaded, err := loadFile(t, "DNS_MODE=legacy\nDNSMASQ_ADDRESS=' '")
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Settings.DNSMode != "direct" {
		t.Errorf("a blank DNSMASQ_ADDRESS left DNS_MODE %q", loaded.Settings.DNSMode)
	}
	if o := originOf(t, loaded, "DNS_MODE").Origin; !strings.HasSuffix(o, "host:2") {
		t.Errorf("DNS_MODE came from %q, want the line of DNSMASQ_ADDRESS", o)
	}
	if len(loaded.Warnings()) != 1 || !strings.Contains(loaded.Warnings()[0], "forces DNS_MODE to direct") {
		t.Errorf("warnings %q", loaded.Warnings())
	}

	loaded = mustLoadEnv(t, "DNSMASQ_ADDRESS=", "DNS_MODE=legacy")
	if loaded.Settings.DNSMode != "legacy" || len(loaded.Warnings()) != 0 {
		t.Errorf("an empty DNSMASQ_ADDRESS: mode %q, warnings %q", loaded.Settings.DNSMode, loaded.Warnings())
	}

	loaded = mustLoadEnv(t, "DNSMASQ_ADDRESS=--address=/consul/10.0.0.5", "DNS_MODE=legacy")
	if loaded.Settings.DNSMode != "legacy" || len(loaded.Warnings()) != 1 || !strings.Contains(loaded.Warnings()[0], "set DNS_MODE") {
		t.Errorf("another DNSMASQ_ADDRESS: mode %q, warnings %q", loaded.Settings.DNSMode, loaded.Warnings())
	}
}

// TestAFileOfUnknownKeys is a file that is none of settings: it is told, soon.
func TestAFileOfUnknownKeys(t *testing.T) {
	var text strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&text, "KEY_%d=x\n", i)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "host"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, _ := Load(Sources{Dir: dir, DirGiven: true}) // what is wrong otherwise is not the matter
	warnings := loaded.Warnings()
	if n := len(warnings); n > mostUnknown+5 {
		t.Fatalf("%d warnings", n)
	}
	if !slices.ContainsFunc(warnings, func(w string) bool {
		return strings.HasSuffix(w, "host:21: KEY_20 and 4979 more keys of this file are not settings and have no effect; is it a settings file?")
	}) {
		t.Errorf("warnings %q", warnings)
	}
}

func TestUnknownKeys(t *testing.T) {
	loaded, err := loadFile(t, "CONSUL_DOMIAN=x\nNET=10.0.0\n"+strings.Repeat("\n", 8)+"A_SOMETHING=1\nIP=$NET.9\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded.Warnings()) != 2 ||
		!strings.HasSuffix(loaded.Warnings()[0], "host:1: CONSUL_DOMIAN is not a setting and has no effect; did you mean CONSUL_DOMAIN?") ||
		!strings.HasSuffix(loaded.Warnings()[1], "host:11: A_SOMETHING is not a setting and has no effect") {
		t.Errorf("warnings %q", loaded.Warnings())
	}
	if loaded := mustLoadEnv(t, "CONSUL_DOMIAN=x", "EDITOR=vi"); len(loaded.Warnings()) != 0 {
		t.Errorf("unknown variables of the environment left warnings: %q", loaded.Warnings())
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"common":    "DNS_PORT=0\nIP=$(hostname -i)\n",
		"host":      "LOG_LEVEL=loud\necho hello\nFQDN='unclosed",
		"overwrite": "DNS_UDP_SIZE=9000\n",
	})
	_, err := Load(Sources{Dir: dir, DirGiven: true, Environ: []string{"START_DNS=perhaps"}, Flags: map[string]string{"LOG_FORMAT": "xml"}, Host: HostFacts{Hostname: "node1"}})
	wantError(t, err,
		"common:1: DNS_PORT=\"0\" must be a port", "common:2: found a command substitution", "host:1: LOG_LEVEL=\"loud\" must be debug",
		"host:2: found a command", "host:3: not valid shell syntax", "overwrite:1: DNS_UDP_SIZE=\"9000\"",
		"environment: START_DNS=\"perhaps\"", "--log-format: LOG_FORMAT=\"xml\" must be text or json")
	// Without IP there is no CONSUL_DNS, but that follows from line 2 of common.
	if strings.Contains(err.Error(), "CONSUL_DNS") {
		t.Errorf("a consequence of another problem is reported:\n%v", err)
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != 8 {
		t.Errorf("%d problems, want 8:\n%v", lines, err)
	}
}

func TestARefusedValueDoesNotHideAGoodOne(t *testing.T) {
	dir := writeFiles(t, map[string]string{"host": "LISTEN_IP=$(hostname -i)"})
	loaded, err := Load(Sources{Dir: dir, DirGiven: true, Environ: []string{"LISTEN_IP=192.168.7.5"}, Host: testHost()})
	wantError(t, err, "host:1: found a command substitution")
	if got := originOf(t, loaded, "CONSUL_IP").Value; got != "192.168.7.5" {
		t.Errorf("beside the error CONSUL_IP is shown as %q, want LISTEN_IP from the environment", got)
	}
}

func TestFolder(t *testing.T) {
	t.Run("given and missing", func(t *testing.T) {
		_, err := Load(Sources{Dir: "/nowhere/at-all", DirGiven: true, Host: testHost()})
		wantError(t, err, "/nowhere/at-all does not exist", "--restricted")
	})
	t.Run("given and empty", func(t *testing.T) {
		_, err := Load(Sources{DirGiven: true, Host: testHost()})
		wantError(t, err, "--restricted is empty")
	})
	t.Run("given and a file", func(t *testing.T) {
		dir := writeFiles(t, map[string]string{"x": ""})
		_, err := Load(Sources{Dir: filepath.Join(dir, "x"), DirGiven: true, Host: testHost()})
		wantError(t, err, "is not a folder")
	})
	t.Run("the local one is found", func(t *testing.T) {
		t.Chdir(t.TempDir())
		if err := os.Mkdir("restricted", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("restricted/host", []byte("\n\nDNS_PORT=5353"), 0o600); err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(Sources{Host: testHost()})
		if err != nil {
			t.Fatal(err)
		}
		if o := originOf(t, loaded, "DNS_PORT").Origin; o != "restricted/host:3" || loaded.Dir != "restricted" {
			t.Errorf("origin %q of folder %q, want restricted/host:3", o, loaded.Dir)
		}
	})
	t.Run("else the system's", func(t *testing.T) {
		t.Chdir(t.TempDir())
		dir, err := chooseDir(Sources{})
		if dir != "/etc/panteras" || err != nil {
			t.Errorf("chooseDir = %q, %v", dir, err)
		}
	})
	t.Run("env holds no settings", func(t *testing.T) {
		dir := writeFiles(t, map[string]string{"env": "DNS_PORT=$(reboot)"})
		loaded, err := Load(Sources{Dir: dir, DirGiven: true, Host: testHost()})
		if err != nil || loaded.Settings.DNSPort != 53 || len(loaded.Warnings()) > 0 {
			t.Errorf("port %d, warnings %q, error %v", loaded.Settings.DNSPort, loaded.Warnings(), err)
		}
	})
}

func TestUnreadableFiles(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"directory":  func(path string) error { return os.Mkdir(path, 0o700) },
		"loop":       func(path string) error { return os.Symlink("host", path) },
		"too large":  func(path string) error { return os.WriteFile(path, make([]byte, 1<<20+1), 0o600) },
		"permission": func(path string) error { return os.WriteFile(path, nil, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			if name == "permission" && os.Getuid() == 0 {
				asNobody(t)
				return
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "host")
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			_, err := Load(Sources{Dir: dir, DirGiven: true, Host: testHost()})
			wantError(t, err, "cannot read the settings file "+path)
		})
	}
}

func TestLaterEnvironmentEntriesWin(t *testing.T) {
	loaded := mustLoadEnv(t, slices.Concat([]string{"DNS_PORT=1"}, []string{"DNS_PORT=2", "broken"})...)
	if loaded.Settings.DNSPort != 2 {
		t.Errorf("DNSPort = %d, want 2", loaded.Settings.DNSPort)
	}
}
