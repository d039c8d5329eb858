package haproxy

import (
	"strings"
	"testing"
)

func TestServing(t *testing.T) {
	r := Render(snapshot(
		instance("web", "a", 1001, "haproxy", "haproxy_route=/x"), instance("deep", "b", 1002, "haproxy", "haproxy_route=/x/y"),
	), testOptions(), nil).Report
	for request, want := range map[[2]string]string{
		{"WEB.service.consul:80", "/x/y"}: "backend_web",
		{"any", "/x"}:                     "backend_web",
		{"any", "/x/y/z"}:                 "backend_deep",
		{"any", "/xy"}:                    "",
		{"any", "/"}:                      "",
	} {
		got := ""
		if b := r.Serving(request[0], request[1]); b != nil {
			got = b.Name
		}
		if got != want {
			t.Errorf("%v: %q, not %q", request, got, want)
		}
	}
}

// TestExplain: what serves a name is told with frontend, backend and servers, and what does
// not, with the reason.
func TestExplain(t *testing.T) {
	s := snapshot(
		instance("Web", "a", 1001, "haproxy", "haproxy_route=/x"), instance("ant", "b", 1002, "haproxy", "haproxy_route=/x"),
		instance("db", "c", 1003, "haproxy_tcp=7000", "haproxy_tcp=8500"), instance("bad", "d", 1004, "haproxy", "weight=257"), instance("node1", "e", 1005, "haproxy"),
	)
	s.Datacenters = []string{"dc1", "dc2"}
	before := Render(snapshot(instance("Web", "a", 1001, "haproxy", "haproxy_route=/x")), testOptions(), nil).Report
	nowhere := instance("Far", "f", 1006, "haproxy")
	nowhere.Address = "a.host"
	s.Instances = append(s.Instances, nowhere)
	r := Render(s, testOptions(), &before).Report
	passing := []Known{{Tags: []string{"haproxy"}, Passing: true}}
	for _, c := range []struct {
		what string
		q    Question
		want string // parts, separated by |
	}{
		{"any case", Question{Host: "WEB.service.consul", Service: "web", Instances: passing}, "frontend http-in, port 80: backend_Web serves|  10.1.0.1:1001 weight 100|Web: keeps path /x, which ant want as well"},
		{"a route", Question{Host: "any.host", Path: "/x/y"}, "frontend http-in, port 80: backend_Web serves|Web: keeps path /x, which ant want"},
		{"a route that another service has", Question{Host: "ant.service.consul", Service: "ant", Instances: passing}, "backend_ant serves|ant: does not get path /x: Web has it"},
		{"no route", Question{Host: "any.host", Path: "/y"}, "no backend for http://any.host/y: it is not the name of a service, and no service has a route"},
		{"this host", Question{Host: "NODE1", Path: "/"}, "it is a name of this host"},
		{"by TCP", Question{Host: "db.service.consul", Service: "DB", Instances: []Known{{Tags: []string{"haproxy_tcp=7000"}, Passing: true}}}, "frontend tcp_db_7000, port 7000: tcp_db_7000 serves tcp:7000:|10.1.0.1:1003"},
		{"by TCP, and nothing passes", Question{Host: "no.service.consul", Service: "no", Instances: []Known{{Tags: []string{"haproxy_tcp=7001", "haproxy_tcp=7002"}}, {Tags: []string{"haproxy_tcp=7002"}}}}, "port 7001: none of the 1 instances with the tag haproxy_tcp=7001 passes its checks|port 7002: none of the 2"},
		{"by TCP, of which one port is refused", Question{Host: "db.service.consul", Service: "db", Instances: []Known{{Tags: []string{"haproxy_tcp=7000", "haproxy_tcp=8500"}, Passing: true}}}, "tcp_db_7000 serves tcp:7000:|port 8500: it is refused, for what is said below|db: haproxy_tcp=8500 is refused: the port belongs to Consul"},
		{"by TCP, not told yet", Question{Host: "no.service.consul", Service: "no", Instances: []Known{{Tags: []string{"haproxy_tcp=7001"}, Passing: true}}}, "port 7001: consul-template has not told HAProxy of it yet"},
		{"both", Question{Host: "no.service.consul", Service: "no", Instances: []Known{{Tags: []string{"haproxy_tcp=7001", "haproxy"}}}}, "port 7001: none of the 1|no backend for http://no.service.consul: none of the 1 instances with the tag haproxy or webapp passes"},
		{"by TCP, elsewhere", Question{Host: "db.service.dc2.consul", Service: "db", DC: "dc2", OwnDC: "dc1", Datacenters: s.Datacenters, Away: 2, Instances: []Known{{Tags: []string{"haproxy_tcp=7000"}, Passing: true}}}, "tcp_db_7000 serves|no backend for http://db.service.dc2.consul: no instance has the tag haproxy or webapp; 2 pass in dc2"},
		{"a tag that is refused", Question{Host: "bad.service.consul", Service: "bad", Instances: passing}, `backend_bad serves|bad: tag "weight=257" is no weight`},
		{"refused", Question{Host: "far.service.consul", Service: "far", Instances: passing}, `it is refused, for what is said below|Far: instance "f" is not served: its address`},
		{"unknown", Question{Host: "no.service.consul", Service: "no"}, "Consul knows no instance of it in this data centre"},
		{"without the tag", Question{Host: "no.service.consul", Service: "no", Instances: []Known{{Tags: []string{"http"}, Passing: true}}}, "no instance has the tag haproxy or webapp"},
		{"nothing passes", Question{Host: "no.service.consul", Service: "no", Instances: []Known{{Tags: []string{"webapp"}}, {Tags: []string{"http"}, Passing: true}}}, "none of the 1 instances with the tag haproxy or webapp passes its checks"},
		{"not told yet", Question{Host: "no.service.consul", Service: "no", Instances: passing}, "consul-template has not told HAProxy of it yet"},
		{"another data centre", Question{Host: "web.service.dc2.consul", Service: "web", DC: "dc2", OwnDC: "dc1", Datacenters: s.Datacenters, Instances: passing}, "backend_Web serves|dc2 is another data centre; under this name, too, HAProxy serves the instances in its own, dc1"},
		{"only in another data centre", Question{Host: "no.service.dc2.consul", Service: "no", DC: "dc2", OwnDC: "dc1", Datacenters: s.Datacenters, Away: 3}, "Consul knows no instance of it in this data centre; 3 pass in dc2, and HAProxy serves its own data centre only"},
		{"no such data centre", Question{Host: "web.service.dc3.consul", Service: "web", DC: "dc3", OwnDC: "dc1", Datacenters: s.Datacenters, Instances: passing}, "Consul knows no data centre dc3"},
	} {
		c.q.Options, c.q.ConsulTells = testOptions(), true
		got := strings.Join(r.Explain(&c.q), "\n")
		for part := range strings.SplitSeq(c.want, "|") {
			if !strings.Contains(got, part) {
				t.Errorf("%s: nothing says %q in\n%s", c.what, part, got)
			}
		}
		byTCP := strings.HasPrefix(c.what, "by TCP") && c.q.Away == 0
		if served := strings.Contains(c.want, "backend_") || byTCP; served == strings.Contains(got, "no backend") {
			t.Errorf("%s: served and not served:\n%s", c.what, got)
		}
	}
	if got := strings.Join(r.Explain(&Question{Host: "no.service.consul", Service: "no", Options: testOptions()}), "\n"); !strings.Contains(got, "what Consul knows of it cannot be seen") {
		t.Errorf("without Consul: %s", got)
	}
}
