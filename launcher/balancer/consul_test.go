package balancer

import (
	"fmt"
	"testing"

	"panteras/configs/haproxy"
	"panteras/internal/lab"

	consul "github.com/hashicorp/consul/api"
)

// TestFromConsul follows a service from its registration in a real Consul, through the
// real consul-template, the built binary and HAProxy, to an answer, and away again.
func TestFromConsul(t *testing.T) {
	t.Parallel()
	r, running := startedChain(t, ".my.own.domain.com")
	agent := r.agent
	instance := func(id, status string, tags ...string) lab.Service {
		i := web(t, "my_service", id, tags...)
		return lab.Service{Name: "my_service", ID: id, Node: "node-" + id, NodeIP: "127.0.0.1", Port: i.Port, Tags: tags, Status: status}
	}
	one, two := instance("one", consul.HealthPassing, "haproxy"), instance("two", consul.HealthPassing, "haproxy", "weight=100")
	answers := func(what string, host string, want ...string) {
		t.Helper()
		lab.Eventually(t, patience, what, func() bool {
			got := map[string]bool{}
			for range 4 {
				code, body := r.get(host, "/")
				if code != 200 {
					body = fmt.Sprint(code)
				}
				got[body] = true
			}
			for _, w := range want {
				if !got[w] {
					return false
				}
			}
			return len(got) == len(want)
		})
	}
	agent.Register(t, one)
	answers("the first instance serves", "my_service.service.consul:80", "one")
	agent.Register(t, two)
	answers("both serve", "my_service.service.dc1.consul", "one", "two")
	r.report("the report of what serves", func(report *haproxy.Report) bool {
		return len(report.Backends) == 1 && len(report.Backends[0].Servers) == 2
	})
	serving := []string{"HAProxy  runs\n", fmt.Sprintf("frontend http-in, port %d: backend_my_service serves", r.Options.HTTPPort), fmt.Sprintf("127.0.0.1:%d weight 100", two.Port)}
	r.explains("my_service.my.own.domain.com", append(serving, "goes to Consul, as my_service.service.consul", "knows 2 of my_service", `on "node-two" is passing`)...)
	r.explains("MY_Service", serving...)

	// Another data centre: its name leads to the instances here, and those there are told of.
	r.explains("my_service.service.dc2.consul", "no backend", "Consul knows no data centre dc2")
	code, _ := r.get("my_service.service.dc2.consul", "/")
	if code != 503 {
		t.Errorf("before there is a dc2 its name answers %d", code)
	}
	there := wan(t)
	away := lab.Consul(t, lab.ConsulOptions{Datacenter: "dc2", Extra: there})
	away.Register(t, lab.Service{Name: "far", ID: "far", Node: "node-far", NodeIP: "127.0.0.1", Port: 1, Tags: []string{"haproxy"}})
	if err := agent.API.Agent().Join(fmt.Sprint("127.0.0.1:", there["ports"].(map[string]any)["serf_wan"]), true); err != nil {
		t.Fatal(err)
	}
	answers("a name in another data centre", "my_service.service.dc2.consul:80", "one", "two")
	r.explains("my_service.service.dc2.consul", append(serving, "dc2 is another data centre; under this name, too, HAProxy serves the instances in its own, dc1")...)
	answers("a service of another data centre", "far.service.dc2.consul", "503")
	r.explains("far.service.dc2.consul", "in dc2 1 pass; the above are in dc1", "no instance of it in this data centre; 1 pass in dc2")
	away.Kill()
	answers("without the other data centre", "my_service.service.consul", "one", "two")

	one.Status = consul.HealthCritical
	agent.Register(t, one)
	answers("the critical instance leaves", "my_service.my.own.domain.com", "two")

	// Names that consul-template would choke on, and names of other services.
	hostile := lab.Service{Name: `evil|"}{{ .x }}`, ID: "evil", Node: "node-evil", NodeIP: "127.0.0.1", Port: 1, Tags: []string{"haproxy", "a\"\n}\n\tserver x 127.0.0.1:1"}}
	agent.Register(t, hostile, lab.Service{Name: "a.my_service", ID: "dotted", Node: "node-evil", NodeIP: "127.0.0.1", Port: 1, Tags: []string{"haproxy"}})
	r.maxconn("my_service", "33")
	maxconn := func(want int) {
		t.Helper()
		lab.Eventually(t, patience, "the limit of the KV store", func() bool {
			servers, err := r.runtime().servers()
			if err != nil {
				return false
			}
			for _, s := range servers["backend_my_service"] {
				if s.ready && s.maxconn == want {
					return true
				}
			}
			return false
		})
	}
	maxconn(33)
	r.report("the hostile names are reported", func(report *haproxy.Report) bool { return len(report.Findings) == 2 })

	// Why a name is not served.
	untagged, sick := instance("untagged", consul.HealthPassing, "http"), instance("sick", consul.HealthCritical, "haproxy")
	untagged.Name, sick.Name = "untagged", "sick"
	greedy, rival := instance("greedy", consul.HealthPassing, "haproxy", "haproxy_route=/shared", "haproxy_tcp=8500"), instance("rival", consul.HealthPassing, "haproxy", "haproxy_route=/shared")
	greedy.Name, rival.Name = "greedy", "rival"
	agent.Register(t, untagged, sick, greedy, rival)
	r.report("the new services", func(report *haproxy.Report) bool {
		return backend(report, "backend_greedy") != nil && backend(report, "backend_rival") != nil
	})
	r.explains("untagged", "no backend", "no instance has the tag haproxy or webapp")
	r.explains("sick", "no backend", "none of the 1 instances with the tag haproxy or webapp passes")
	r.explains("rival", "backend_rival serves", "rival: does not get path /shared: greedy has it")
	r.explains("any.host/shared", "backend_greedy serves", "knows 1 of greedy", "keeps path /shared, which rival want as well", "haproxy_tcp=8500 is refused: the port belongs to Consul")
	r.explains("nobody", "knows no service nobody", "Consul knows no instance of it")

	// Without consul-template, and without Consul, everything goes on.
	running.Kill()
	answers("no consul-template", "my_service.service.consul", "two")
	one.Status = consul.HealthPassing
	agent.Register(t, one)
	r.template()
	answers("what changed meanwhile", "my_service.service.consul", "one", "two")
	agent.Restart(t)
	answers("Consul restarts", "my_service.service.consul", "one", "two")
	agent.WaitLeader(t)
	agent.Deregister(t, one)
	answers("one leaves after Consul's restart", "my_service.service.consul", "two")
	agent.Kill()
	r.haproxy.Kill()
	r.explains("my_service", "HAProxy  does not run on this host", "does not answer")
	r.startHAProxy()
	answers("HAProxy starts without Consul", "my_service.service.consul", "two")
}
