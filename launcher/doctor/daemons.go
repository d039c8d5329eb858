package doctor

import (
	"fmt"
	"slices"
	"strings"

	"panteras/launcher"
)

// noServers is what a client of Consul answers that has found no server.
const noServers = "No known Consul servers"

// consul looks whether its API answers and whether there is a leader.
func (d *diagnosis) consul() {
	const check = "consul"
	c := d.facts.Consul
	switch {
	case c.Err != "" && d.runs("consul") && !d.facts.Up:
		d.add(check, Warn, "panteras up", "it does not run yet: %s", c.Err)
	case strings.Contains(c.Err, noServers) && d.runs("consul"):
		d.add(check, Fail, "start a server that CONSUL_HOSTS lists, and see that this host reaches its ports 8300 (tcp) and 8301 (tcp, udp)", "%s", c.Err)
	case c.Err != "" && d.runs("consul"):
		d.add(check, Fail, "`panteras status` says what keeps it, `panteras logs consul` what it says", "%s", c.Err)
	case c.Err != "":
		d.add(check, Fail, "start Consul on this host (START_CONSUL=true), or set CONSUL_HTTP_ADDR to one that runs", "%s", c.Err)
	case c.Leader == "":
		d.add(check, Fail, "`consul members` shows which servers are there; start the others, and list all of them in CONSUL_HOSTS on every host",
			"it runs at %s and has no leader: fewer than half of the servers see each other", d.ConsulHTTPAddr)
	default:
		d.ok(check, "it runs at %s, and the leader is %s", d.ConsulHTTPAddr, c.Leader)
		d.consulRights(c)
	}
}

// consulRights looks at what the token of this host may do, and those who ask by DNS.
func (d *diagnosis) consulRights(c Consul) {
	const check = "rights in Consul"
	if c.RightsErr != "" {
		d.add(check, Warn, "give the token of CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE the rights in docs/security.md", "they cannot be told: %s", c.RightsErr)
	}
	for _, r := range c.Lacking {
		d.add(check, Fail, "add to the token's policy: "+r.Rule(), "%s", r.Lacks())
	}
	if c.Nameless {
		d.add(check, Fail, `add to the policy of Consul's token acl.tokens.default (or dns): service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`,
			"who asks by DNS lacks service:read or node:read: Consul does not know its own name consul.service.%s", d.ConsulDomain)
	}
	if c.Unwritten {
		d.add(check, Fail, fmt.Sprintf(`add to the policy of Consul's token acl.tokens.agent: node %q { policy = "write" }, then: panteras restart consul`, d.Hostname),
			"Consul itself lacks node:write on %q: it could not write about this host", d.Hostname)
	}
	if c.RightsErr == "" && len(c.Lacking) == 0 && !c.Nameless && !c.Unwritten {
		d.ok(check, "the token has all that this host needs")
	}
}

// programs looks for the daemons' programs. Those that nobody maintains any more are a
// warning: most hosts of today do without them.
func (d *diagnosis) programs() {
	const check = "programs"
	for _, m := range d.facts.Missing {
		level := Fail
		if launcher.Retired(m.Daemon) {
			level = Warn
		}
		d.add(check, level, launcher.InstallHint(m.Daemon), "%s is not installed, so %s does not run", m.Program, m.Daemon)
	}
	if len(d.facts.Missing) == 0 {
		d.ok(check, "all that this host runs are installed")
	}
}

// docker looks for the socket, where a daemon waits for it.
func (d *diagnosis) docker() {
	const check = "docker"
	var waiting []string
	for _, daemon := range d.plan.Daemons {
		missing := slices.ContainsFunc(d.facts.Missing, func(m Missing) bool { return m.Daemon == daemon.Name })
		if daemon.Run && !missing && slices.Contains(daemon.After, launcher.Docker) {
			waiting = append(waiting, daemon.Name)
		}
	}
	switch {
	case len(waiting) == 0:
	case d.facts.DockerSocket:
		d.ok(check, "its socket is there")
	default:
		d.add(check, Fail, "apt-get install docker.io, or systemctl enable --now docker", "there is no %s, which %s waits for", launcher.DockerSocket, strings.Join(waiting, " and "))
	}
}
