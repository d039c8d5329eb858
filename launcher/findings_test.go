package launcher

import (
	"net/netip"
	"strings"
	"testing"

	"panteras/configs"
)

// three is an ensemble that this host is the second server of.
const three = "ZOOKEEPER_HOSTS=10.0.0.4:2181,10.0.0.5:2181,10.0.0.6:2181"

// TestFindings gives settings by the environment; the one finding must be as shown.
func TestFindings(t *testing.T) {
	for _, test := range []struct {
		name, level, setting string
		environ              []string
		want                 string // pieces, separated by …
	}{
		{"every address", "error", "IP", []string{"IP=0.0.0.0"}, `environment: IP="0.0.0.0" stands for every address…set IP to 10.0.0.5 (eth0)`},
		{"loopback", "error", "IP", []string{"IP=127.0.0.1"}, `IP="127.0.0.1" is a loopback address…set IP to 10.0.0.5 (eth0)`},
		{"docker bridge", "error", "IP", []string{"IP=172.17.0.1"}, "is an address of docker0…set IP to 10.0.0.5 (eth0)"},

		{"quorum too small", "error", "MESOS_MASTER_QUORUM", []string{three, "ZOOKEEPER_ID=2", "MESOS_MASTER_QUORUM=1"}, `environment: MESOS_MASTER_QUORUM="1" is too small for 3 masters…set MESOS_MASTER_QUORUM=2`},
		{"half is no quorum", "error", "MESOS_MASTER_QUORUM", []string{"ZOOKEEPER_HOSTS=10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4", "START_ZOOKEEPER=false", "MESOS_MASTER_QUORUM=2"}, "too small for 4 masters…set MESOS_MASTER_QUORUM=3"},
		{"quorum too large", "error", "MESOS_MASTER_QUORUM", []string{three, "ZOOKEEPER_ID=2", "MESOS_MASTER_QUORUM=4"}, "is too large, because there are only 3 masters…set MESOS_MASTER_QUORUM=2"},
		{"quorum too large for one", "error", "MESOS_MASTER_QUORUM", []string{"MESOS_MASTER_QUORUM=2"}, "only 1 master …set MESOS_MASTER_QUORUM=1"},

		{"id out of range", "error", "ZOOKEEPER_ID", []string{three, "ZOOKEEPER_ID=4"}, `environment: ZOOKEEPER_ID="4" is out of range, because ZOOKEEPER_HOSTS lists 3; set ZOOKEEPER_ID=2, the position of 10.0.0.5:2181`},
		{"id no number", "error", "ZOOKEEPER_ID", []string{"ZOOKEEPER_ID=x"}, "must be a whole number of position"},
		{"id of another host", "error", "ZOOKEEPER_ID", []string{three, "ZOOKEEPER_ID=1"}, "is the position of 10.0.0.4:2181, which is not this host (IP 10.0.0.5, HOSTNAME node1); set ZOOKEEPER_ID=2"},
		{"id of another host, and this one not listed", "error", "ZOOKEEPER_ID", []string{"ZOOKEEPER_HOSTS=10.0.0.1,10.0.0.2,10.0.0.3", "ZOOKEEPER_ID=1"}, "is not this host…in ZOOKEEPER_HOSTS, 1 to 3"},
		{"split brain", "error", "ZOOKEEPER_ID", []string{three}, `default: ZOOKEEPER_ID="0" makes this ZooKeeper stand alone, although ZOOKEEPER_HOSTS lists 3 servers…split brain…set ZOOKEEPER_ID=2`},
		{"split brain with names", "error", "ZOOKEEPER_ID", []string{"ZOOKEEPER_HOSTS=a,b,c"}, "split brain…set ZOOKEEPER_ID to this host's position in ZOOKEEPER_HOSTS, 1 to 3"},
		{"even ensemble", "warning", "ZOOKEEPER_HOSTS", []string{"ZOOKEEPER_HOSTS=a,b,c,node1", "ZOOKEEPER_ID=4"}, "lists 4 servers, of which no more may fail than of 3; list 3 or 5"},
		{"slave without masters", "warning", "ZOOKEEPER_HOSTS", []string{"MASTER=false", "CONSUL_HOSTS=c1"}, "finds no master; list the masters, such as ZOOKEEPER_HOSTS="},

		{"slave without Consul servers", "error", "CONSUL_HOSTS", []string{"MASTER=false", three}, "CONSUL_HOSTS is empty, but Consul is a client here, because of MASTER=false (environment)…such as CONSUL_HOSTS="},
		{"bootstrap on a client", "error", "CONSUL_PARAMS", []string{"MASTER=false", three, "CONSUL_HOSTS=c1", "CONSUL_PARAMS=-bootstrap-expect 3"}, `CONSUL_PARAMS="-bootstrap-expect 3" holds -bootstrap-expect, which only a server takes…because of MASTER=false (environment)…remove it`},
		{"bootstrap on a client by mode", "error", "CONSUL_PARAMS", []string{"CONSUL_MODE= ", "CONSUL_HOSTS=c1", "CONSUL_PARAMS=-bootstrap"}, `holds -bootstrap, …because of CONSUL_MODE=  (environment)`},
		{"servers that cannot be read", "error", "CONSUL_HOSTS", []string{"MASTER=false", three, "CONSUL_HOSTS=0.0.0.0"}, "neither an address nor a name"},
		{"servers that are looked up", "error", "CONSUL_HOSTS", []string{"CONSUL_HOSTS='provider=aws tag_key=x'"}, "leaves open how many servers there are; say so with CONSUL_PARAMS=-bootstrap-expect=3"},
		{"a Consul that is asked without TLS, which it does not do", "error", "CONSUL_HTTP_ADDR", []string{"CONSUL_PARAMS=-http-port=-1 -https-port=8543"}, "CONSUL_PARAMS turn HTTP without TLS off; set CONSUL_HTTP_ADDR=https://10.0.0.5:8543, and CONSUL_CACERT"},
		{"a Consul at a socket only", "error", "CONSUL_HTTP_ADDR", []string{"CONSUL_HTTP_ADDR=unix:///run/consul.sock", "CONSUL_PARAMS=-http-port=-1"}, "is a socket, at which nobody sees whether this host's Consul is ready, and CONSUL_PARAMS turn HTTP without TLS off; leave HTTP on, or set CONSUL_HTTP_ADDR=https://10.0.0.5:8501"},
		{"a port that Consul has for TLS", "error", "STATUS_LISTEN", []string{"STATUS_LISTEN=127.0.0.1:8501", "CONSUL_PARAMS=-https-port=8501"}, "makes the status page take TCP port 8501, which consul takes as well"},
		{"a port that Consul has for TLS alone", "error", "STATUS_LISTEN", []string{"STATUS_LISTEN=127.0.0.1:8501", "CONSUL_HTTP_ADDR=https://10.0.0.5:8501", "CONSUL_PARAMS=-http-port=-1"}, "makes the status page take TCP port 8501, which consul takes as well"},
		{"the same in its configuration", "error", "CONSUL_HTTP_ADDR", []string{`CONSUL_PARAMS=-hcl 'ports { https = 8501, http = -1 }'`, "CONSUL_HTTP_ADDR=http://10.0.0.5:8500"}, `CONSUL_HTTP_ADDR="http://10.0.0.5:8500" is not how this host's Consul can be asked…set CONSUL_HTTP_ADDR=https://10.0.0.5:8501`},
		{"the same where another host is asked", "error", "CONSUL_HTTP_ADDR", []string{"CONSUL_PARAMS=-http-port -1", "CONSUL_HTTP_ADDR=https://10.0.0.6:8501"}, "set CONSUL_HTTP_ADDR=https://10.0.0.5:8501"},
		{"two servers", "warning", "CONSUL_HOSTS", []string{"CONSUL_HOSTS=c1 c2"}, "lists 2 servers, of which no more may fail than of 1; list 1 or 3"},
		{"four servers", "warning", "CONSUL_HOSTS", []string{"CONSUL_HOSTS=c1 c2 c3 c4"}, "list 3 or 5"},
		{"capitals", "warning", "CONSUL_DC", []string{"CONSUL_DC=UNKNOWN"}, "write CONSUL_DC=unknown"},

		{"VIP is this host", "error", "KEEPALIVED_VIP", []string{"KEEPALIVED_VIP=10.0.0.5"}, "is this host's own address"},
		{"VIP is nobody", "error", "KEEPALIVED_VIP", []string{"KEEPALIVED_VIP=0.0.0.0"}, "no address that hosts can hand over"},
		{"VIP on a guessed interface", "warning", "KEEPALIVED_VIP", []string{"KEEPALIVED_VIP=10.0.0.9", "IP=203.0.113.9"}, `goes to eth0, the interface with the default route, because none holds "203.0.113.9"`},
		{"tunnel without an endpoint", "error", "TUNNEL_ENDPOINT", []string{"START_TUNNEL=true"}, "TUNNEL_ENDPOINT is empty, but START_TUNNEL=true (environment); set TUNNEL_ENDPOINT"},

		{"unknown user", "warning", "MARATHON_USER", []string{"MARATHON_USER=mara"}, `MARATHON_USER="mara" names a user that /etc/passwd does not know`},
		{"secret among arguments", "warning", "CHRONOS_PARAMS", []string{"CHRONOS_PARAMS=--mail_password hidden1"}, "everybody on the host can read the arguments of chronos"},
		{"token that Registrator cannot read", "warning", "CONSUL_HTTP_TOKEN_FILE", []string{"CONSUL_HTTP_TOKEN_FILE=/x"}, "set CONSUL_HTTP_TOKEN instead"},

		{"status page on Chronos' port", "error", "STATUS_LISTEN", []string{"STATUS_LISTEN=127.0.0.1:4400"}, `STATUS_LISTEN="127.0.0.1:4400" makes the status page take TCP port 4400, which chronos takes as well; set STATUS_LISTEN=127.0.0.1:9000`},
		{"metrics on the status page", "error", "METRICS_LISTEN", []string{"METRICS_LISTEN=127.0.0.1:9000"}, "which the status page takes as well; set METRICS_LISTEN=127.0.0.1:9153"},
		{"names on HAProxy's port", "error", "DNS_PORT", []string{"DNS_PORT=80"}, "makes dns take TCP port 80, which haproxy takes as well; set DNS_PORT=53"},
		{"services on the port of statistics", "error", "HAPROXY_HTTP_PORT", []string{"HAPROXY_HTTP_PORT=81"}, "makes haproxy take TCP port 81, which HAPROXY_STATS_PORT takes as well; set HAPROXY_HTTP_PORT=82"},
		{"statistics on the port of services", "error", "HAPROXY_STATS_PORT", []string{"HAPROXY_STATS_PORT=80"}, "makes haproxy take TCP port 80, which HAPROXY_HTTP_PORT takes as well; set HAPROXY_STATS_PORT=81"},
		{"names on a port of Consul", "error", "DNS_LISTEN", []string{"DNS_LISTEN=10.0.0.5:8301"}, "which consul takes as well; set DNS_LISTEN=10.0.0.5:53"},
		{"Marathon on ZooKeeper's port", "error", "MARATHON_PARAMS", []string{"MARATHON_PARAMS=--http_port 2181"}, "give marathon another port in MARATHON_PARAMS, such as 2182"},
		{"ZooKeeper on Marathon's port", "error", "ZOOKEEPER_HOSTS", []string{"ZOOKEEPER_HOSTS=node1:8080"}, "makes zookeeper take TCP port 8080, which marathon takes as well; give this host another port in ZOOKEEPER_HOSTS, such as 2181"},
		{"tunnel on the port of names", "error", "TUNNEL_PORT", []string{"TUNNEL_PORT=53", "TUNNEL_ENDPOINT=vpn"}, "makes tunnel take UDP port 53, which dns takes as well; set TUNNEL_PORT=51820"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := planEnv(t, test.environ...)
			var matching []configs.Finding
			for _, f := range p.Findings {
				// With a gateway there is always the warning that there is none.
				if f.Setting == test.setting || f.Setting != "TUNNEL_ENDPOINT" {
					matching = append(matching, f)
				}
			}
			if test.setting == "DNS_LISTEN" || test.setting == "DNS_PORT" { // TCP, UDP, or both families
				matching = matching[:min(1, len(matching))]
			}
			if len(matching) != 1 || matching[0].Level != test.level || matching[0].Setting != test.setting {
				t.Fatalf("findings %+v, want one %s of %s", p.Findings, test.level, test.setting)
			}
			for piece := range strings.SplitSeq(test.want, "…") {
				if !strings.Contains(matching[0].Message, piece) {
					t.Errorf("%q lacks %q", matching[0].Message, piece)
				}
			}
			if (p.Err() != nil) != (test.level == "error") {
				t.Errorf("the plan's error is %v", p.Err())
			}
		})
	}
}

// TestWhatIsNoFinding are settings that look like one that is.
func TestWhatIsNoFinding(t *testing.T) {
	for _, environ := range [][]string{
		nil,
		{three, "ZOOKEEPER_ID=2", "MESOS_MASTER_QUORUM=3"},
		{"ZOOKEEPER_HOSTS=zk1,zk2,zk3", "ZOOKEEPER_ID=3"},                              // names may stand for this host
		{three, "MASTER=false", "CONSUL_HOSTS=c1 c2", "MESOS_MASTER_QUORUM=1"},         // no ensemble, no master, no server here
		{three, "MASTER=false", "CONSUL_PARAMS=-retry-join=c1"},                        // servers by CONSUL_PARAMS
		{three, "MASTER=false", "CONSUL_APP_PARAMS=agent -dev"},                        // who knows
		{"START_CONSUL=false", "MASTER=false", three},                                  // no client here
		{"LISTEN_IP=10.0.0.5", "STATUS_LISTEN=127.0.0.1:4400"},                         // different addresses
		{"STATUS_LISTEN=127.0.0.1:4400", "START_CHRONOS=false"},                        // not both here
		{"STATUS_LISTEN=127.0.0.1:4400", "CHRONOS_PARAMS=--http_port 4401"},            // moved away
		{"STATUS_LISTEN=127.0.0.1:4400", "CHRONOS_APP_PARAMS=--http_address 10.0.0.5"}, // who knows
		{"TUNNEL_PORT=53"}, // no gateway here
		{"STATUS_LISTEN=127.0.0.1:9153"},
		{"MARATHON_USER=1000"},
		{"STATUS_LISTEN=127.0.0.1:443", "CONSUL_HTTP_ADDR=https://consul.example"}, // a proxy's, or another host's
		{"STATUS_LISTEN=127.0.0.1:443", "CONSUL_HTTP_ADDR=https://node1:443"},      // a proxy's of this host
		{"STATUS_LISTEN=127.0.0.1:8501", "CONSUL_HTTP_ADDR=https://10.0.0.5:8501"}, // HTTP is on: who knows
	} {
		if p := planEnv(t, environ...); len(p.Findings) > 0 {
			t.Errorf("%q: %+v", environ, p.Findings)
		}
	}
}

func TestAllFindingsAtOnceErrorsFirst(t *testing.T) {
	p := planEnv(t, "IP=0.0.0.0", "ZOOKEEPER_HOSTS=a,b,c,d", "MESOS_MASTER_QUORUM=9", "STATUS_LISTEN=127.0.0.1:81", "CONSUL_DC=DC", "MARATHON_NOFILE=x")
	var got []string
	for _, f := range p.Findings {
		got = append(got, f.Level+" "+f.Setting)
	}
	want := "error MARATHON_NOFILE,error IP,error ZOOKEEPER_ID,error MESOS_MASTER_QUORUM,error STATUS_LISTEN,warning CONSUL_DC,warning ZOOKEEPER_HOSTS"
	if strings.Join(got, ",") != want {
		t.Errorf("findings of\n%s\nwant\n%s", strings.Join(got, ","), want)
	}
	if lines := strings.Count(p.Err().Error(), "\n") + 1; lines != 5 {
		t.Errorf("%d errors:\n%v", lines, p.Err())
	}
}

func TestHostWithoutAddress(t *testing.T) {
	facts := Facts{Host: configs.HostFacts{Hostname: "lab"}, Self: "/panteras"}
	loaded, _ := configs.Load(configs.Sources{Dir: t.TempDir(), DirGiven: true, Environ: []string{"CONSUL_DNS=127.0.0.1"}, Host: facts.Host})
	p := New(loaded, facts)
	if len(p.Findings) != 1 || p.Findings[0].Setting != "IP" || !strings.Contains(p.Findings[0].Message, "IP is empty, because no interface") {
		t.Errorf("findings %+v", p.Findings)
	}
}

func TestAPortThatSomebodyElseHoldsIsAWarning(t *testing.T) {
	facts := testFacts("10.0.0.5")
	facts.Taken = func(network string, at netip.AddrPort) string {
		if network == "tcp" && at.Port() == 80 {
			return "nginx (pid 7, 0.0.0.0:80)"
		}
		return ""
	}
	loaded, _ := configs.Load(configs.Sources{Dir: t.TempDir(), DirGiven: true, Host: facts.Host})
	p := New(loaded, facts)
	if err := p.Err(); err != nil {
		t.Error(err)
	}
	found := 0
	for _, f := range p.Findings {
		if strings.Contains(f.Message, "makes haproxy take TCP port 80, which is held by nginx (pid 7, 0.0.0.0:80)") {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d findings about port 80: %+v", found, p.Findings)
	}
}
