package test

import (
	"fmt"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// TestUpReloadLosesNothing reloads under load settings that change what HAProxy and the DNS
// server serve: the new is there, and no query and no request is lost.
func TestUpReloadLosesNothing(t *testing.T) {
	t.Parallel()
	h := oneHost(t, only("consul", "consul-template", "dns")...)
	h.useUpstream(t)
	h.up(t)
	h.ready(t, "consul", "consul-template", "haproxy", "dns")
	const served = "10.7.0.1:31001"
	webServer(t, served, "one")
	body := jsonOf(t, map[string]any{"Name": "web", "Address": "10.7.0.1", "Port": 31001, "Tags": []string{"haproxy"}})
	if answer := httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/register", body); answer != "" {
		t.Fatalf("cannot register: %s", answer)
	}
	lab.Eventually(t, readyTime, "the service", func() bool { return fetch("web.service.consul", "/") == "one" })
	before, worker := h.pids(), h.worker(t)
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
		lab.Eventually(t, patience, "more queries", queries.more(100))
		lab.Eventually(t, patience, "more requests", pages.more(100))
	}
	queries.stopAndCheck(t)
	pages.stopAndCheck(t)
	t.Logf("%d queries and %d requests were all answered", queries.asked.Load(), pages.sent.Load())
	if h.worker(t) == worker {
		t.Error("HAProxy has not read its files anew")
	}
	after := h.pids()
	for _, name := range []string{"consul", "haproxy", "dns"} {
		if after[name] != before[name] {
			t.Errorf("%s had the pid %d and has %d", name, before[name], after[name])
		}
	}
}
