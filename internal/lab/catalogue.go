package lab

import (
	"fmt"
	"testing"

	consul "github.com/hashicorp/consul/api"
)

// Service is one instance of a service, running on a node that has no Consul
// agent of ours: it is written straight into the catalogue.
type Service struct {
	Name    string            // "python"
	ID      string            // Name if not set
	Node    string            // "node-1"; "node-1" if not set
	NodeIP  string            // address of the node; every node needs its own
	Address string            // of the service, where it is not the node's
	Port    int               //
	Tags    []string          //
	Meta    map[string]string //
	Status  string            // "passing" (if not set), "warning" or "critical"
}

// Instances returns n instances of a service spread evenly over nodes, as a
// cluster runs them: each node has an address (10.1.0.1 and so on), each
// instance a port of its own (31000 and up), all have the tags.
func Instances(name string, n, nodes int, tags ...string) []Service {
	services := make([]Service, n)
	for i := range services {
		node := i % nodes
		services[i] = Service{
			Name:   name,
			ID:     fmt.Sprintf("%s-%d", name, i+1),
			Node:   fmt.Sprintf("node-%d", node+1),
			NodeIP: fmt.Sprintf("10.1.%d.%d", node/250, node%250+1),
			Port:   31000 + i,
			Tags:   tags,
		}
	}
	return services
}

// withDefaults fills in what was not set.
func (s Service) withDefaults() Service {
	if s.ID == "" {
		s.ID = s.Name
	}
	if s.Node == "" {
		s.Node = "node-1"
	}
	if s.NodeIP == "" {
		s.NodeIP = "10.1.0.1"
	}
	if s.Status == "" {
		s.Status = consul.HealthPassing
	}
	return s
}

// operations returns what writes the instance, its node and its check.
func (s Service) operations() consul.TxnOps {
	s = s.withDefaults()
	return consul.TxnOps{
		{Node: &consul.NodeTxnOp{Verb: consul.NodeSet, Node: consul.Node{Node: s.Node, Address: s.NodeIP}}},
		{Service: &consul.ServiceTxnOp{Verb: consul.ServiceSet, Node: s.Node, Service: consul.AgentService{
			ID: s.ID, Service: s.Name, Address: s.Address, Port: s.Port, Tags: s.Tags, Meta: s.Meta,
		}}},
		{Check: &consul.CheckTxnOp{Verb: consul.CheckSet, Check: consul.HealthCheck{
			Node: s.Node, CheckID: "service:" + s.ID, Name: "alive", Status: s.Status, ServiceID: s.ID, ServiceName: s.Name,
		}}},
	}
}

// Register writes instances into the catalogue, or changes those that are
// there: their status, say. Consul answers with them when it returns. A
// thousand take about a second.
func (c *ConsulNode) Register(t testing.TB, services ...Service) {
	t.Helper()
	var operations consul.TxnOps
	for _, s := range services {
		operations = append(operations, s.operations()...)
	}
	c.transact(t, operations)
}

// Deregister removes instances from the catalogue. Their nodes stay.
func (c *ConsulNode) Deregister(t testing.TB, services ...Service) {
	t.Helper()
	var operations consul.TxnOps
	for _, s := range services {
		s = s.withDefaults()
		operations = append(operations, &consul.TxnOp{Service: &consul.ServiceTxnOp{
			Verb: consul.ServiceDelete, Node: s.Node, Service: consul.AgentService{ID: s.ID, Service: s.Name},
		}})
	}
	c.transact(t, operations)
}

// transact applies operations in as few transactions as Consul allows, which
// takes 64 operations in one.
func (c *ConsulNode) transact(t testing.TB, operations consul.TxnOps) {
	t.Helper()
	const most = 63 // a multiple of three: an instance is never half written
	for len(operations) > 0 {
		n := min(most, len(operations))
		ok, reply, _, err := c.API.Txn().Txn(operations[:n], nil)
		if err != nil {
			t.Fatalf("cannot write to the catalogue: %v", err)
		}
		if !ok {
			t.Fatalf("Consul refused to write to the catalogue: %s", reply.Errors[0].What)
		}
		operations = operations[n:]
	}
}
