package lb

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"

	"panteras/internal/lab"
)

const patience = 60 * time.Second

// school is a learner that runs, and what it published last.
type school struct {
	*Learner
	view    atomic.Pointer[View]
	settled chan struct{}
	stop    func()
}

// learnFrom runs a learner until the test is over.
func learnFrom(t *testing.T, previous *View, dial func() (*consul.Client, error)) *school {
	t.Helper()
	s := &school{settled: make(chan struct{})}
	s.Learner = &Learner{
		Dial: dial, Explain: func(err error) error { return err }, Previous: previous,
		Publish: func(v *View) { s.view.Store(v) }, Log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx, func() { close(s.settled) })
	}()
	s.stop = func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("the learner does not end")
		}
	}
	t.Cleanup(s.stop)
	return s
}

func (s *school) settle(t *testing.T) {
	t.Helper()
	select {
	case <-s.settled:
	case <-time.After(patience):
		t.Fatal("the learner does not settle")
	}
}

// says waits until the view is as wanted: balanced services, and HAProxies.
func (s *school) says(t *testing.T, want string) {
	t.Helper()
	lab.Eventually(t, patience, "the view "+want, func() bool { return text(s.view.Load()) == want })
}

func text(v *View) string {
	if v == nil {
		return "nothing"
	}
	var names []string
	for name := range v.services {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprint(names, v.balancers)
}

// TestLearner follows a real Consul through everything that decides who is balanced.
func TestLearner(t *testing.T) {
	t.Parallel()
	c := lab.Consul(t, lab.ConsulOptions{})
	balancer := func(n int, status string) lab.Service {
		return lab.Service{Name: Balancer, Node: fmt.Sprint("edge-", n), NodeIP: fmt.Sprint("10.2.0.", n), Port: 80, Status: status}
	}
	web := func(n int, status string, tags ...string) lab.Service {
		return lab.Service{Name: "Web", ID: fmt.Sprint("web-", n), Port: 31000 + n, Status: status, Tags: tags}
	}
	c.Register(t, web(1, "critical", "haproxy"), web(2, "passing", "http"), balancer(1, "passing"), balancer(2, "critical"),
		lab.Service{Name: "old", Tags: []string{"webapp"}}, lab.Service{Name: "plain", Tags: []string{"http", "haproxy_tcp=7000"}})
	s := learnFrom(t, nil, func() (*consul.Client, error) { return c.API, nil })
	s.settle(t)
	s.says(t, "[old] [10.2.0.1]") // settled means that all is known
	if v := s.view.Load(); !v.Datacenter([]byte("dc1")) || v.Datacenter([]byte("dc2")) || !s.Up() {
		t.Errorf("data centres %v, up %v", v.datacenters, s.Up())
	}

	c.Register(t, web(1, "passing", "haproxy"))
	s.says(t, "[old web] [10.2.0.1]")
	c.Register(t, balancer(2, "passing"), web(1, "warning", "haproxy"))
	s.says(t, "[old] [10.2.0.1 10.2.0.2]")
	c.Register(t, web(3, "passing", "webapp"), lab.Service{Name: "new", Tags: []string{"haproxy"}})
	s.says(t, "[new old web] [10.2.0.1 10.2.0.2]")
	c.Deregister(t, web(3, "passing", "webapp"), lab.Service{Name: "old"})
	c.Register(t, balancer(1, "critical"))
	s.says(t, "[new] [10.2.0.2]")

	// What was known stays while Consul is away, and changes again afterwards.
	c.Kill()
	lab.Eventually(t, patience, "the loss is noticed", func() bool { return !s.Up() })
	c.Restart(t)
	c.WaitLeader(t)
	if got := text(s.view.Load()); got != "[new] [10.2.0.2]" {
		t.Errorf("while Consul was away the view became %s", got)
	}
	c.Register(t, web(1, "passing", "haproxy"))
	s.says(t, "[new web] [10.2.0.2]")
	lab.Eventually(t, patience, "Consul counts as up", s.Up)
	s.stop()
}

// TestUnreachable settles at once, and what was known before stays.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	config := consul.DefaultNonPooledConfig()
	config.Address = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), lab.Port(t)).String()
	s := learnFrom(t, NewView([]string{"web"}, nil), func() (*consul.Client, error) { return consul.NewClient(config) })
	s.settle(t)
	if s.Up() || s.view.Load() != nil {
		t.Errorf("up %v, view %s", s.Up(), text(s.view.Load()))
	}
}

// TestToken: where Consul does not know the token, its file is read again until it does.
func TestToken(t *testing.T) {
	t.Parallel()
	const token = "8f246b77-f3e1-ff88-5b48-8ec93abf3e05"
	c := lab.Consul(t, lab.ConsulOptions{ManagementToken: token})
	c.Register(t, lab.Service{Name: "web", Tags: []string{"haproxy"}}, lab.Service{Name: Balancer, Node: "edge", NodeIP: "10.2.0.1"})
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.ReplaceAll(token, "8", "9"))
	config := consul.DefaultNonPooledConfig()
	config.Address, config.TokenFile = c.HTTPAddr.String(), file
	s := learnFrom(t, nil, func() (*consul.Client, error) { return consul.NewClient(config) })
	s.settle(t)
	if s.Up() {
		t.Error("it counts as up with a token that Consul does not know")
	}
	write(token + "\n")
	s.says(t, "[web] [10.2.0.1]")
}

// TestManyServices: a change of one among 2,000 services counts as soon as one among two,
// whether a check fails or an instance comes or leaves.
func TestManyServices(t *testing.T) {
	t.Parallel()
	c := lab.Consul(t, lab.ConsulOptions{})
	const n, nodes = 2000, 20
	all := crowd(n, nodes)
	c.Register(t, all...)
	s := learnFrom(t, nil, func() (*consul.Client, error) { return c.API, nil })
	s.settle(t)
	s.counts(t, n)
	// The deadline is a tenth of what turns among 2,000 services took.
	const soon = 3 * time.Second
	for i := range 5 {
		one := &all[i*n/5+i]
		one.Status = consul.HealthCritical
		c.Register(t, *one)
		s.balances(t, soon, one.Name, false)
		one.Status = consul.HealthPassing
		c.Register(t, *one)
		s.balances(t, soon, one.Name, true)
		c.Deregister(t, *one)
		s.balances(t, soon, one.Name, false)
		c.Register(t, *one)
		s.balances(t, soon, one.Name, true)
	}
	s.counts(t, n)
	fails := lab.Service{Name: "new", Node: "node-3", NodeIP: "10.1.0.3", Tags: []string{"haproxy"}}
	c.Register(t, fails)
	s.balances(t, soon, "new", true)
	// Not serfHealth: Consul removes a node that has it without being a member.
	_, err := c.API.Catalog().Register(&consul.CatalogRegistration{
		Node: "node-3", SkipNodeUpdate: true, Check: &consul.AgentCheck{Node: "node-3", CheckID: "disk", Name: "disk", Status: consul.HealthCritical},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.counts(t, n-n/nodes) // with a node fails all that is on it
}

// TestManyNodes are waited for in turns, and none is forgotten.
func TestManyNodes(t *testing.T) {
	t.Parallel()
	c := lab.Consul(t, lab.ConsulOptions{})
	const n = turns + 50
	all := crowd(n, n)
	c.Register(t, all...)
	s := learnFrom(t, nil, func() (*consul.Client, error) { return c.API, nil })
	s.settle(t)
	s.counts(t, n)
	for i := range all {
		if i%10 == 0 {
			all[i].Status = consul.HealthCritical
		}
	}
	c.Register(t, all...)
	s.counts(t, n-n/10)
	for i := range all {
		if v := s.view.Load(); v.Balances([]byte(all[i].Name)) == (all[i].Status == consul.HealthCritical) {
			t.Errorf("%s, which is %q, is wrong", all[i].Name, all[i].Status)
		}
	}
	for i := range all {
		if i%10 == 1 {
			c.Deregister(t, all[i])
		}
	}
	s.counts(t, n-n/10-n/10)
	if _, err := c.API.Catalog().Deregister(&consul.CatalogDeregistration{Node: all[2].Node}, nil); err != nil {
		t.Fatal(err)
	}
	s.balances(t, patience, all[2].Name, false)
}

// crowd are n services with one instance each, spread evenly over nodes.
func crowd(n, nodes int) []lab.Service {
	all := lab.Instances("web", n, nodes, "haproxy")
	for i := range all {
		all[i].Name = all[i].ID
	}
	return all
}

// counts waits until n services are balanced.
func (s *school) counts(t *testing.T, n int) {
	t.Helper()
	lab.Eventually(t, patience, fmt.Sprint(n, " services are balanced"), func() bool { return s.view.Load().Services() == n })
}

// balances waits until a service is balanced, or is not.
func (s *school) balances(t *testing.T, within time.Duration, name string, want bool) {
	t.Helper()
	began := time.Now()
	lab.Eventually(t, within, fmt.Sprint(name, " is balanced: ", want), func() bool { return s.view.Load().Balances([]byte(name)) == want })
	t.Logf("%v until it is %v that %s is balanced", time.Since(began).Round(time.Millisecond), want, name)
}

// TestStartsFromThePreviousView: a reload makes no gap.
func TestStartsFromThePreviousView(t *testing.T) {
	t.Parallel()
	known := &node{known: true, services: map[string]string{"1": "Web", "2": "fails"}}
	s := state{nodes: map[string]*node{"a": known, "b": {}}, failing: failures{{"a", "2"}: true}, datacenters: []string{"dc1"}, asked: true}
	previous := NewView([]string{"old"}, nil)
	if v, whole := s.view(previous); text(v) != "[old web] []" || whole {
		t.Errorf("%s, whole %v", text(v), whole)
	}
	s.nodes["b"].known = true
	if v, whole := s.view(previous); text(v) != "[web] []" || !whole {
		t.Errorf("%s, whole %v", text(v), whole)
	}
	for name, unasked := range map[string]state{
		"nodes":        {failing: s.failing, datacenters: s.datacenters, asked: true},
		"checks":       {nodes: s.nodes, datacenters: s.datacenters, asked: true},
		"data centres": {nodes: s.nodes, failing: s.failing, asked: true},
		"HAProxies":    {nodes: s.nodes, failing: s.failing, datacenters: s.datacenters},
	} {
		if v, _ := unasked.view(previous); v != nil {
			t.Errorf("a view without %s that were not asked for", name)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	entry := func(node, address string) *consul.ServiceEntry {
		return &consul.ServiceEntry{Node: &consul.Node{Address: node}, Service: &consul.AgentService{Address: address}}
	}
	got := Addresses([]*consul.ServiceEntry{entry("10.0.0.2", ""), entry("10.0.0.9", "10.0.0.1"), entry("10.0.0.2", "10.0.0.1"), entry("10.0.0.3", "a.host"), entry("", "fd00::1")})
	if fmt.Sprint(got) != "[10.0.0.1 10.0.0.2 fd00::1]" {
		t.Errorf("%v", got)
	}
	mine := func(a netip.Addr) bool { return a == got[1] }
	if c := Choose(got, mine); len(c) != 1 || c[0] != got[1] {
		t.Errorf("with an own one: %v", c)
	}
	if c := Choose(got, func(netip.Addr) bool { return false }); len(c) != 3 {
		t.Errorf("without: %v", c)
	}
}
