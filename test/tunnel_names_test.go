package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"panteras/internal/lab"

	consul "github.com/hashicorp/consul/api"
)

// A peer gets whole answers at both addresses of the gateway, over UDP and TCP, however
// large they are.
func TestTunnelNamesAreWholeOverBothFamilies(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	node := l.withConsul()
	register := func(r consul.CatalogRegistration) {
		t.Helper()
		if _, err := node.API.Catalog().Register(&r, nil); err != nil {
			t.Fatal(err)
		}
	}
	register(consul.CatalogRegistration{
		Node: "rack", Address: serviceAddr6, NodeMeta: map[string]string{"rack": "seven"},
		Service: &consul.AgentService{ID: "six", Service: "six", Address: serviceAddr6, Port: 86},
	})
	const many = 150 // more than 4 kB, the most that anybody takes over UDP
	ports := make([]string, many)
	for i := range many {
		register(consul.CatalogRegistration{
			Node: "backend", Address: serviceAddr, SkipNodeUpdate: true,
			Service: &consul.AgentService{ID: fmt.Sprintf("many-%d", i), Service: "many", Address: serviceAddr, Port: 2000 + i},
		})
		ports[i] = fmt.Sprint(2000 + i)
	}
	l.start()
	l.withDNS(node, serviceAddr+":53")
	l.add("alice", nil).connect(l.client, currentWireGuard(t))
	lab.Eventually(t, patience, "the peer to be let in", func() bool { return l.client.pings(t, tunnelGateway) && l.client.pings(t, "fd99::1") })
	// column is one column of what is said about a name, sorted.
	column := func(n int, args ...string) string {
		t.Helper()
		var out []string
		for line := range strings.Lines(l.client.run(t, "dig", append(args, "+short", "+timeout=5", "+tries=3")...)) {
			if f := strings.Fields(line); len(f) > n {
				out = append(out, f[n])
			}
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	for _, server := range []string{"@" + tunnelGateway, "@fd99::1"} {
		for _, over := range [][]string{{"+notcp"}, {"+tcp"}, {"+notcp", "+bufsize=512"}, {"+notcp", "+noedns"}, {"+notcp", "+bufsize=4096"}} {
			for _, test := range []struct {
				name, qtype string
				column      int
				want        string
			}{
				{"python.service.consul", "A", 0, serviceAddr},
				{"python.service.consul", "AAAA", 0, ""},
				{"six.service.consul", "AAAA", 0, serviceAddr6},
				{"six.service.consul", "SRV", 2, "86"},
				{"rack.node.consul", "TXT", 0, `"rack=seven"`},
				{"many.service.consul", "SRV", 2, strings.Join(ports, " ")},
			} {
				lab.Eventually(t, patience, fmt.Sprintf("%s %v %s %s", server, over, test.name, test.qtype), func() bool {
					got := column(test.column, append([]string{server, test.name, test.qtype}, over...)...)
					if got != test.want {
						t.Logf("%s %v: %s %s is %q, want %q", server, over, test.name, test.qtype, got, test.want)
					}
					return got == test.want
				})
			}
			// Over UDP the large answer says that there is more.
			if over[0] == "+notcp" {
				head := l.client.run(t, "dig", append([]string{server, "many.service.consul", "SRV", "+ignore"}, over...)...)
				if !strings.Contains(head, " tc ") && !strings.Contains(head, " tc;") {
					t.Errorf("%s %v: the large answer is not truncated:\n%s", server, over, head)
				}
			}
		}
	}
}
