package test

import (
	"fmt"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// TestUpReloadLosesNothing reloads under load settings that change what HAProxy and the DNS
// server serve, and has HAProxy reload for a new service each time: the new is there, and no query and no request is lost.
func TestUpReloadLosesNothing(t *testing.T) {
	t.Parallel()
	h := oneHost(t, only("consul", "consul-template", "dns")...)
	h.useUpstream(t)
	h.up(t)
	h.ready(t, "consul", "consul-template", "haproxy", "dns")
	const served = "10.7.0.1:31001"
	webServer(t, served, "one")
	register := func(service string) {
		t.Helper()
		body := jsonOf(t, map[string]any{"Name": service, "Address": "10.7.0.1", "Port": 31001, "Tags": []string{"haproxy"}})
		if answer := httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/register", body); answer != "" {
			t.Fatalf("cannot register: %s", answer)
		}
	}
	register("web")
	lab.Eventually(t, readyTime, "the service", func() bool { return fetch("web.service.consul", "/") == "one" })
	before, worker := h.pids(), h.worker(t)
	reloads, _ := h.reloads(t)
	queries := startLoad(t, dnsAt("10.7.0.1"),
		asker{network: "udp", names: []string{"www.example.org"}, address: "192.0.2.7"},
		asker{network: "udp", names: []string{"web.service.consul"}, address: "10.7.0.1"})
	pages := startRequests(t, "10.7.0.1:80", "web.service.consul", "one")
	for i := range 3 {
		domain := fmt.Sprintf("number-%d.example", i)
		put(t, h.path("restricted", "host"), "HAPROXY_ADD_DOMAIN="+domain+"\n")
		h.must(t, "reload")
		lab.Eventually(t, readyTime, "HAProxy to know "+domain, func() bool { return fetch("web."+domain, "/") == "one" })
		lab.Eventually(t, readyTime, "the DNS server to know "+domain, func() bool {
			return strings.TrimSpace(lab.RunDig(t, "@10.7.0.1", "+short", "web."+domain)) == "10.7.0.1"
		})
		another := fmt.Sprintf("another-%d", i) // names alone are learned without a reload
		register(another)
		lab.Eventually(t, readyTime, "HAProxy to serve "+another, func() bool { return fetch(another+"."+domain, "/") == "one" })
		lab.Eventually(t, patience, "more queries", queries.more(100))
		lab.Eventually(t, patience, "more requests", pages.more(100))
	}
	queries.stopAndCheck(t)
	pages.stopAndCheck(t)
	t.Logf("%d queries and %d requests were all answered", queries.asked.Load(), pages.sent.Load())
	if h.worker(t) == worker {
		t.Error("HAProxy has not read its files anew")
	}
	if all, _ := h.reloads(t); all < reloads+3 {
		t.Errorf("HAProxy was reloaded %d times in place of 3", all-reloads)
	}
	after := h.pids()
	for _, name := range []string{"consul", "haproxy", "dns"} {
		if after[name] != before[name] {
			t.Errorf("%s had the pid %d and has %d", name, before[name], after[name])
		}
	}
}
