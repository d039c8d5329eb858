package launcher

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"panteras/configs"
)

// findings are those of the settings, and what is wrong with the plan that they make:
// errors first. What follows from a setting that could not be read is left out.
func (b *builder) findings(daemons []Daemon) []configs.Finding {
	c := &checker{builder: b, daemons: daemons}
	c.checkAddress()
	c.checkConsul()
	c.checkZooKeeper()
	c.checkQuorum()
	c.checkKeepalived()
	c.checkTunnel()
	c.checkPorts()
	c.checkProcesses()

	list := slices.Clone(b.loaded.Findings)
	for _, f := range c.found {
		if !slices.ContainsFunc(b.loaded.Findings, func(known configs.Finding) bool {
			return known.Level == configs.LevelError && known.Setting == f.Setting
		}) {
			list = append(list, f)
		}
	}
	rank := map[string]int{configs.LevelError: 0, configs.LevelWarning: 1}
	slices.SortStableFunc(list, func(x, y configs.Finding) int { return rank[x.Level] - rank[y.Level] })
	return list
}

// checker collects what is wrong with a plan.
type checker struct {
	*builder
	daemons []Daemon
	found   []configs.Finding
}

// errorf and warnf record a finding about a setting. The message begins with the
// setting, where its value stands and what that is.
func (c *checker) errorf(setting, format string, args ...any) {
	c.record(configs.LevelError, setting, format, args)
}

func (c *checker) warnf(setting, format string, args ...any) {
	c.record(configs.LevelWarning, setting, format, args)
}

func (c *checker) record(level, setting, format string, args []any) {
	o := c.origins[setting]
	subject := fmt.Sprintf("%s: %s=%q ", o.Origin, setting, o.Shown())
	if o.Value == "" {
		subject = setting + " is empty, "
	}
	c.found = append(c.found, configs.Finding{Level: level, Setting: setting, Message: subject + fmt.Sprintf(format, args...)})
}

func (c *checker) runs(name string) bool {
	return slices.ContainsFunc(c.daemons, func(d Daemon) bool { return d.Name == name && d.Run })
}

// checkAddress finds a host that does not know its own address. Most daemons tell it
// to others.
func (c *checker) checkAddress() {
	if !c.IP.IsValid() && slices.ContainsFunc([]string{"consul", "mesos-master", "mesos-agent", "registrator"}, c.runs) {
		c.errorf("IP", "because no interface with a default route shows this host's address; set IP to the address by which other hosts reach this one")
	}
}

func (c *checker) checkConsul() {
	if !c.runs("consul") || len(c.Consul.AppParams) > 0 {
		return
	}
	c.checkConsulAPI()
	if !c.ConsulServer {
		client := c.because("CONSUL_MODE", "MASTER")
		if len(c.ConsulHosts) == 0 && !c.joins() {
			c.errorf("CONSUL_HOSTS", `but Consul is a client here, because of %s, and a client has to join servers; list all servers, such as CONSUL_HOSTS="10.0.0.1 10.0.0.2 10.0.0.3"`, client)
		}
		for _, name := range []string{"bootstrap-expect", "bootstrap"} {
			if _, ok := option(c.Consul.Params, name); ok {
				c.errorf("CONSUL_PARAMS", "holds -%s, which only a server takes, but Consul is a client here, because of %s; remove it, or set CONSUL_MODE=-server", name, client)
			}
		}
		return
	}
	if c.looksUpHosts() && !c.setsBootstrap() {
		c.errorf("CONSUL_HOSTS", "leaves open how many servers there are; say so with CONSUL_PARAMS=-bootstrap-expect=3")
	}
	if n := len(c.ConsulHosts); n > 0 && n%2 == 0 && !c.looksUpHosts() {
		c.warnf("CONSUL_HOSTS", "lists %d servers, of which no more may fail than of %d; list %d or %d", n, n-1, n-1, n+1)
	}
}

// joins tells that CONSUL_PARAMS name servers to join.
func (c *checker) joins() bool {
	return slices.ContainsFunc([]string{"join", "retry-join", "config-file", "config-dir"}, func(name string) bool {
		_, ok := option(c.Consul.Params, name)
		return ok
	})
}

func (c *checker) checkZooKeeper() {
	n := len(c.ZooKeeperHosts)
	if !c.runs("zookeeper") {
		if c.runs("mesos-agent") && !c.loaded.Given("ZOOKEEPER_HOSTS") {
			c.warnf("ZOOKEEPER_HOSTS", "but no ZooKeeper runs on this host, so the Mesos agent finds no master; list the masters, such as ZOOKEEPER_HOSTS=10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181")
		}
		return
	}
	if len(c.ZooKeeper.AppParams) > 0 {
		return
	}
	positions := c.zooKeeperPositions()
	own := slices.Index(positions, true) + 1
	advice := fmt.Sprintf("set ZOOKEEPER_ID to this host's position in ZOOKEEPER_HOSTS, 1 to %d", n)
	if own > 0 {
		advice = fmt.Sprintf("set ZOOKEEPER_ID=%d, the position of %s in ZOOKEEPER_HOSTS", own, c.ZooKeeperHosts[own-1])
	}
	switch id := c.ZooKeeperID; {
	case id == 0 && n > 1:
		c.errorf("ZOOKEEPER_ID", "makes this ZooKeeper stand alone, although ZOOKEEPER_HOSTS lists %d servers: every one of them would be its own cluster (split brain); %s", n, advice)
	case id > n:
		c.errorf("ZOOKEEPER_ID", "is out of range, because ZOOKEEPER_HOSTS lists %d; %s", n, advice)
	case id > 0 && !positions[id-1] && (own > 0 || c.isForeign(c.ZooKeeperHosts[id-1])):
		c.errorf("ZOOKEEPER_ID", "is the position of %s, which is not this host (IP %s, HOSTNAME %s); %s", c.ZooKeeperHosts[id-1], addrText(c.IP), c.Hostname, advice)
	}
	if n%2 == 0 {
		c.warnf("ZOOKEEPER_HOSTS", "lists %d servers, of which no more may fail than of %d; list %d or %d, unless you are on the way from one to the other", n, n-1, n-1, n+1)
	}
}

// isForeign tells that a server is another host for sure: names may stand for this one.
func (c *checker) isForeign(h configs.HostPort) bool {
	a, err := netip.ParseAddr(h.Host)
	return err == nil && !c.isOwn(a)
}

func (c *checker) checkQuorum() {
	n, q := len(c.ZooKeeperHosts), c.MesosMasterQuorum
	if !c.runs("mesos-master") || len(c.MesosMaster.AppParams) > 0 {
		return
	}
	switch {
	case q <= n/2:
		c.errorf("MESOS_MASTER_QUORUM", "is too small for %d masters (ZOOKEEPER_HOSTS), because two parts of the cluster could each have a leader; set MESOS_MASTER_QUORUM=%d", n, n/2+1)
	case q > n:
		c.errorf("MESOS_MASTER_QUORUM", "is too large, because there are only %s (ZOOKEEPER_HOSTS) and no leader could ever be elected; set MESOS_MASTER_QUORUM=%d", count(n, "master"), n/2+1)
	}
}

func (c *checker) checkKeepalived() {
	if !c.runs("keepalived") {
		return
	}
	vip := c.KeepalivedVIP
	switch {
	case vip.IsUnspecified() || vip.IsLoopback() || vip.IsMulticast():
		c.errorf("KEEPALIVED_VIP", "is no address that hosts can hand over; set KEEPALIVED_VIP to a free address of their network")
	case vip == c.IP:
		c.errorf("KEEPALIVED_VIP", "is this host's own address (IP); set KEEPALIVED_VIP to a free address of its network")
	case c.keepalivedDevice() == "":
		c.warnf("KEEPALIVED_VIP", "needs the interface that holds IP, and none of this host holds %q; set IP to an address of this host, or leave KEEPALIVED_VIP empty", addrText(c.IP))
	case c.interfaceOf(c.IP) == "":
		c.warnf("KEEPALIVED_VIP", "goes to %s, the interface with the default route, because none holds %q; set IP to an address of this host", c.keepalivedDevice(), addrText(c.IP))
	}
}

func (c *checker) checkTunnel() {
	if c.StartTunnel && c.TunnelEndpoint == "" {
		c.errorf("TUNNEL_ENDPOINT", "but %s; set TUNNEL_ENDPOINT to the host[:port] that clients dial", c.because("START_TUNNEL"))
	}
}

// processOf are the common settings of each daemon: the prefix of their names, and
// their values.
var processOf = map[string]struct {
	prefix string
	at     func(*configs.Settings) configs.Process
}{
	"consul":          {"CONSUL", func(s *configs.Settings) configs.Process { return s.Consul }},
	"zookeeper":       {"ZOOKEEPER", func(s *configs.Settings) configs.Process { return s.ZooKeeper }},
	"mesos-master":    {"MESOS_MASTER", func(s *configs.Settings) configs.Process { return s.MesosMaster }},
	"marathon":        {"MARATHON", func(s *configs.Settings) configs.Process { return s.Marathon }},
	"chronos":         {"CHRONOS", func(s *configs.Settings) configs.Process { return s.Chronos }},
	"consul-template": {"CONSUL_TEMPLATE", func(s *configs.Settings) configs.Process { return s.ConsulTemplate }},
	"haproxy":         {"HAPROXY", func(s *configs.Settings) configs.Process { return s.HAProxy }},
	"keepalived":      {"KEEPALIVED", func(s *configs.Settings) configs.Process { return s.Keepalived }},
	"mesos-agent":     {"MESOS_SLAVE", func(s *configs.Settings) configs.Process { return s.MesosSlave }},
	"registrator":     {"REGISTRATOR", func(s *configs.Settings) configs.Process { return s.Registrator }},
	"dns":             {"DNS", func(s *configs.Settings) configs.Process { return s.DNS }},
	"tunnel":          {"TUNNEL", func(s *configs.Settings) configs.Process { return s.Tunnel }},
}

// checkProcesses looks at users that do not exist and at secrets among arguments.
func (c *checker) checkProcesses() {
	for _, d := range c.daemons {
		if !d.Run {
			continue
		}
		prefix := processOf[d.Name].prefix
		users := c.facts.Host.Users
		if name := prefix + "_USER"; c.loaded.Given(name) && len(users) > 0 && !slices.Contains(users, d.User) && strings.Trim(d.User, "0123456789") != "" {
			c.warnf(name, "names a user that /etc/passwd does not know; create it, or set %s to one that exists", name)
		}
		if !slices.Equal(configs.MaskWords(d.Argv), d.Argv) {
			setting := prefix + "_PARAMS"
			if c.loaded.Given(prefix + "_APP_PARAMS") {
				setting = prefix + "_APP_PARAMS"
			}
			c.warnf(setting, "holds a secret, and everybody on the host can read the arguments of %s; put the secret into a file and name that", d.Name)
		}
	}
	if c.runs("registrator") && c.ConsulHTTPTokenFile != "" {
		c.warnf("CONSUL_HTTP_TOKEN_FILE", "is nothing that Registrator can read, so it has no token; set CONSUL_HTTP_TOKEN instead")
	}
}

// count is a number and a noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
