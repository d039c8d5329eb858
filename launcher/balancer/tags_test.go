package balancer

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"panteras/configs/haproxy"
	"panteras/internal/lab"

	consul "github.com/hashicorp/consul/api"
)

// tagged is an instance that is registered; it answers with its ID.
type tagged struct {
	service, id string
	status      string // "" is passing
	tags        []string
}

// taggedServices are instances for every row of the table of tags, of good and bad values.
func taggedServices(first, second, third, fourth uint16) []tagged {
	tcp := func(port uint16) string { return fmt.Sprint("haproxy_tcp=", port) }
	return []tagged{
		{service: "my_service", id: "one", tags: []string{"haproxy"}},
		{service: "old", id: "old", tags: []string{"webapp", "http"}},
		{service: "both", id: "both", tags: []string{"haproxy", "webapp"}},
		{service: "mistyped", id: "mistyped", tags: []string{"haproxy_webapp"}},
		{service: "plain", id: "plain", tags: []string{"http"}},

		{service: "gru", id: "gru", tags: []string{"haproxy", "haproxy_route=/minions", "haproxy_route=/media/", "haproxy_route=/a/b"}},
		{service: "kevin", id: "kevin", tags: []string{"haproxy", "haproxy_route=/minions/kevin"}},
		{service: "forked", id: "forked", tags: []string{"haproxy", "route_path", "route_domain"}},
		{service: "lost", id: "lost", tags: []string{"haproxy_route=/lost"}},
		{service: "greedy", id: "greedy", tags: []string{"haproxy", "haproxy_route=/"}},

		{service: "db", id: "db-1", tags: []string{tcp(first), tcp(second)}},
		{service: "db", id: "db-2", tags: []string{tcp(first), tcp(second)}},
		{service: "greedy-db", id: "greedy-db", tags: []string{"haproxy_tcp=8500", "haproxy_tcp=31005", "haproxy_tcp=0"}},

		// One container with several ports: each is an instance with tags of its own.
		{service: "mixed", id: "mixed-http", tags: []string{"haproxy", "haproxy_route=/mixed"}},
		{service: "mixed", id: "mixed-more", tags: []string{"webapp", "haproxy_route=/more"}},
		{service: "mixed", id: "mixed-tcp", tags: []string{tcp(third)}},
		{service: "mixed", id: "mixed-none", tags: []string{"other"}},

		{service: "web", id: "stable", tags: []string{"haproxy"}},
		{service: "web", id: "canary", tags: []string{"haproxy", "haproxy_weight=1"}},
		{service: "web", id: "off", tags: []string{"haproxy", "weight=0"}},
		{service: "heavy", id: "over", tags: []string{"haproxy", "weight=257"}},
		{service: "heavy", id: "under", tags: []string{"haproxy", "haproxy_weight=-1"}},
		{service: "heavy", id: "full", tags: []string{"haproxy", "weight=256", "haproxy_weight=256"}},
		{service: "heavy", id: "torn", tags: []string{"haproxy", "weight=100", "haproxy_weight=7"}},

		{service: "checked", id: "healthy", tags: []string{"haproxy", "haproxy_httpchk=GET /health"}},
		{service: "checked", id: "sick", tags: []string{"haproxy", "haproxy_httpchk=GET /health"}},
		{service: "sure", id: "sure", tags: []string{"haproxy", "haproxy_httpchk=POST /health"}},

		{service: "pair", id: "pair-1", tags: []string{"haproxy"}},
		{service: "pair", id: "pair-2", tags: []string{"haproxy"}},
		{service: "pair", id: "pair-3", status: consul.HealthWarning, tags: []string{"haproxy"}},
		{service: "pair", id: "pair-4", status: consul.HealthCritical, tags: []string{"haproxy"}},
		{service: "lonely", id: "lonely", tags: []string{"haproxy"}},

		{service: "zebra", id: "zebra", tags: []string{"haproxy", "haproxy_route=/shared", tcp(fourth)}},
	}
}

// taggedServers are how many servers HAProxy has for them: one of each instance whose tags
// and checks are good, and one more for each further port.
const taggedServers = 29

// TestTagsFromConsul asks HAProxy for every row of the table of tags, of services that were
// registered in a real Consul: at first, after some have changed, and with another
// HAPROXY_ADD_DOMAIN.
func TestTagsFromConsul(t *testing.T) {
	t.Parallel()
	c, template := startedChain(t, ".my.own.domain.com")
	first, second, third, fourth := servicePort(t), servicePort(t), servicePort(t), servicePort(t)
	services := map[string]lab.Service{}
	register := func(list ...tagged) {
		t.Helper()
		var all []lab.Service
		for _, one := range list {
			i := serve(t, one.service, one.id, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.URL.Path == "/health" && one.id == "sick" {
					w.WriteHeader(http.StatusInternalServerError)
				}
				_, _ = io.WriteString(w, one.id)
			}))
			s := lab.Service{Name: one.service, ID: one.id, NodeIP: "127.0.0.1", Port: i.Port, Tags: one.tags, Status: one.status}
			services[one.id] = s
			all = append(all, s)
		}
		c.agent.Register(t, all...)
	}
	register(taggedServices(first, second, third, fourth)...)
	report := c.report("the services of the table", func(r *haproxy.Report) bool {
		n := 0
		for _, b := range r.Backends {
			n += len(b.Servers)
		}
		return n == taggedServers
	})
	c.answers([]row{
		{"my_service.service.consul", "/", 200, "one"},
		{"my_service.service.consul:80", "/", 200, "one"},
		{"MY_Service.Service.CONSUL:8080", "/", 200, "one"},
		{"my_service.service.consul.", "/", 200, "one"},
		{"my_service.service.dc1.consul", "/", 200, "one"},
		{"my_service.service.DC1.consul:80", "/", 200, "one"},
		{"my_service.service", "/", 200, "one"},
		{"my_service.my.own.domain.com", "/", 200, "one"},
		{"My_Service.my.OWN.domain.com:80", "/", 200, "one"},
		{"my_service", "/", 503, "No such service"},
		{"my_servicemy.own.domain.com", "/", 503, "No such service"},
		{"my_service.service.dc3.consul", "/", 503, "No such service"},
		{"x.my_service.service.consul", "/", 503, "No such service"},
		{"old.service.consul", "/", 200, "old"},
		{"both.service.consul", "/", 200, "both"},
		{"mistyped.service.consul", "/", 503, "No such service"},
		{"plain.service.consul", "/", 503, "No such service"},

		{"any.host", "/minions", 200, "gru"},
		{"any.host", "/minions/", 200, "gru"},
		{"any.host", "/minions/x?y=/z", 200, "gru"},
		{"any.host", "/minionsx", 503, "No such service"},
		{"any.host", "/Minions", 503, "No such service"},
		{"any.host", "/minions/kevin", 200, "kevin"},
		{"any.host", "/minions/kevin/say", 200, "kevin"},
		{"any.host", "/minions/kevinx", 200, "gru"},
		{"any.host", "/media", 200, "gru"},
		{"any.host", "/a/b/c", 200, "gru"},
		{"any.host", "/a", 503, "No such service"},
		{"any.host", "/forked/x", 200, "forked"},
		{"any.host", "/lost", 503, "No such service"},
		{"greedy.service.consul", "/", 200, "greedy"},
		{"any.host", "/", 503, "No such service"},
		{"node1:80", "/minions/x", 200, "gru"},
		{"my_service.service.consul", "/minions/x", 200, "one"},

		{"localhost", "/", 200, fmt.Sprintf("http://localhost:%d/", c.Options.StatsPort)},
		{"NODE1:80", "/", 200, fmt.Sprintf("http://node1:%d/", c.Options.StatsPort)},
		{"[::1]:80", "/", 200, fmt.Sprintf("http://[::1]:%d/", c.Options.StatsPort)},
		{"stranger", "/", 503, "No such service"},
		{"any.host", "/mixed/x", 200, "mixed-"},
		{"any.host", "/more", 200, "mixed-"},
		{"sure.service.consul", "/", 200, "sure"},
	})

	statistics, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", c.Options.StatsPort))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = statistics.Body.Close() }()
	if page, _ := io.ReadAll(statistics.Body); !strings.Contains(string(page), "backend_my_service") {
		t.Error("the statistics do not tell of backend_my_service")
	}

	// By TCP: the tag alone, several on one service, several ports of one service.
	for _, port := range []uint16{first, second} {
		if got := ask(port) + ask(port); got != "db-1db-2" && got != "db-2db-1" {
			t.Errorf("port %d: %q", port, got)
		}
	}
	if got := ask(third) + ask(third); got != "mixed-tcpmixed-tcp" {
		t.Errorf("the port of one instance alone: %q", got)
	}
	if got := ask(fourth); got != "zebra" {
		t.Errorf("the port beside a route: %q", got)
	}

	// Weights. Shares are exact over whole rounds.
	shares := func(service string, requests, room int, want map[string]int) {
		t.Helper()
		got := c.count(service+".service.consul", requests)
		for id, n := range got {
			if n < want[id]-room || n > want[id]+room {
				t.Errorf("%s: %v of %d requests, not %v", service, got, requests, want)
				return
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v of %d requests, not %v", service, got, requests, want)
		}
	}
	shares("web", 10100, 2, map[string]int{"stable": 10000, "canary": 100})
	shares("heavy", 463, 2, map[string]int{"over": 100, "under": 100, "full": 256, "torn": 7}) // what is not valid counts as 100
	shares("mixed", 100, 0, map[string]int{"mixed-http": 50, "mixed-more": 50})
	shares("pair", 100, 0, map[string]int{"pair-1": 50, "pair-2": 50})
	lab.Eventually(t, patience, "the instance whose check by HTTP fails to get nothing", func() bool {
		got := c.count("checked.service.consul", 20)
		return got["healthy"] == 20
	})

	// What has no effect is said, and nothing else.
	for service, want := range map[string]string{
		"mistyped": `tag "haproxy_webapp" is none that we know`, "lost": "haproxy_route has no effect without the tag haproxy", "greedy": `tag "haproxy_route=/" would take every request`,
		"greedy-db": "the port belongs to Consul", "heavy": `tag "weight=257" is no weight`, "sure": "is no check",
	} {
		found := ""
		for _, f := range report.Findings {
			if f.Service == service {
				found += f.Message + "\n"
			}
		}
		if !strings.Contains(found, want) {
			t.Errorf("the report does not say %q of %s, but %q", want, service, found)
		}
	}
	if n := len(report.Findings); n != 10 { // three of heavy's, three of greedy-db's, and one of each other
		t.Errorf("%d findings: %v", n, report.Findings)
	}

	// A newcomer earlier in the alphabet, one instance that fails, and one that is its
	// service's last.
	worker := c.pid()
	for _, id := range []string{"pair-1", "lonely"} {
		s := services[id]
		s.Status = consul.HealthCritical
		c.agent.Register(t, s)
	}
	c.maxconn("web", "33")
	c.report("the failed instances to leave", func(r *haproxy.Report) bool {
		pair, web := backend(r, "backend_pair"), backend(r, "backend_web")
		return len(pair.Servers) == 1 && backend(r, "backend_lonely") == nil && web.Servers[0].Maxconn == 33
	})
	shares("pair", 20, 0, map[string]int{"pair-2": 20})
	c.answers([]row{{"lonely.service.consul", "/", 503, "No such service"}})
	if servers, err := c.runtime().servers(); err != nil || len(servers["backend_web"]) != 3 {
		t.Errorf("servers: %v, %v", servers, err)
	} else {
		for name, s := range servers["backend_web"] {
			if s.maxconn != 33 {
				t.Errorf("%s takes %d connections", name, s.maxconn)
			}
		}
	}
	if c.pid() != worker {
		t.Error("HAProxy was reloaded for instances that left and another maxconn")
	}
	register(tagged{service: "ant", id: "ant", tags: []string{"haproxy", "haproxy_route=/shared", fmt.Sprint("haproxy_tcp=", fourth)}})
	c.report("the newcomer", func(r *haproxy.Report) bool { return backend(r, "backend_ant") != nil })
	c.answers([]row{
		{"ant.service.consul", "/", 200, "ant"},
		{"any.host", "/shared", 200, "zebra"},
		{"any.host", "/shared/x", 200, "zebra"},
	})
	if got := ask(fourth); got != "zebra" {
		t.Errorf("the port leads to %q after the newcomer came", got)
	}
	c.agent.Deregister(t, services["zebra"])
	c.report("the newcomer's turn", func(r *haproxy.Report) bool { return backend(r, "backend_zebra") == nil })
	c.answers([]row{{"any.host", "/shared/x", 200, "ant"}, {"zebra.service.consul", "/", 503, "No such service"}})
	lab.Eventually(t, patience, "the port to be the newcomer's", func() bool { return ask(fourth) == "ant" })

	// The domain without its dot means the same.
	c.settings["HAPROXY_ADD_DOMAIN"] = "other.example"
	template.Kill()
	c.template()
	c.report("the other domain", func(r *haproxy.Report) bool {
		return strings.Contains(fmt.Sprint(backend(r, "backend_my_service").Hosts), "my_service.other.example")
	})
	c.answers([]row{
		{"my_service.other.example", "/", 200, "one"},
		{"My_Service.Other.example:80", "/", 200, "one"},
		{"my_serviceother.example", "/", 503, "No such service"},
		{"my_service.my.own.domain.com", "/", 503, "No such service"},
		{"my_service.service.consul", "/", 200, "one"},
	})
}

// row is a request, and what the answer to it begins with or contains.
type row struct {
	host, path string
	code       int
	body       string
}

// answers asks HAProxy for each row, once.
func (r *rig) answers(rows []row) {
	r.t.Helper()
	for _, want := range rows {
		code, body := r.get(want.host, want.path)
		if code != want.code || !strings.Contains(body, want.body) {
			r.t.Errorf("%s%s: %d %q, not %d with %q", want.host, want.path, code, body, want.code, want.body)
		}
	}
}

// maxconn sets how many connections each server of a service takes, in Consul's KV store.
func (c *chain) maxconn(service, text string) {
	c.t.Helper()
	if _, err := c.agent.API.KV().Put(&consul.KVPair{Key: "haproxy/" + service + "/maxconn", Value: []byte(text)}, nil); err != nil {
		c.t.Fatal(err)
	}
}
