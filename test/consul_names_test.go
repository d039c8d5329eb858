package test

import (
	"testing"
	"time"

	"panteras/internal/lab"

	consul "github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// form is one kind of name that Consul serves. records is how many records
// Consul gives over TCP for the type that the form is for: a form that finds
// nothing would prove nothing.
type form struct {
	what    string
	name    string
	qtype   uint16
	records int
}

// serviceForms are the names for which a Consul >= 1.19 is scripted as well.
var serviceForms = []form{
	{"service", "python.service.consul", dns.TypeSRV, 4},
	{"service with datacenter", "python.service.dc1.consul", dns.TypeSRV, 4},
	{"service in another case", "PyThOn.Service.Consul", dns.TypeA, 4},
	{"service with tag", "haproxy.python.service.consul", dns.TypeSRV, 4},
	{"RFC 2782", "_python._tcp.service.consul", dns.TypeSRV, 4},
	{"RFC 2782 with tag", "_python._haproxy.service.dc1.consul", dns.TypeSRV, 4},
	{"more than three instances", "web.service.consul", dns.TypeA, 10},
	{"more than 1232 bytes", "many.service.consul", dns.TypeA, 90},
	{"service on IPv6", "six.service.consul", dns.TypeAAAA, 2},
	{"unknown service", "nothere.service.consul", dns.TypeA, 0},
	{"apex", "consul", dns.TypeSOA, 1},
}

// moreForms are all the others.
var moreForms = []form{
	{"tag with a dot", "v1.2.web.service.consul", dns.TypeSRV, 10},
	{"unknown tag", "nothere.web.service.consul", dns.TypeSRV, 0},
	{"service under an outer name", "alias.service.consul", dns.TypeCNAME, 1},
	{"only critical instances", "sick.service.consul", dns.TypeA, 0},
	{"node", "node-1.node.consul", dns.TypeA, 1},
	{"node with datacenter", "node-1.node.dc1.consul", dns.TypeA, 1},
	{"node in another datacenter", "node-1.node.dc9.consul", dns.TypeA, 0},
	{"node with dots", "node.with.dots.node.consul", dns.TypeA, 1},
	{"node with metadata", "node.with.dots.node.consul", dns.TypeTXT, 1},
	{"unknown node", "nothere.node.consul", dns.TypeA, 0},
	{"prepared query", "nearby.query.consul", dns.TypeSRV, 10},
	{"prepared query with datacenter", "nearby.query.dc1.consul", dns.TypeA, 10},
	{"RFC 2782 prepared query", "_nearby._tcp.query.consul", dns.TypeSRV, 0}, // newer ones know it
	{"unknown prepared query", "nothere.query.consul", dns.TypeA, 0},
	{"address", "0a010001.addr.dc1.consul", dns.TypeA, 1},
	{"IPv6 address", "fd000000000000000000000000000001.addr.dc1.consul", dns.TypeAAAA, 1},
	{"malformed address", "0a0100.addr.dc1.consul", dns.TypeA, 0},
	{"virtual address", "mesh.virtual.consul", dns.TypeA, 1},
	{"connect", "mesh.connect.consul", dns.TypeSRV, 1},
	{"ingress", "mesh.ingress.consul", dns.TypeA, 1},
	{"reverse name", "1.0.1.10.in-addr.arpa", dns.TypePTR, 1},
	{"reverse name of nobody", "9.9.1.10.in-addr.arpa", dns.TypePTR, 0},
	{"reverse IPv6 name", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", dns.TypePTR, 1},
	{"name server", "lab-server.node.dc1.consul", dns.TypeA, 1},
	{"no such kind of name", "some.thing.consul", dns.TypeA, 0},
	{"one label", "python.consul", dns.TypeA, 0},
	{"apex's name servers", "consul", dns.TypeNS, 1},
}

// askedTypes are asked of every form. ANY and DS are left to their own test:
// the answer is ours there.
var askedTypes = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeTXT, dns.TypeSOA, dns.TypeNS, dns.TypeCNAME, dns.TypePTR, 65280}

// ptrFlag opts the lab's addresses into reverse names of Consul.
const ptrFlag = "--dns-ptr=10.1.0.0/16,fd00::/16"

// meshConsul makes Consul hand out virtual addresses.
var meshConsul = map[string]any{"connect": map[string]any{"enabled": true}}

// fill registers what the forms name.
func fill(t *testing.T, c *lab.ConsulNode) {
	t.Helper()
	c.Register(t, lab.Instances("python", 4, 4, "haproxy")...)
	c.Register(t, lab.Instances("web", 10, 10, "v1.2")...)
	c.Register(t, lab.Instances("many", 90, 90)...)
	c.Register(
		t,
		lab.Service{Name: "six", ID: "six-1", Address: "fd00::1", Port: 80},
		lab.Service{Name: "six", ID: "six-2", Address: "fd00::2", Port: 81},
		lab.Service{Name: "alias", Address: "www.example.com", Port: 80},
		lab.Service{Name: "sick", Port: 80, Status: consul.HealthCritical},
	)
	catalogue := []*consul.CatalogRegistration{
		{Node: "node.with.dots", Address: "10.1.9.1", NodeMeta: map[string]string{"rack": "r1"}},
		{Node: "node-1", Address: "10.1.0.1", SkipNodeUpdate: true, Service: &consul.AgentService{
			Service: "mesh", Port: 8080,
		}},
		{Node: "node-1", Address: "10.1.0.1", SkipNodeUpdate: true, Service: &consul.AgentService{
			Kind: consul.ServiceKindConnectProxy, Service: "mesh-proxy", Port: 20000,
			Proxy: &consul.AgentServiceConnectProxyConfig{DestinationServiceName: "mesh"},
		}},
		{Node: "node-2", Address: "10.1.0.2", SkipNodeUpdate: true, Service: &consul.AgentService{
			Kind: consul.ServiceKindIngressGateway, Service: "gateway", Port: 443,
		}},
	}
	// A gateway needs its configuration before it serves names, and a mesh needs to know its protocol.
	entries := []consul.ConfigEntry{
		&consul.IngressGatewayConfigEntry{Kind: consul.IngressGateway, Name: "gateway", Listeners: []consul.IngressListener{
			{Port: 8443, Protocol: "tcp", Services: []consul.IngressService{{Name: "mesh"}}},
		}},
	}
	for _, entry := range entries {
		if _, _, err := c.API.ConfigEntries().Set(entry, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, registration := range catalogue {
		if _, err := c.API.Catalog().Register(registration, nil); err != nil {
			t.Fatal(err)
		}
	}
	query := &consul.PreparedQueryDefinition{Name: "nearby", Service: consul.ServiceQuery{Service: "web"}}
	if _, _, err := c.API.PreparedQuery().Create(query, nil); err != nil {
		t.Fatal(err)
	}
	ready := time.Minute
	lab.Eventually(t, ready, "an ingress gateway that Consul knows", func() bool {
		a, err := ask(c.DNS, question{"mesh.ingress.consul", dns.TypeA, transport{"tcp", 0}})
		return err == nil && len(a.Answer) == 1
	})
}
