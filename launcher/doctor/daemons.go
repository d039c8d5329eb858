package doctor

import (
	"fmt"
	"slices"
	"strings"

	"panteras/launcher"
)

// consul looks whether its API answers and whether there is a leader.
func (d *diagnosis) consul() {
	const check = "consul"
	c := d.facts.Consul
	switch {
	case c.Err != "" && d.runs("consul") && !d.facts.Up:
		d.add(check, Warn, "panteras up", "it does not run yet: %s", c.Err)
	case c.Err != "" && d.runs("consul"):
		d.add(check, Fail, "`panteras status` says what keeps it, `panteras logs consul` what it says", "%s", c.Err)
	case c.Err != "":
		d.add(check, Fail, "start Consul on this host (START_CONSUL=true), or set CONSUL_HTTP_ADDR to one that runs", "%s", c.Err)
	case c.Leader == "":
		d.add(check, Fail, "`consul members` shows which servers are there; start the others, and list all of them in CONSUL_HOSTS on every host",
			"it runs at %s and has no leader: fewer than half of the servers see each other", d.ConsulHTTPAddr)
	default:
		d.ok(check, "it runs at %s, and the leader is %s", d.ConsulHTTPAddr, c.Leader)
	}
}

// programs looks for the daemons' programs. Those that nobody maintains any more are a
// warning: most hosts of today do without them.
func (d *diagnosis) programs() {
	const check = "programs"
	for _, m := range d.facts.Missing {
		p := programs[m.Daemon]
		if strings.HasPrefix(m.Program, "/usr/share/java/") {
			p.get = "apt-get install zookeeper"
		}
		level := Fail
		if p.retired {
			level = Warn
		}
		d.add(check, level, p.get, "%s is not installed, so %s does not run", m.Program, m.Daemon)
	}
	if len(d.facts.Missing) == 0 {
		d.ok(check, "all that this host runs are installed")
	}
}

// program is how to get the program of a daemon.
type program struct {
	get     string
	retired bool // not maintained any more
}

// programs are those of Debian 12, and where to find what it does not have.
var programs = map[string]program{
	"consul":          {get: "install HashiCorp's package (https://developer.hashicorp.com/consul/install), or put the program into /usr/local/bin"},
	"consul-template": {get: "put the program of https://releases.hashicorp.com/consul-template into /usr/local/bin, or set START_CONSUL_TEMPLATE=false"},
	"zookeeper":       {get: "apt-get install zookeeper default-jre-headless"},
	"haproxy":         {get: "apt-get install haproxy"},
	"keepalived":      {get: "apt-get install keepalived"},
	"mesos-master":    {get: retire("Mesos ended with 1.11.0 (2020)", "START_MESOS_MASTER"), retired: true},
	"mesos-agent":     {get: retire("Mesos ended with 1.11.0 (2020)", "START_MESOS_SLAVE"), retired: true},
	"marathon":        {get: retire("Marathon ended in 2021", "START_MARATHON"), retired: true},
	"chronos":         {get: retire("Chronos ended in 2018", "START_CHRONOS"), retired: true},
	"registrator":     {get: retire("Registrator has had no release since 2016", "START_REGISTRATOR"), retired: true},
}

func retire(fact, setting string) string {
	return fmt.Sprintf("set %s=false, or install a build of your own: %s, and no distribution has a package", setting, fact)
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
