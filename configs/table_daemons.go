package configs

import "net/netip"

// zooKeeperPort is the port of a ZooKeeper that names none.
const zooKeeperPort = 2181

// daemonRows are the settings that only decide what the host runs and how.
func daemonRows() []Setting {
	rows := []Setting{
		start("MASTER", "true", "This host is a master: ZooKeeper, Mesos master, Marathon and Chronos run here, and Consul is a server.", func(s *Settings) *bool { return &s.Master }),
		start("SLAVE", "true", "This host is a slave: Mesos agent and Registrator run here.", func(s *Settings) *bool { return &s.Slave }),
		start("EDGE", "`SLAVE`", "This host balances load: consul-template, HAProxy and, with `KEEPALIVED_VIP`, keepalived run here.", func(s *Settings) *bool { return &s.Edge }),
		start("START_CONSUL", "true", "Run Consul, whatever the role.", func(s *Settings) *bool { return &s.StartConsul }),
		start("START_ZOOKEEPER", "`MASTER`", "Run ZooKeeper, whatever the role.", func(s *Settings) *bool { return &s.StartZooKeeper }),
		start("START_MESOS_MASTER", "`MASTER`", "Run the Mesos master, whatever the role.", func(s *Settings) *bool { return &s.StartMesosMaster }),
		start("START_MARATHON", "`MASTER`", "Run Marathon, whatever the role.", func(s *Settings) *bool { return &s.StartMarathon }),
		start("START_CHRONOS", "`MASTER`", "Run Chronos, whatever the role.", func(s *Settings) *bool { return &s.StartChronos }),
		start("START_CONSUL_TEMPLATE", "`EDGE`", "Run consul-template, HAProxy and, with `KEEPALIVED_VIP`, keepalived, whatever the role.", func(s *Settings) *bool { return &s.StartConsulTemplate }),
		start("START_MESOS_SLAVE", "`SLAVE`", "Run the Mesos agent, whatever the role.", func(s *Settings) *bool { return &s.StartMesosSlave }),
		start("START_REGISTRATOR", "`SLAVE`", "Run Registrator, whatever the role.", func(s *Settings) *bool { return &s.StartRegistrator }),
		start("START_TUNNEL", "true when `TUNNEL_ENDPOINT` is set", "Run the tunnel's gateway.", func(s *Settings) *bool { return &s.StartTunnel }),
		{
			Name:   "CONSUL_HOSTS",
			Help:   "All Consul servers to join, separated by blanks: bare hosts, or -join=HOST or -retry-join=HOST as PanteraS had it. A server expects as many servers as are listed, unless `CONSUL_PARAMS` says otherwise.",
			value:  in(func(s *Settings) *[]string { return &s.ConsulHosts }, joined("join", "retry-join")),
			derive: keepZero,
		},
		{
			Name:   "CONSUL_WAN_HOSTS",
			Help:   "Consul servers of other data centres, which the servers of this one join; written like `CONSUL_HOSTS`.",
			value:  in(func(s *Settings) *[]string { return &s.ConsulWANHosts }, joined("join-wan", "retry-join-wan", "join", "retry-join")),
			derive: keepZero,
		},
		{
			Name: "CONSUL_BOOTSTRAP", Default: "-bootstrap-expect 1",
			Help:  "Arguments of a Consul server where `CONSUL_HOSTS` is empty.",
			value: in(func(s *Settings) *[]string { return &s.ConsulBootstrap }, words),
		},
		{
			Name: "CONSUL_MODE", Default: "-server where `MASTER` is true, else a blank",
			Help:      "Whether Consul is a server; a single blank makes it a client.",
			value:     in(func(s *Settings) *bool { return &s.ConsulServer }, consulMode),
			derive:    func(r *resolution) { r.ConsulServer = r.Master },
			keepBlank: true,
		},
		{
			Name: "CONSUL_DC", Default: "dc1",
			Help:  "The data centre. Consul takes capitals for small letters.",
			value: in(func(s *Settings) *string { return &s.ConsulDC }, dataCentre),
		},
		{
			Name: "ZOOKEEPER_HOSTS", Default: "`HOSTNAME` at port 2181",
			Help:  "All ZooKeeper servers: a comma list of host[:port], in the same order on every host.",
			value: in(func(s *Settings) *[]HostPort { return &s.ZooKeeperHosts }, ensemble),
			derive: func(r *resolution) {
				r.ZooKeeperHosts = []HostPort{{Host: r.Hostname, Port: zooKeeperPort}}
			},
		},
		{
			Name: "ZOOKEEPER_ID", Default: "0",
			Help:  "This host's position in `ZOOKEEPER_HOSTS`, counted from 1; 0 where ZooKeeper is alone.",
			value: in(func(s *Settings) *int { return &s.ZooKeeperID }, number("position", 0, 255)),
		},
		{
			Name: "MESOS_MASTER_QUORUM", Default: "more than half of `ZOOKEEPER_HOSTS`",
			Help:   "How many Mesos masters must agree: more than half of them.",
			value:  in(func(s *Settings) *int { return &s.MesosMasterQuorum }, number("masters", 1, 255)),
			derive: func(r *resolution) { r.MesosMasterQuorum = len(r.ZooKeeperHosts)/2 + 1 },
		},
		{
			Name: "CLUSTER_NAME", Default: "mesoscluster",
			Help:  "The name that Mesos shows.",
			value: in(func(s *Settings) *string { return &s.ClusterName }, clusterName),
		},
		javaOpts("MARATHON", "Marathon", func(s *Settings) *[]string { return &s.MarathonJavaOpts }),
		javaOpts("ZOOKEEPER", "ZooKeeper", func(s *Settings) *[]string { return &s.ZooKeeperJavaOpts }),
		javaOpts("CHRONOS", "Chronos", func(s *Settings) *[]string { return &s.ChronosJavaOpts }),
		{
			Name:   "KEEPALIVED_VIP",
			Help:   "A floating address that one of the hosts with HAProxy holds. Without it keepalived does not run.",
			value:  in(func(s *Settings) *netip.Addr { return &s.KeepalivedVIP }, address),
			derive: keepZero,
		},
		{
			Name:  "KEEPALIVED_PEERS",
			Help:  "The addresses of all hosts that share `KEEPALIVED_VIP`: a comma list, the same on each. Unless set they are the hosts that Consul knows with the same `KEEPALIVED_VIP`.",
			value: in(func(s *Settings) *[]netip.Addr { return &s.KeepalivedPeers }, addresses),
		},
		{
			Name: "HAPROXY_HTTP_PORT", Default: "80",
			Help:  "The port at which HAProxy serves HTTP services.",
			value: in(func(s *Settings) *uint16 { return &s.HAProxyHTTPPort }, port),
		},
		{
			Name: "HAPROXY_STATS_PORT", Default: "81",
			Help:  "The port of HAProxy's statistics.",
			value: in(func(s *Settings) *uint16 { return &s.HAProxyStatsPort }, port),
		},
		register("CONSUL_UI", "Consul's user interface", func(s *Settings) *bool { return &s.RegisterConsulUI }),
		register("MARATHON", "Marathon", func(s *Settings) *bool { return &s.RegisterMarathon }),
		register("MESOS_MASTER", "the Mesos master", func(s *Settings) *bool { return &s.RegisterMesosMaster }),
		register("CHRONOS", "Chronos", func(s *Settings) *bool { return &s.RegisterChronos }),
		{
			Name: "STATUS_LISTEN", Default: "127.0.0.1:9000",
			Help:  "Where status page and API listen.",
			value: in(func(s *Settings) *netip.AddrPort { return &s.StatusListen }, listenPoint),
		},
	}
	for _, d := range processes {
		rows = append(rows, processRows(d)...)
	}
	rows = append(rows, imageRows()...)
	for _, name := range []string{"DNSMASQ_PARAMS", "DNSMASQ_APP_PARAMS"} {
		rows = append(rows, Setting{Name: name, Help: "Known from PanteraS and accepted; it has no effect.", value: optOut{}})
	}
	for i := range rows {
		rows[i].Group = GroupDaemons
	}
	return rows
}

// start is a row that says whether something runs here. A default in backquotes
// is another setting's value.
func start(name, byDefault, help string, at func(*Settings) *bool) Setting {
	s := Setting{Name: name, Default: byDefault, Help: help, value: in(at, boolean)}
	switch byDefault {
	case "`MASTER`":
		s.derive = func(r *resolution) { *at(&r.Settings) = r.Master }
	case "`SLAVE`":
		s.derive = func(r *resolution) { *at(&r.Settings) = r.Slave }
	case "`EDGE`":
		s.derive = func(r *resolution) { *at(&r.Settings) = r.Edge }
	case "true when `TUNNEL_ENDPOINT` is set":
		s.derive = func(r *resolution) { *at(&r.Settings) = r.TunnelEndpoint != "" }
	}
	return s
}

func javaOpts(prefix, program string, at func(*Settings) *[]string) Setting {
	return Setting{Name: prefix + "_JAVA_OPTS", Default: "-Xmx512m", Help: "Arguments of the Java machine that runs " + program + ".", value: in(at, words)}
}

func register(suffix, what string, at func(*Settings) *bool) Setting {
	return Setting{Name: "REGISTER_" + suffix, Default: "true", Help: "Register " + what + " in Consul.", value: in(at, boolean)}
}

func dir(name, byDefault, help string, at func(*Settings) *string) Setting {
	return Setting{Name: name, Default: byDefault, Help: help, value: in(at, folder)}
}
