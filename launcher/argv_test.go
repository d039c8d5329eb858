package launcher

import (
	"os"
	"slices"
	"strings"
	"testing"

	"panteras/configs"
)

// TestFlagsAreKnown holds the arguments of programs that cannot be installed any more
// against the lists of their options.
func TestFlagsAreKnown(t *testing.T) {
	for _, plan := range []*Plan{
		goodPlan(t), goodPlan(t, "LISTEN_IP=10.0.0.5"),
		planDir(t, "testdata/cluster/master2", "192.168.2.82"), planDir(t, "testdata/cluster/slave", "192.168.2.91"),
	} {
		for _, name := range []string{"mesos-master", "mesos-agent", "marathon", "chronos"} {
			text, err := os.ReadFile("testdata/flags/" + name + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			known := strings.Fields(string(text))
			options := 0
			for _, word := range daemonOf(t, plan, name).Argv {
				if option, _, _ := strings.Cut(word, "="); strings.HasPrefix(word, "-") {
					options++
					if !slices.Contains(known, option) {
						t.Errorf("%s does not know %s", name, option)
					}
				}
			}
			if options < 5 {
				t.Errorf("%s has %d options: %q", name, options, daemonOf(t, plan, name).Argv)
			}
		}
	}
}

func TestParams(t *testing.T) {
	for _, test := range []struct{ name, environ, daemon, want string }{
		{"appended, with quoting", "MESOS_SLAVE_PARAMS=--attributes='rack:a b' --resources=ports(*):[31000-32000]", "mesos-agent", "--attributes=rack:a b --resources=ports(*):[31000-32000]$"},
		{"an option of theirs is the only one", "MARATHON_PARAMS=--http_port 9090", "marathon", "--http_address 0.0.0.0 --http_port 9090$"},
		{"also in the other form", "MARATHON_PARAMS=--http_port=9090", "marathon", "--http_address 0.0.0.0 --http_port=9090$"},
		{"options with no-", "MESOS_SLAVE_PARAMS=--no-systemd_enable_support", "mesos-agent", "--executor_registration_timeout=5mins --no-systemd_enable_support$"},
		{"before the address", "REGISTRATOR_PARAMS=-internal", "registrator", "-retry-attempts=-1 -internal consul://10.0.0.5:8500$"},
		{"replaced", "CONSUL_APP_PARAMS=agent -dev", "consul", "^consul agent -dev$"},
		{"replaced, and nothing appended", "REGISTRATOR_APP_PARAMS=-x consul://c:1", "registrator", "^registrator -x consul://c:1$"},
		{"replaced behind the command", "CHRONOS_APP_PARAMS=--master x", "chronos", "^chronos run_jar --master x$"},
		{"another way to the first leader", "CONSUL_PARAMS=-bootstrap-expect 5", "consul", "^consul agent -server -node=node1 "},
		{"a first leader by decree", "CONSUL_PARAMS=-bootstrap", "consul", "^consul agent -server -node=node1 "},
		{"what may be there twice", "CONSUL_PARAMS=-retry-join=c9", "consul", "-retry-interval=5s"},
		{"Java", "ZOOKEEPER_JAVA_OPTS=-Xmx1g -Da='b c'", "zookeeper", "^java -Xmx1g -Da=b c -cp "},
		{"CONSUL_BOOTSTRAP", "CONSUL_BOOTSTRAP=-bootstrap", "consul", "^consul agent -server -bootstrap -node="},
	} {
		got := "^" + argvOf(t, planEnv(t, test.environ), test.daemon) + "$"
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: %s lacks %s", test.name, got, test.want)
		}
	}
	p := planEnv(t, "CONSUL_HOSTS=c1 c2 c3", "CONSUL_PARAMS=-retry-join=c9")
	if got := argvOf(t, p, "consul"); !strings.Contains(got, "-retry-join=c1 -retry-join=c2 -retry-join=c3") || !strings.HasSuffix(got, "-retry-join=c9") {
		t.Errorf("hosts of CONSUL_HOSTS and CONSUL_PARAMS: %s", got)
	}
	javas := planEnv(t, "MARATHON_JAVA_OPTS=-Xmx1g", "CHRONOS_JAVA_OPTS=-Xmx2g")
	for name, want := range map[string]string{"marathon": "-Xmx1g", "chronos": "-Xmx2g"} {
		if got := daemonOf(t, javas, name).Env["JAVA_OPTS"]; got != want {
			t.Errorf("JAVA_OPTS of %s is %q, want %q", name, got, want)
		}
	}
	// Probes follow the arguments.
	if got := daemonOf(t, planEnv(t, "MARATHON_PARAMS=--http_port 9090"), "marathon").Probe.URL; got != "http://127.0.0.1:9090/v2/leader" {
		t.Errorf("the probe asks %s", got)
	}
}

func TestConsul(t *testing.T) {
	for _, test := range []struct {
		name    string
		environ []string
		has     string
		lacks   string
	}{
		{"alone", nil, "-server -bootstrap-expect=1 -node=node1 -datacenter=dc1 -domain=consul -bind=10.0.0.5 -advertise=10.0.0.5 -client=0.0.0.0", "-alt-domain"},
		{"its own domain", []string{"CONSUL_DOMAIN=corp.example"}, "-domain=corp.example -alt-domain=consul", ""},
		{"bootstrap by the list", []string{"CONSUL_HOSTS=-join=c1 -join=c2 -join=c3 -join=c4 -join=c5"}, "-bootstrap-expect=5", ""},
		{"other data centres", []string{"CONSUL_WAN_HOSTS=10.2.0.1 10.3.0.1"}, "-retry-join-wan=10.2.0.1 -retry-join-wan=10.3.0.1", ""},
		{"a client does not join them", []string{"MASTER=false", "CONSUL_HOSTS=c1", "CONSUL_WAN_HOSTS=10.2.0.1"}, "-retry-join=c1", "-wan"},
		{"a client", []string{"MASTER=false", "CONSUL_HOSTS=c1"}, "agent -node=node1", "-ui"},
		{"a client by CONSUL_MODE", []string{"CONSUL_MODE= ", "CONSUL_HOSTS=c1"}, "agent -node=node1", "-server"},
		{"one address", []string{"LISTEN_IP=10.0.0.5"}, "-bind=10.0.0.5 -advertise=10.0.0.5 -client=127.0.0.1 10.0.0.5", ""},
		{"loopback", []string{"LISTEN_IP=127.0.0.1"}, "-client=127.0.0.1 -", ""},
		{"an address that a cloud translates", []string{"IP=203.0.113.9"}, "-bind=0.0.0.0 -advertise=203.0.113.9", ""},
		{"logs", []string{"LOG_FORMAT=json"}, "-log-json", ""},
		{"cloud auto-join", []string{"CONSUL_HOSTS='provider=aws tag_key=x'", "CONSUL_PARAMS=-bootstrap-expect=3"}, "-retry-join=provider=aws tag_key=x", "-bootstrap-expect=1"},
	} {
		got := argvOf(t, goodPlan(t, test.environ...), "consul")
		if !strings.Contains(got, test.has) || test.lacks != "" && strings.Contains(got, test.lacks) {
			t.Errorf("%s: %s\nwant %q in it and not %q", test.name, got, test.has, test.lacks)
		}
	}
}

func TestZooKeeperConfig(t *testing.T) {
	alone := daemonOf(t, goodPlan(t), "zookeeper")
	if config := fileOf(t, alone, "zoo.cfg"); strings.Contains(config, "server.") || !strings.Contains(config, "\nadmin.enableServer=false\n") {
		t.Errorf("alone:\n%s", config)
	}
	if len(alone.Files) != 2 {
		t.Errorf("alone it has the files %+v", alone.Files)
	}
	p := goodPlan(t, "ZOOKEEPER_HOSTS=node0:2182,node1:2183,[fd00::3]:2184", "ZOOKEEPER_ID=2", "LISTEN_IP=10.0.0.5", "STATE_DIR=/srv/p")
	d := daemonOf(t, p, "zookeeper")
	config := fileOf(t, d, "zoo.cfg")
	for _, line := range []string{"server.1=node0:2888:3888", "server.2=node1:2888:3888", "server.3=[fd00::3]:2888:3888", "clientPort=2183", "clientPortAddress=10.0.0.5", "dataDir=/srv/p/zookeeper"} {
		if !strings.Contains(config, line+"\n") {
			t.Errorf("zoo.cfg lacks %s:\n%s", line, config)
		}
	}
	if got := fileOf(t, d, "/srv/p/zookeeper/myid"); got != "2\n" {
		t.Errorf("myid is %q", got)
	}
	// Where only the id tells which one this host is, its port counts.
	p = goodPlan(t, "ZOOKEEPER_HOSTS=a:2182,b:2183,c:2184", "ZOOKEEPER_ID=3")
	if got := daemonOf(t, p, "zookeeper").Probe.Address; got != "127.0.0.1:2184" {
		t.Errorf("the probe of the third server asks %s", got)
	}
	if d.Probe.Address != "10.0.0.5:2183" {
		t.Errorf("the probe asks %s", d.Probe.Address)
	}
}

func TestOwnDaemonsGetTheSettingsThatWereGiven(t *testing.T) {
	p := goodPlan(t, "DNS_PORT=5353", "DNS_ROUTES=corp=10.1.1.1 lab=10.1.1.2", "HAPROXY_ADD_DOMAIN=.my.example", "MASTER=true", "START_DNSMASQ=yes")
	d := daemonOf(t, p, "dns")
	want := "HAPROXY_ADD_DOMAIN=my.example\nDNS_PORT=5353\nDNS_ROUTES='corp=10.1.1.1:53 lab=10.1.1.2:53'\nMETRICS_LISTEN=unix:/run/panteras/dns/metrics.sock\n"
	if got := fileOf(t, d, "/run/panteras/dns/host"); got != want {
		t.Errorf("the file holds\n%s\nwant\n%s", got, want)
	}
	// What is written there reads the same.
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/host", []byte(fileOf(t, d, "host")), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := configs.Load(configs.Sources{Dir: dir, DirGiven: true, Host: testFacts("10.0.0.5").Host})
	if err != nil || loaded.Settings.DNSPort != 5353 || len(loaded.Settings.DNSRoutes) != 2 {
		t.Errorf("read again: %+v, %v", loaded.Settings, err)
	}
}

func TestTheLauncherServesTheMetricsOfItsOwnDaemons(t *testing.T) {
	long := "/run/" + strings.Repeat("x", 100)
	for _, test := range []struct{ setting, metrics, line string }{
		{"DNS_PORT=53", "unix:/run/panteras/dns/metrics.sock", "METRICS_LISTEN=unix:/run/panteras/dns/metrics.sock\n"},
		{"METRICS_LISTEN=127.0.0.1:9154", "127.0.0.1:9154", "METRICS_LISTEN=127.0.0.1:9154\n"},
		{"METRICS_LISTEN=off", "", ""},
		{"START_DNS=false", "unix:/run/panteras/dns/metrics.sock", ""},
		{"RUN_DIR=" + long, "off", "METRICS_LISTEN=off\n"},
	} {
		p := goodPlan(t, test.setting)
		d := daemonOf(t, p, "dns")
		if where, ok := p.Metrics()["dns"]; ok != (d.Run && test.metrics != "" && test.metrics != "off") || ok && where != test.metrics {
			t.Errorf("%s: the launcher asks for the metrics at %q", test.setting, where)
		}
		if got := fileOf(t, d, "host"); d.Metrics != test.metrics || strings.Count(got, "METRICS_LISTEN") > 1 || !strings.Contains(got, test.line) {
			t.Errorf("%s: metrics at %q, settings:\n%s", test.setting, d.Metrics, got)
		}
	}
}

func TestRegistry(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.5:8500": "consul://10.0.0.5:8500", "http://c:8500": "consul://c:8500", "https://c:8501": "consul-tls://c:8501",
		"unix:///run/consul.sock": "consul-unix:///run/consul.sock",
	} {
		if got := registry(address, false); got != want {
			t.Errorf("registry(%q) = %q, want %q", address, got, want)
		}
	}
}
