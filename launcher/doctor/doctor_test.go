package doctor

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"panteras/configs"
	"panteras/internal/holder"
	"panteras/launcher"
	"panteras/launcher/rights"
)

var addr = netip.MustParseAddr

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, t := range texts {
		list = append(list, addr(t))
	}
	return list
}

// healthy is a host on which nothing is wrong.
func healthy() Facts {
	room := func(setting string) Folder {
		return Folder{Setting: setting, Path: "/x", Exists: true, Free: 1 << 40, FreeNodes: 1 << 20}
	}
	return Facts{
		Root: true, Up: true, Addrs: addrs("127.0.0.1", "10.0.0.5"),
		Resolv: Resolv{Servers: addrs("10.0.0.5"), Before: addrs("10.0.0.53"), Copy: true},
		Consul: Consul{Leader: "10.0.0.5:8300"}, DockerSocket: true,
		Tunnel: Tunnel{Kernel: true, Forward4: true, Forward6: true},
		Clock:  Clock{Synchronised: true}, Folders: []Folder{room("STATE_DIR")},
	}
}

// diagnose judges the host 10.0.0.5 with the settings.
func diagnose(t *testing.T, f Facts, environ ...string) Report {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "host"), []byte("IP=10.0.0.5\nHOSTNAME=node1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, _ := configs.Load(configs.Sources{Dir: dir, DirGiven: true, Environ: environ, Host: configs.HostFacts{Users: []string{"root", "nobody"}}})
	plan := launcher.New(loaded, launcher.Facts{Self: "/usr/bin/panteras"})
	return Diagnose(&loaded.Settings, plan, f)
}

const gateway = "TUNNEL_ENDPOINT=vpn.example.com"

func TestDiagnose(t *testing.T) {
	held := func(listen, network, name string, pid int, at string) Held {
		return Held{Listen: netip.MustParseAddrPort(listen), Network: network, By: holder.Holder{Addr: netip.MustParseAddrPort(at), Name: name, PID: pid}, Ours: name == "panteras"}
	}
	for _, test := range []struct {
		what    string
		change  func(*Facts)
		environ []string
		want    Finding // Message and Fix are pieces
	}{
		{"not root", func(f *Facts) { f.Root = false }, nil, Finding{"rights", Warn, "cannot be seen", "sudo panteras doctor"}},
		{"bad setting", func(*Facts) {}, []string{"DNS_PORT=x"}, Finding{"settings", Fail, "must be a port number", "panteras plan"}},
		{"good settings", func(*Facts) {}, nil, Finding{"settings", OK, "nothing is wrong", ""}},

		{"resolved beside", func(f *Facts) {
			f.Held = []Held{held("0.0.0.0:53", "udp", "systemd-resolve", 7, "127.0.0.53:53")}
		}, nil, Finding{"port 53", Warn, "udp is held by systemd-resolve (pid 7, 127.0.0.53:53); the DNS server listens on the other addresses", "DNSStubListener=no"}},
		{"resolved on an address that was asked for", func(f *Facts) {
			f.Held = []Held{held("127.0.0.53:53", "udp", "systemd-resolve", 7, "127.0.0.53:53")}
		}, []string{"DNS_LISTEN=127.0.0.53"}, Finding{"port 53", Fail, "held by systemd-resolve", "DNSStubListener=no"}},
		{"an unknown holder", func(f *Facts) { f.Held = []Held{held("0.0.0.0:5353", "tcp", "mydns", 7, "0.0.0.0:5353")} }, []string{"DNS_PORT=5353"}, Finding{"port 5353", Fail, "tcp is held by mydns (pid 7", "systemctl status 7"}},
		{"a holder that cannot be seen", func(f *Facts) { f.Held = []Held{held("0.0.0.0:53", "tcp", "", 0, "0.0.0.0:53")} }, nil, Finding{"port 53", Fail, "cannot be seen", "ss -lnp sport = :53"}},
		{"ours", func(f *Facts) { f.Held = []Held{held("0.0.0.0:53", "tcp", "panteras", 9, "0.0.0.0:53")} }, nil, Finding{"port 53", OK, "held by panteras", ""}},

		{"own DNS server", func(*Facts) {}, nil, Finding{"resolv.conf", OK, "asks the DNS server at 10.0.0.5", ""}},
		{"own DNS server by loopback", func(f *Facts) { f.Resolv.Servers = addrs("127.0.0.1", "10.0.0.53") }, nil, Finding{"resolv.conf", OK, "10.0.0.53 while that does not answer", ""}},
		{"elsewhere", func(f *Facts) { f.Resolv = Resolv{Servers: addrs("10.0.0.53")} }, nil, Finding{"resolv.conf", Warn, "asks 10.0.0.53", "panteras resolvconf install"}},
		{"resolved", func(f *Facts) { f.Resolv.Servers = addrs("127.0.0.53") }, nil, Finding{"resolv.conf", Warn, "systemd-resolved", "panteras resolvconf install"}},
		{"listens elsewhere", func(f *Facts) { f.Resolv.Servers = addrs("10.0.0.5") }, []string{"DNS_LISTEN=10.0.0.9"}, Finding{"resolv.conf", Warn, "asks 10.0.0.5", "panteras resolvconf install"}},
		{"another port", func(*Facts) {}, []string{"DNS_PORT=5353"}, Finding{"resolv.conf", Warn, "does not listen on port 53", "DNS_PORT=53"}},
		{"unreadable", func(f *Facts) { f.Resolv = Resolv{Err: "open /etc/resolv.conf: no such file"} }, nil, Finding{"resolv.conf", Fail, "no such file", "panteras resolvconf install"}},
		{"empty", func(f *Facts) { f.Resolv.Servers = nil }, nil, Finding{"resolv.conf", Warn, "names no server", "panteras resolvconf install"}},
		{"no recursors", func(f *Facts) { f.Resolv = Resolv{Servers: addrs("10.0.0.5")} }, nil, Finding{"recursors", Fail, "/etc/resolv.conf names no server but this host", "DNS_UPSTREAMS"}},
		{"recursors by setting", func(f *Facts) { f.Resolv.Before = nil }, []string{"DNS_UPSTREAMS=9.9.9.9"}, Finding{"recursors", OK, "DNS_UPSTREAMS", ""}},

		{"no leader", func(f *Facts) { f.Consul = Consul{} }, nil, Finding{"consul", Fail, "10.0.0.5:8500 and has no leader", "consul members"}},
		{"Consul is down", func(f *Facts) { f.Consul = Consul{Err: "cannot reach it"} }, nil, Finding{"consul", Fail, "cannot reach it", "panteras status"}},
		{"no server", func(f *Facts) { f.Consul = Consul{Err: "it answers 500: No known Consul servers"} }, []string{"MASTER=false", "CONSUL_HOSTS=10.0.0.9"}, Finding{"consul", Fail, "No known Consul servers", "CONSUL_HOSTS"}},
		{"before up", func(f *Facts) { f.Consul, f.Up = Consul{Err: "cannot reach it"}, false }, nil, Finding{"consul", Warn, "does not run yet: cannot reach it", "panteras up"}},
		{"Consul of others is down", func(f *Facts) { f.Consul, f.Up = Consul{Err: "cannot reach it"}, false }, []string{"START_CONSUL=false"}, Finding{"consul", Fail, "cannot reach it", "CONSUL_HTTP_ADDR"}},

		{"a right is missing", func(f *Facts) {
			f.Consul.Lacking = []rights.Right{{Resource: "key", Prefix: true, Name: "haproxy/", Policy: "read", For: []string{"consul-template"}}}
		}, nil, Finding{"rights in Consul", Fail, `lacks key:read on "haproxy/", which is needed by consul-template`, `key_prefix "haproxy/" { policy = "read" }`}},
		{"rights that Consul does not tell", func(f *Facts) { f.Consul.RightsErr = "it does not know the token" }, nil, Finding{"rights in Consul", Warn, "it does not know the token", "CONSUL_HTTP_TOKEN_FILE"}},
		{"who asks by DNS", func(f *Facts) { f.Consul.Nameless = true }, nil, Finding{"rights in Consul", Fail, "consul.service.consul", "acl.tokens.default"}},
		{"Consul itself", func(f *Facts) { f.Consul.Unwritten = true }, nil, Finding{"rights in Consul", Fail, `node:write on "node1"`, `node "node1" { policy = "write" }`}},
		{"all rights", func(*Facts) {}, nil, Finding{"rights in Consul", OK, "all that this host needs", ""}},

		{"no keepalived", func(f *Facts) { f.Missing = []Missing{{"keepalived", "keepalived"}} }, nil, Finding{"programs", Fail, "keepalived is not installed", "apt-get install keepalived"}},
		{"no jar", func(f *Facts) { f.Missing = []Missing{{"zookeeper", "/usr/share/java/zookeeper.jar"}} }, nil, Finding{"programs", Fail, "zookeeper.jar is not installed", "libzookeeper-java default-jre-headless"}},
		{"no Chronos", func(f *Facts) { f.Missing = []Missing{{"chronos", "chronos"}} }, nil, Finding{"programs", Warn, "chronos is not installed", "START_CHRONOS=false"}},
		{"no Docker", func(f *Facts) { f.DockerSocket = false }, nil, Finding{"docker", Fail, "mesos-agent and registrator", "apt-get install docker.io"}},

		{"no tun, but WireGuard", func(f *Facts) { f.Tunnel.Device = "there is no /dev/net/tun" }, []string{gateway}, Finding{"/dev/net/tun", Warn, "in the kernel", "modprobe tun"}},
		{"no tun", func(f *Facts) { f.Tunnel = Tunnel{Device: "there is no /dev/net/tun"} }, []string{gateway}, Finding{"/dev/net/tun", Fail, "not loaded", "--device /dev/net/tun"}},
		{"no tun for who wants it", func(f *Facts) { f.Tunnel.Device = "there is no /dev/net/tun" }, []string{gateway, "TUNNEL_DATAPATH=userspace"}, Finding{"/dev/net/tun", Fail, "TUNNEL_DATAPATH=userspace", "modprobe tun"}},
		{"no WireGuard for who wants it", func(f *Facts) { f.Tunnel.Kernel = false }, []string{gateway, "TUNNEL_DATAPATH=kernel"}, Finding{"datapath", Warn, "not loaded", "modprobe wireguard"}},
		{"the kernel's", func(*Facts) {}, []string{gateway}, Finding{"datapath", OK, "the kernel's WireGuard", ""}},
		{"this program's", func(f *Facts) { f.Tunnel.Kernel = false }, []string{gateway}, Finding{"datapath", OK, "this program's WireGuard", ""}},
		{"another's port", func(f *Facts) { f.Tunnel.Port = []Held{held("0.0.0.0:51820", "udp", "openvpn", 7, "0.0.0.0:51820")} }, []string{gateway}, Finding{"port 51820", Fail, "openvpn (pid 7", "TUNNEL_PORT"}},
		{"our port", func(f *Facts) { f.Tunnel.Port = []Held{held("0.0.0.0:51820", "udp", "panteras", 7, "0.0.0.0:51820")} }, []string{gateway}, Finding{"port 51820", OK, "held by panteras", ""}},
		{"the port of an interface that stayed", func(f *Facts) {
			f.Tunnel.Interface, f.Tunnel.Port = true, []Held{held("0.0.0.0:51820", "udp", "wireguard-go", 7, "0.0.0.0:51820")}
		}, []string{gateway}, Finding{"port 51820", OK, "wg-panteras is there", ""}},
		{"a key for everybody", func(f *Facts) { f.Tunnel.Key = Key{Path: "/s/gateway.key", Exists: true, Mode: 0o640} }, []string{gateway}, Finding{"gateway key", Fail, "mode 0640", "chmod 0600 /s/gateway.key"}},
		{"a key behind a wall", func(f *Facts) { f.Tunnel.Key, f.Root = Key{Path: "/s/gateway.key", Err: "permission denied"}, false }, []string{gateway}, Finding{"gateway key", Warn, "only root", "sudo"}},
		{"a good key", func(f *Facts) { f.Tunnel.Key = Key{Path: "/s/gateway.key", Exists: true, Mode: 0o600} }, []string{gateway}, Finding{"gateway key", OK, "its owner's alone", ""}},
		{"another interface", func(f *Facts) { f.Firewall.Dropping = []Chain{{"inet", "theirs", "fw", "forward"}} }, []string{gateway, "TUNNEL_INTERFACE=wg-b"}, Finding{"firewall", Warn, "peers of the tunnel", "iifname wg-b accept"}},
		{"no forwarding", func(f *Facts) { f.Tunnel.Forward4 = false }, []string{gateway}, Finding{"ip_forward", Warn, "IPv4 is not forwarded", "sysctl -w net.ipv4.ip_forward=1"}},
		{"no IPv6 forwarding", func(f *Facts) { f.Tunnel.Forward6 = false }, []string{gateway, "TUNNEL_CIDR6=fd12::/64"}, Finding{"ip_forward", Warn, "IPv6 is not forwarded", "net.ipv6.conf.all.forwarding=1"}},

		{"firewalld", func(f *Facts) {
			f.Firewall = Firewall{Firewalld: true, Dropping: []Chain{{"inet", "firewalld", "filter_INPUT", "input"}}}
		}, []string{gateway}, Finding{"firewall", Warn, "firewalld runs", "--add-port=53/udp --add-port=53/tcp --add-port=8300/tcp"}},
		{"dropping input", func(f *Facts) { f.Firewall.Dropping = []Chain{{"inet", "filter", "input", "input"}} }, []string{"MASTER=false", "SLAVE=false", "START_CONSUL=false", gateway}, Finding{
			"firewall", Warn, "the chain input of the table inet filter (policy drop)", "nft insert rule inet filter input udp dport '{ 53, 51820 }' accept && nft insert rule inet filter input tcp dport '{ 53 }' accept",
		}},
		{"Docker's forwarding", func(f *Facts) { f.Firewall.Dropping = []Chain{{"ip", "filter", "FORWARD", "forward"}} }, []string{gateway}, Finding{"firewall", Warn, "peers of the tunnel", "iptables -I DOCKER-USER"}},
		{"nobody's forwarding", func(f *Facts) { f.Firewall.Dropping = []Chain{{"ip", "filter", "FORWARD", "forward"}} }, nil, Finding{"firewall", OK, "no policy of others", ""}},
		{"unreadable rules", func(f *Facts) { f.Firewall.Err = "operation not permitted" }, nil, Finding{"firewall", Warn, "operation not permitted", "nft list ruleset"}},

		{"SELinux", func(f *Facts) { f.SELinux = true }, nil, Finding{"selinux", Warn, "enforcing", "ausearch"}},
		{"clock", func(f *Facts) { f.Clock = Clock{} }, nil, Finding{"clock", Warn, "nothing synchronises it", "apt-get install chrony"}},
		{"silent clock", func(f *Facts) { f.Clock = Clock{Err: "not permitted"} }, nil, Finding{"clock", Warn, "not permitted", "timedatectl"}},
		{"read-only", func(f *Facts) { f.Folders[0].Err = "/x: read-only file system" }, nil, Finding{"STATE_DIR", Fail, "read-only file system", "findmnt -T /x"}},
		{"not for us", func(f *Facts) { f.Root = false; f.Folders[0].Err = "/x: permission denied" }, nil, Finding{"STATE_DIR", Warn, "only root", "sudo"}},
		{"full", func(f *Facts) { f.Folders[0].Free = 1 << 20 }, nil, Finding{"STATE_DIR", Warn, "1 MiB", "df -h /x"}},
		{"too many files", func(f *Facts) { f.Folders[0].FreeNodes = 3 }, nil, Finding{"STATE_DIR", Warn, "3 files", "df -h /x"}},
		{"not there yet", func(f *Facts) { f.Folders[0].Exists = false }, nil, Finding{"STATE_DIR", OK, "can be made", ""}},
	} {
		t.Run(test.what, func(t *testing.T) {
			f := healthy()
			test.change(&f)
			report := diagnose(t, f, test.environ...)
			found := false
			for _, got := range report.Findings {
				if got.Level != OK && got.Fix == "" {
					t.Errorf("no fix: %+v", got)
				}
				found = found || got.Check == test.want.Check && got.Level == test.want.Level && strings.Contains(got.Message, test.want.Message) && strings.Contains(got.Fix, test.want.Fix)
			}
			if !found {
				t.Errorf("want %+v in %+v", test.want, report.Findings)
			}
			if test.want.Level == Fail && !report.Failed() {
				t.Error("it does not count as failed")
			}
		})
	}
}

func TestHealthyHost(t *testing.T) {
	report := diagnose(t, healthy(), gateway, "TUNNEL_CIDR6=fd12::/64")
	for _, f := range report.Findings {
		// That gateways exist only in other versions is a warning of the plan.
		if f.Check != "settings" && f.Level != OK {
			t.Errorf("%+v", f)
		}
	}
	if report.Failed() || len(report.Findings) < 12 {
		t.Errorf("%d findings, failed: %v", len(report.Findings), report.Failed())
	}
}

// What is not wanted on this host is not looked for.
func TestOnlyWhatRunsIsChecked(t *testing.T) {
	for _, f := range diagnose(t, healthy(), "START_DNS=false", "START_MESOS_SLAVE=false", "START_REGISTRATOR=false").Findings {
		for _, check := range []string{"port", "resolv.conf", "recursors", "docker", "/dev/net/tun", "ip_forward"} {
			if strings.HasPrefix(f.Check, check) {
				t.Errorf("%+v", f)
			}
		}
	}
}

func TestForms(t *testing.T) {
	r := Report{Findings: []Finding{{"clock", OK, "it is right", ""}, {"STATE_DIR", Fail, "<full>", "df && du"}}}
	var text, machine bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	const want = "ok    clock      it is right\nfail  STATE_DIR  <full>\n                 fix: df && du\n"
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", &text, want)
	}
	if err := r.WriteJSON(&machine); err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(machine.Bytes(), &again); err != nil || len(again.Findings) != 2 || again.Findings[1] != r.Findings[1] || !strings.Contains(machine.String(), `"<full>"`) {
		t.Errorf("%v: %s", err, &machine)
	}
}

func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"there": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	plan := &launcher.Plan{Daemons: []launcher.Daemon{
		{Name: "a", Run: true, Argv: []string{"there"}},
		{Name: "b", Run: true, Argv: []string{"text"}},
		{Name: "c", Run: true, Argv: []string{"gone"}},
		{Name: "d", Run: false, Argv: []string{"gone"}},
		{Name: "e", Run: true, Argv: []string{filepath.Join(dir, "there"), "-cp", "/x:" + dir + "/zookeeper.jar"}},
	}}
	for i := range plan.Daemons {
		plan.Daemons[i].Env = map[string]string{"PATH": "/nowhere:" + dir}
	}
	got := missing(plan)
	want := []Missing{{"b", "text"}, {"c", "gone"}, {"e", dir + "/zookeeper.jar"}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := folder("STATE_DIR", dir); f.Err != "" || !f.Exists || f.Free == 0 || f.FreeNodes == 0 {
		t.Errorf("%+v", f)
	}
	if f := folder("STATE_DIR", dir+"/a/b"); f.Err != "" || f.Exists {
		t.Errorf("%+v", f)
	}
	if f := folder("STATE_DIR", file+"/a"); !strings.Contains(f.Err, file+" is no folder") {
		t.Errorf("%+v", f)
	}
}
