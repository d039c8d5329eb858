package launcher

import (
	"strings"
	"testing"
)

// order is the order in which plans list the daemons.
var order = strings.Fields("consul zookeeper mesos-master marathon chronos consul-template haproxy keepalived mesos-agent registrator dns tunnel")

func TestRoles(t *testing.T) {
	const (
		masters = " zookeeper mesos-master marathon chronos"
		edge    = " consul-template haproxy"
		slaves  = " mesos-agent registrator"
		hosts   = "CONSUL_HOSTS=10.0.0.1 ZOOKEEPER_HOSTS=10.0.0.1 "
	)
	for _, test := range []struct{ environ, runs string }{
		{"", "consul dns" + masters + edge + slaves},
		{"SLAVE=false", "consul dns" + masters},
		{hosts + "MASTER=false", "consul dns" + edge + slaves},
		{hosts + "MASTER=false SLAVE=0", "consul dns"},
		{"SLAVE=no EDGE=yes", "consul dns" + masters + edge},
		{"EDGE=false", "consul dns" + masters + slaves},
		{"KEEPALIVED_VIP=10.0.0.100", "consul dns keepalived" + masters + edge + slaves},
		{"KEEPALIVED_VIP=10.0.0.100 SLAVE=false", "consul dns" + masters},
		{"TUNNEL_ENDPOINT=vpn.example.com SLAVE=false", "consul dns tunnel" + masters},
		{"TUNNEL_ENDPOINT=vpn.example.com SLAVE=false START_TUNNEL=false", "consul dns" + masters},
		{"START_DNSMASQ=false START_CONSUL=false", masters + edge + slaves},
		{"SLAVE=false START_CHRONOS=false START_MARATHON=false", "consul dns zookeeper mesos-master"},
		{"SLAVE=false START_MESOS_MASTER=false START_ZOOKEEPER=false", "consul dns marathon chronos"},
		{"SLAVE=false START_CONSUL_TEMPLATE=true", "consul dns" + masters + edge},
		{hosts + "MASTER=false SLAVE=false START_MESOS_SLAVE=true START_REGISTRATOR=true START_ZOOKEEPER=true", "consul dns zookeeper" + slaves},
	} {
		p := goodPlan(t, split(test.environ)...)
		want := map[string]bool{}
		for _, name := range strings.Fields(test.runs) {
			want[name] = true
		}
		for i, d := range p.Daemons {
			if d.Name != order[i] {
				t.Fatalf("daemon %d is %s, want %s", i, d.Name, order[i])
			}
			if d.Run != want[d.Name] {
				t.Errorf("%q: %s runs: %v, want %v (%s)", test.environ, d.Name, d.Run, want[d.Name], d.Because)
			}
		}
		if len(p.Daemons) != len(order) {
			t.Errorf("%d daemons, want %d", len(p.Daemons), len(order))
		}
	}
}

// split makes an environment of NAME=value words.
func split(environ string) []string { return strings.Fields(environ) }

func TestBecauseNamesTheSettingThatDecided(t *testing.T) {
	for _, test := range []struct{ environ, daemon, want string }{
		{"", "marathon", "MASTER=true (default)"},
		{"", "haproxy", "SLAVE=true (default)"},
		{"SLAVE=false", "haproxy", "SLAVE=false (environment)"},
		{"SLAVE=false EDGE=true", "haproxy", "EDGE=true (environment)"},
		{"EDGE=true START_CONSUL_TEMPLATE=no", "consul-template", "START_CONSUL_TEMPLATE=false (environment)"},
		{"START_CHRONOS=false", "chronos", "START_CHRONOS=false (environment)"},
		{"START_DNSMASQ=false", "dns", "START_DNS=false (environment)"},
		{"", "keepalived", "KEEPALIVED_VIP is empty (default)"},
		{"KEEPALIVED_VIP=10.0.0.9", "keepalived", "KEEPALIVED_VIP=10.0.0.9 (environment)"},
		{"KEEPALIVED_VIP=10.0.0.9 SLAVE=false", "keepalived", "SLAVE=false (environment)"},
		{"", "tunnel", "TUNNEL_ENDPOINT is empty (default)"},
		{"START_TUNNEL=false TUNNEL_ENDPOINT=vpn", "tunnel", "START_TUNNEL=false (environment)"},
	} {
		if got := daemonOf(t, goodPlan(t, split(test.environ)...), test.daemon).Because; got != test.want {
			t.Errorf("%q: %s because %q, want %q", test.environ, test.daemon, got, test.want)
		}
	}
}

func TestWaitsOnlyForWhatRuns(t *testing.T) {
	for _, test := range []struct{ environ, daemon, want string }{
		{"", "consul", ""},
		{"", "marathon", "zookeeper mesos-master"},
		{"START_ZOOKEEPER=false", "marathon", "mesos-master"},
		{"", "haproxy", "consul-template"},
		{"", "consul-template", "consul"},
		{"START_CONSUL=false", "consul-template", ""},
		{"START_CONSUL=false", "mesos-agent", "docker"},
		{"", "registrator", "docker consul"},
		{"", "dns", ""},
	} {
		if got := strings.Join(daemonOf(t, goodPlan(t, split(test.environ)...), test.daemon).After, " "); got != test.want {
			t.Errorf("%q: %s waits for %q, want %q", test.environ, test.daemon, got, test.want)
		}
	}
}

// Peers of a gateway that is behind no other HAProxy than its own reach that one.
func TestPeersReachTheHAProxyOfTheirGateway(t *testing.T) {
	for _, test := range []struct{ environ, want string }{
		{"", "TUNNEL_HOST_PORTS=80\n"},
		{"HAPROXY_HTTP_PORT=8088", "TUNNEL_HOST_PORTS=8088\n"},
		{"SLAVE=false", ""},
		{"SLAVE=false EDGE=true", "TUNNEL_HOST_PORTS=80\n"},
		{"TUNNEL_HOST_PORTS=80,6000", "TUNNEL_HOST_PORTS=80,6000\n"},
	} {
		given := fileOf(t, daemonOf(t, goodPlan(t, append(split(test.environ), "TUNNEL_ENDPOINT=vpn.example.com")...), "tunnel"), "/host")
		var got string
		for line := range strings.Lines(given) {
			if strings.HasPrefix(line, "TUNNEL_HOST_PORTS=") {
				got += line
			}
		}
		if got != test.want {
			t.Errorf("%q: the gateway finds %q, want %q", test.environ, got, test.want)
		}
	}
}
