package rights

import (
	"fmt"
	"slices"
	"strings"

	"panteras/configs"
	"panteras/internal/consulclient"
	"panteras/launcher"
	"panteras/launcher/register"
)

// Right is a rule that the policy of the token has to hold.
type Right struct {
	// Resource is "service", "node" or "key", Name what it is about: the beginning of
	// names where Prefix is true. Policy is "read" or "write".
	Resource string
	Prefix   bool
	Name     string
	Policy   string
	// For says who needs it, and what for.
	For []string
}

// Rule is the right as a policy of Consul has it.
func (r Right) Rule() string {
	resource := r.Resource
	if r.Prefix {
		resource += "_prefix"
	}
	return fmt.Sprintf("%s %q { policy = %q }", resource, r.Name, r.Policy)
}

// Lacks says that the token lacks the right.
func (r Right) Lacks() string {
	return fmt.Sprintf("the token of CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE lacks %s:%s on %q, which is needed by %s",
		r.Resource, r.Policy, r.Name, strings.Join(r.For, "; and by "))
}

// access is how Consul is asked about it.
func (r Right) access() consulclient.Access {
	return consulclient.Access{Resource: r.Resource, Segment: r.Name, Access: r.Policy}
}

// Keys in Consul's KV store.
const (
	maxconnKeys = "haproxy/"
	tunnelKeys  = "panteras/tunnel/"
)

// Registering are the rights under which daemons of a plan are made known in Consul.
func Registering(s *configs.Settings, daemons []launcher.Daemon) []Right {
	var l list
	for _, name := range register.Names(s, daemons) {
		l.add("service", false, name, "write", "the launcher, which registers it")
	}
	return l
}

// Working are the rights that the daemons of a plan need for what they do, each once.
// peersInConsul tells that the gateway keeps its peers there.
func Working(s *configs.Settings, daemons []launcher.Daemon, peersInConsul bool) []Right {
	var l list
	for _, d := range daemons {
		if !d.Run {
			continue
		}
		switch d.Name {
		case "consul-template":
			l.readEverything("consul-template, by which HAProxy and keepalived know hosts and services")
			l.add("key", true, maxconnKeys, "read", "consul-template, for the limits of services (maxconn)")
		case "dns":
			if s.DNSMode == configs.DNSModeLB {
				l.readEverything("the DNS server, which looks for HAProxies (DNS_MODE=lb)")
			}
		case "tunnel":
			if peersInConsul {
				l.add("key", true, tunnelKeys, "write", "the gateway, whose peers are there (TUNNEL_STORE=consul)")
			}
		case "registrator":
			l.add("service", true, "", "write", "Registrator, which registers containers under any name")
		}
	}
	return l
}

// list collects rights.
type list []Right

func (l *list) add(resource string, prefix bool, name, policy, who string) {
	for i, r := range *l {
		if r.Resource == resource && r.Prefix == prefix && r.Name == name && r.Policy == policy {
			if !slices.Contains(r.For, who) {
				(*l)[i].For = append(r.For, who)
			}
			return
		}
	}
	*l = append(*l, Right{resource, prefix, name, policy, []string{who}})
}

// readEverything is what it takes to read the catalogue.
func (l *list) readEverything(who string) {
	l.add("service", true, "", "read", who)
	l.add("node", true, "", "read", who)
}
