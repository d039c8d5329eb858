package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// leaderTimeout is how long a Consul server may take from its start until it
// leads; two seconds are usual, and CI machines are slow.
const leaderTimeout = 2 * time.Minute

// ConsulOptions says which Consul to run. The zero value is a good one.
type ConsulOptions struct {
	Version    string         // "1.14.4" (if not set) or "1.13.9"
	Domain     string         // "consul" if not set
	Datacenter string         // "dc1" if not set
	Recursors  []string       // "address" or "address:port"; none if not set
	Extra      map[string]any // merged over our configuration file, key by key
	Leaderless bool           // it waits for servers that never come, and only its API answers

	// ManagementToken turns ACLs on, with everything denied to everybody else. API
	// holds it.
	ManagementToken string
	// Dial connects to the API where only the test's own goroutine reaches Consul: in
	// another network namespace.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// ConsulNode is a running single-node Consul server on 127.0.0.1.
type ConsulNode struct {
	DNS      netip.AddrPort // UDP and TCP
	HTTPAddr netip.AddrPort
	API      *consul.Client // keeps no connections between requests
	Domain   string         // without dots at its ends

	path    string // of the binary
	config  string // of the configuration file
	process *Process
}

// Consul starts a Consul server and returns when it leads and answers DNS
// queries. It is killed when the test is over.
func Consul(t testing.TB, o ConsulOptions) *ConsulNode {
	t.Helper()
	for range startAttempts {
		if node := tryConsul(t, o); node != nil {
			return node
		}
	}
	t.Fatalf("Consul found a port taken %d times", startAttempts)
	return nil
}

// tryConsul returns nil if a port was taken.
func tryConsul(t testing.TB, o ConsulOptions) *ConsulNode {
	t.Helper()
	if o.Domain == "" {
		o.Domain = "consul"
	}
	if o.Datacenter == "" {
		o.Datacenter = "dc1"
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	node := &ConsulNode{
		DNS:      netip.AddrPortFrom(loopback, Port(t)),
		HTTPAddr: netip.AddrPortFrom(loopback, Port(t)),
		Domain:   o.Domain,
		path:     consulBinary(t, o.Version),
	}
	config := map[string]any{
		"node_name":            "lab-server",
		"server":               true,
		"bootstrap":            true,
		"datacenter":           o.Datacenter,
		"domain":               o.Domain,
		"data_dir":             filepath.Join(t.TempDir(), "consul"),
		"bind_addr":            loopback,
		"client_addr":          loopback,
		"disable_update_check": true,
		"leave_on_terminate":   false,
		"log_level":            "warn",
		"performance":          map[string]any{"raft_multiplier": 1},
		"connect":              map[string]any{"enabled": false},
		"ui_config":            map[string]any{"enabled": false},
		"ports": map[string]any{
			"dns": node.DNS.Port(), "http": node.HTTPAddr.Port(), "server": Port(t), "serf_lan": Port(t),
			"serf_wan": -1, "https": -1, "grpc": -1,
		},
	}
	if o.Version != "1.13.9" {
		config["ports"].(map[string]any)["grpc_tls"] = -1 // has a default since 1.14
	}
	if len(o.Recursors) > 0 {
		config["recursors"] = o.Recursors
	}
	if o.ManagementToken != "" {
		config["acl"] = map[string]any{
			"enabled": true, "default_policy": "deny",
			"tokens": map[string]any{"initial_management": o.ManagementToken, "agent": o.ManagementToken},
		}
	}
	if o.Leaderless {
		delete(config, "bootstrap")
		config["bootstrap_expect"] = 3
	}
	merge(config, o.Extra)
	node.config = writeJSON(t, "consul.json", config)

	api := consul.DefaultNonPooledConfig()
	api.Address = node.HTTPAddr.String()
	api.Datacenter, api.Token = o.Datacenter, o.ManagementToken
	if o.Dial != nil {
		api.Transport.DialContext = o.Dial
	}
	client, err := consul.NewClient(api)
	if err != nil {
		t.Fatalf("cannot make a client for %s: %v", node.HTTPAddr, err)
	}
	node.API = client

	node.start(t)
	started := node.leads
	if o.Leaderless {
		started = node.talks
	}
	poll(leaderTimeout, func() bool { return node.process.ended() || started() })
	if portTaken(node.process) {
		return nil
	}
	if o.Leaderless {
		node.process.await(t, leaderTimeout, "to answer", node.talks)
		return node
	}
	node.WaitLeader(t)
	if o.ManagementToken != "" {
		return node // who asks by DNS has no rights
	}
	node.WaitDNS(t, "consul.service."+node.Domain, dns.TypeA, func(reply *dns.Msg) bool { return len(reply.Answer) > 0 })
	return node
}

// consulBinary returns the path of the Consul of that version.
func consulBinary(t testing.TB, version string) string {
	t.Helper()
	switch version {
	case "", "1.14.4":
		return builtBinary(t, "consul", "tools")
	case "1.13.9":
		return builtBinary(t, "consul-1.13", "tools")
	}
	t.Fatalf("there is no Consul %s among the tools", version)
	return ""
}

// start starts the process and does not wait for it to be of use.
func (c *ConsulNode) start(t testing.TB) {
	t.Helper()
	// The environment is empty: CONSUL_HTTP_ADDR and the like are for people.
	c.process = start(t, command{path: c.path, args: []string{"agent", "-config-file=" + c.config}, env: []string{}})
}

// Kill ends Consul as a power cut would (SIGKILL).
func (c *ConsulNode) Kill() { c.process.Kill() }

// Process is the process that runs now; another one after each Restart.
func (c *ConsulNode) Process() *Process { return c.process }

// Restart kills Consul if it still runs and starts it again with the same ports
// and data. It returns at once, while Consul is as silent as a starting Consul
// is; see WaitLeader and WaitDNS.
func (c *ConsulNode) Restart(t testing.TB) {
	t.Helper()
	c.Kill()
	c.start(t)
}

// WaitLeader waits until this server leads its datacenter, and therefore takes
// writes.
func (c *ConsulNode) WaitLeader(t testing.TB) {
	t.Helper()
	c.process.await(t, leaderTimeout, "to lead", c.leads)
}

// leads reports whether Consul has a leader, which can only be itself, and has
// put itself into its catalogue, the last thing a new leader does.
func (c *ConsulNode) leads() bool {
	leader, err := c.API.Status().Leader()
	if err != nil || leader == "" {
		return false
	}
	self, _, err := c.API.Health().Service("consul", "", true, &consul.QueryOptions{RequireConsistent: true})
	return err == nil && len(self) == 1
}

// talks reports whether the API answers, leader or not.
func (c *ConsulNode) talks() bool {
	_, err := c.API.Status().Leader()
	return err == nil
}

// WaitDNS asks Consul over TCP, which never trims an answer, until accept likes
// the reply.
func (c *ConsulNode) WaitDNS(t testing.TB, name string, qtype uint16, accept func(*dns.Msg) bool) {
	t.Helper()
	what := fmt.Sprintf("to answer %s %s as wanted", name, dns.TypeToString[qtype])
	c.process.await(t, leaderTimeout, what, func() bool {
		reply, err := Ask(c.DNS, "tcp", name, qtype)
		return err == nil && accept(reply)
	})
}

// merge puts the values of extra into config, going into maps.
func merge(config, extra map[string]any) {
	for key, value := range extra {
		into, ok1 := config[key].(map[string]any)
		from, ok2 := value.(map[string]any)
		if ok1 && ok2 {
			merge(into, from)
		} else {
			config[key] = value
		}
	}
}

// writeJSON writes value into a temporary file and returns its path.
func writeJSON(t testing.TB, name string, value any) string {
	t.Helper()
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatalf("cannot write %s: %v", name, err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
