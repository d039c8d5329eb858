package register

import (
	"strings"
	"testing"

	"panteras/configs"
	"panteras/launcher"
	"panteras/launcher/plantest"

	"github.com/google/go-cmp/cmp"
)

// planOf plans a host of the address 10.0.0.5 by an environment.
func planOf(t *testing.T, environ ...string) (*configs.Settings, *launcher.Plan) {
	t.Helper()
	loaded, plan := plantest.Of(t, "", environ...)
	return &loaded.Settings, plan
}

// allAre is the status in which every daemon that runs has one state.
func allAre(state launcher.State, plan *launcher.Plan) launcher.Status {
	var status launcher.Status
	for _, d := range plan.Daemons {
		s := launcher.DaemonStatus{Name: d.Name, State: launcher.StateDisabled}
		if d.Run {
			s.State = state
		}
		status.Daemons = append(status.Daemons, s)
	}
	return status
}

func services(t *testing.T, state launcher.State, environ ...string) []Service {
	t.Helper()
	settings, plan := planOf(t, environ...)
	return Services(settings, plan.Daemons, allAre(state, plan))
}

func web(name, url string, port uint16) Service {
	return Service{Name: name, Tags: []string{"haproxy"}, Address: "10.0.0.5", Port: port, CheckHTTP: url}
}

func TestServices(t *testing.T) {
	for _, test := range []struct {
		what    string
		environ []string
		want    []Service
	}{
		{"everything", []string{"TUNNEL_ENDPOINT=vpn.example.com"}, []Service{
			web("consul-ui", "http://10.0.0.5:8500/v1/status/leader", 8500),
			web("mesos", "http://10.0.0.5:5050/master/health", 5050),
			web("marathon", "http://10.0.0.5:8080/v2/leader", 8080),
			web("chronos", "http://10.0.0.5:4400/ping", 4400),
			{Name: "haproxy", Address: "10.0.0.5", Port: 80, CheckTCP: "10.0.0.5:81"},
			{Name: "panteras-dns", Address: "10.0.0.5", Port: 53, CheckTCP: "10.0.0.5:53"},
			{Name: "panteras-gateway", Address: "10.0.0.5", Port: 51820},
		}},
		{"a Consul that takes TLS as well", []string{"SLAVE=false", "START_MESOS_MASTER=false", "START_MARATHON=false", "START_CHRONOS=false", "START_DNS=false", "CONSUL_HTTP_ADDR=https://10.0.0.5:8501"}, []Service{
			web("consul-ui", "http://10.0.0.5:8500/v1/status/leader", 8500),
		}},
		{"a Consul that takes nothing but TLS, which HAProxy does not speak", []string{
			"SLAVE=false", "START_MESOS_MASTER=false", "START_MARATHON=false", "START_CHRONOS=false", "START_DNS=false", "CONSUL_HTTP_ADDR=https://10.0.0.5:8501", "CONSUL_PARAMS=-http-port=-1",
		}, []Service{{Name: "consul-ui", Address: "10.0.0.5", Port: 8501, CheckTCP: "10.0.0.5:8501"}}},
		{"the same at the port that HTTPS has", []string{
			"SLAVE=false", "START_MESOS_MASTER=false", "START_MARATHON=false", "START_CHRONOS=false", "START_DNS=false", "CONSUL_HTTP_ADDR=https://consul.example", "CONSUL_PARAMS=-http-port=-1",
		}, []Service{{Name: "consul-ui", Address: "10.0.0.5", Port: 443, CheckTCP: "10.0.0.5:443"}}},
		{"a master, and nothing that an operator does not want", []string{
			"SLAVE=false", "REGISTER_CONSUL_UI=false", "REGISTER_MESOS_MASTER=false", "REGISTER_CHRONOS=false", "START_DNS=false",
		}, []Service{web("marathon", "http://10.0.0.5:8080/v2/leader", 8080)}},
		{"a slave: its Consul has no user interface", []string{"MASTER=false", "CONSUL_HOSTS=10.0.0.1", "START_DNS=false"}, []Service{
			{Name: "haproxy", Address: "10.0.0.5", Port: 80, CheckTCP: "10.0.0.5:81"},
		}},
		{"a floating address", []string{"MASTER=false", "CONSUL_HOSTS=10.0.0.1", "START_DNS=false", "KEEPALIVED_VIP=10.0.0.100"}, []Service{
			{Name: "haproxy", Address: "10.0.0.5", Port: 80, CheckTCP: "10.0.0.5:81"},
			{Name: "panteras-keepalived", Tags: []string{"10.0.0.100"}, Address: "10.0.0.5"},
		}},
		{"other addresses and ports", []string{
			"SLAVE=false", "LISTEN_IP=127.0.0.1", "CONSUL_IP=10.0.0.5", "HOST_IP=192.0.2.9", "DNS_LISTEN=10.0.0.7:5353",
			"MARATHON_PARAMS=--http_port 8081", "CONSUL_PARAMS=-http-port=9500", "REGISTER_CHRONOS=false", "REGISTER_MESOS_MASTER=no",
		}, []Service{
			{Name: "consul-ui", Tags: []string{"haproxy"}, Address: "192.0.2.9", Port: 9500, CheckHTTP: "http://127.0.0.1:9500/v1/status/leader"},
			{Name: "marathon", Tags: []string{"haproxy"}, Address: "192.0.2.9", Port: 8081, CheckHTTP: "http://127.0.0.1:8081/v2/leader"},
			{Name: "panteras-dns", Address: "192.0.2.9", Port: 5353, CheckTCP: "10.0.0.7:5353"},
		}},
		{"IPv6", []string{"SLAVE=false", "IP=2001:db8::5", "LISTEN_IP=::", "REGISTER_CONSUL_UI=0", "REGISTER_MARATHON=0", "REGISTER_MESOS_MASTER=0", "START_DNS=0"}, []Service{
			{Name: "chronos", Tags: []string{"haproxy"}, Address: "2001:db8::5", Port: 4400, CheckHTTP: "http://[2001:db8::5]:4400/ping"},
		}},
	} {
		t.Run(test.what, func(t *testing.T) {
			if diff := cmp.Diff(test.want, services(t, launcher.StateReady, test.environ...)); diff != "" {
				t.Errorf("services (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyWhatRunsIsRegistered(t *testing.T) {
	for state, want := range map[launcher.State]bool{
		launcher.StateDisabled: false, launcher.StateAbsent: false, launcher.StateWaiting: false, launcher.StateBackoff: false,
		launcher.StateStopping: false, launcher.StateStopped: false, launcher.StateFailed: false,
		launcher.StateStarting: true, launcher.StateReady: true, launcher.StateUnhealthy: true,
	} {
		got := services(t, state)
		if want != (len(got) == 6) || !want && len(got) > 0 {
			t.Errorf("%s: %d services", state, len(got))
		}
	}
}

// The status decides, not the plan: what is on its way out is gone.
func TestOneDaemonStops(t *testing.T) {
	settings, plan := planOf(t)
	status := allAre(launcher.StateReady, plan)
	for i := range status.Daemons {
		if status.Daemons[i].Name == "marathon" {
			status.Daemons[i].State = launcher.StateStopping
		}
	}
	var names []string
	for _, s := range Services(settings, plan.Daemons, status) {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "consul-ui mesos chronos haproxy panteras-dns" {
		t.Errorf("registered: %s", got)
	}
}
