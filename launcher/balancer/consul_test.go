package balancer

import (
	"fmt"
	"strings"
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
	explain := lab.Panteras(t, lab.PanterasOptions{Args: []string{"explain", "my_service.my.own.domain.com", "--restricted", r.folder, "--consul-http-addr", agent.HTTPAddr.String()}})
	if code := explain.Wait(t, patience); code != 0 {
		t.Errorf("explain ends with %d", code)
	}
	for _, want := range []string{"goes to Consul, as my_service.service.consul", "knows 2 of my_service", `on "node-two" is passing`, "backend_my_service serves", fmt.Sprintf("127.0.0.1:%d weight 100", two.Port)} {
		if !strings.Contains(explain.Stdout(), want) {
			t.Errorf("explain does not say %q:\n%s", want, explain.Stdout())
		}
	}
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
	r.startHAProxy()
	answers("HAProxy starts without Consul", "my_service.service.consul", "two")
}
