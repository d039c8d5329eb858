package lab

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestConsulAnswersForWhatIsRegistered(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.14.4", "1.13.9"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			started := time.Now()
			node := Consul(t, ConsulOptions{Version: version, Domain: "service.example", Datacenter: "east"})
			t.Logf("Consul %s led after %v", version, time.Since(started))

			started = time.Now()
			all := Instances("python", 1000, 50, "haproxy")
			node.Register(t, all...)
			t.Logf("1000 instances written in %v", time.Since(started))
			if got := srvCount(t, node, "haproxy.python.service.east.service.example"); got < 800 {
				t.Errorf("over TCP, Consul told %d instances of 1000", got)
			}

			node.Deregister(t, all[2:]...)
			node.Register(t, Service{Name: "python", ID: "python-1", Node: "node-1", NodeIP: "10.1.0.1", Port: 31000, Status: "critical"})
			reply, err := Ask(node.DNS, "udp", "python.service.service.example", dns.TypeA)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"10.1.0.2"}, addresses(reply)); diff != "" {
				t.Errorf("addresses of the one healthy instance left (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConsulKeepsPortsAndDataOverARestart(t *testing.T) {
	t.Parallel()
	node := Consul(t, ConsulOptions{})
	node.Register(t, Instances("python", 3, 3)...)
	before := node.Process().Pid()

	node.Kill()
	if _, err := Ask(node.DNS, "tcp", "python.service.consul", dns.TypeSRV); err == nil {
		t.Error("a killed Consul answers")
	}
	node.Restart(t)
	if node.Process().Pid() == before {
		t.Error("the same process runs after a restart")
	}
	node.WaitLeader(t)
	node.WaitDNS(t, "python.service.consul", dns.TypeSRV, func(reply *dns.Msg) bool { return len(reply.Answer) == 3 })
}

func TestConsulAsksItsRecursors(t *testing.T) {
	t.Parallel()
	recursor := NewUpstream(t, func(*Query) []Action { return []Action{Reply(Answers("www.example. 60 IN A 192.0.2.7"))} })
	node := Consul(t, ConsulOptions{
		Recursors: []string{recursor.Addr.String()},
		Extra:     map[string]any{"dns_config": map[string]any{"a_record_limit": 1}, "ports": map[string]any{"https": -1}},
	})
	reply, err := Ask(node.DNS, "udp", "www.example", dns.TypeA)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"192.0.2.7"}, addresses(reply)); diff != "" {
		t.Errorf("answer through Consul's recursor (-want +got):\n%s", diff)
	}

	node.Register(t, Instances("python", 3, 3)...)
	reply, err = Ask(node.DNS, "tcp", "python.service.consul", dns.TypeA)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(addresses(reply)); got != 1 {
		t.Errorf("with a_record_limit 1 Consul told %d addresses", got)
	}
}

// srvCount asks over TCP how many SRV records a name has.
func srvCount(t *testing.T, node *ConsulNode, name string) int {
	t.Helper()
	reply, err := Ask(node.DNS, "tcp", name, dns.TypeSRV)
	if err != nil {
		t.Fatal(err)
	}
	return len(reply.Answer)
}

// addresses returns the A records of an answer.
func addresses(reply *dns.Msg) []string {
	var found []string
	for _, rr := range reply.Answer {
		if a, ok := rr.(*dns.A); ok {
			found = append(found, a.A.String())
		}
	}
	return found
}
