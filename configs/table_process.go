package configs

import "slices"

// process is a daemon's prefix in the names of settings, and where its settings are.
type process struct {
	prefix, name string
	// user is the user it runs as if that one exists, otherwise the fallback.
	user, fallback string
	at             func(*Settings) *Process
}

const root = "root"

// processes are in the order in which plans list the daemons.
var processes = []process{
	{"CONSUL", "Consul", "consul", root, func(s *Settings) *Process { return &s.Consul }},
	{"ZOOKEEPER", "ZooKeeper", "zookeeper", root, func(s *Settings) *Process { return &s.ZooKeeper }},
	{"MESOS_MASTER", "the Mesos master", root, root, func(s *Settings) *Process { return &s.MesosMaster }},
	{"MARATHON", "Marathon", "marathon", root, func(s *Settings) *Process { return &s.Marathon }},
	{"CHRONOS", "Chronos", "chronos", root, func(s *Settings) *Process { return &s.Chronos }},
	{"CONSUL_TEMPLATE", "consul-template", root, root, func(s *Settings) *Process { return &s.ConsulTemplate }},
	{"HAPROXY", "HAProxy", root, root, func(s *Settings) *Process { return &s.HAProxy }},
	{"KEEPALIVED", "keepalived", root, root, func(s *Settings) *Process { return &s.Keepalived }},
	{"MESOS_SLAVE", "the Mesos agent", root, root, func(s *Settings) *Process { return &s.MesosSlave }},
	{"REGISTRATOR", "Registrator", root, root, func(s *Settings) *Process { return &s.Registrator }},
	{"DNS", "the DNS server", "panteras", "nobody", func(s *Settings) *Process { return &s.DNS }},
	{"TUNNEL", "the tunnel's gateway", root, root, func(s *Settings) *Process { return &s.Tunnel }},
}

// processRows are the settings that every daemon has.
func processRows(p process) []Setting {
	runsAs := Setting{
		Name: p.prefix + "_USER", Default: p.user,
		Help:  "The user that " + p.name + " runs as.",
		value: in(func(s *Settings) *string { return &p.at(s).User }, user),
	}
	if p.user != p.fallback {
		runsAs.Default = p.user + " if that user exists, else " + p.fallback
		runsAs.derive = func(r *resolution) {
			p.at(&r.Settings).User = p.fallback
			if slices.Contains(r.host.Users, p.user) {
				p.at(&r.Settings).User = p.user
			}
		}
	}
	return []Setting{
		{
			Name: p.prefix + "_PARAMS",
			Help: "Arguments appended to those of " + p.name + ".",
			value: in(func(s *Settings) *[]string {
				return &p.at(s).Params
			}, words),
		},
		{
			Name: p.prefix + "_APP_PARAMS",
			Help: "Arguments that replace those of " + p.name + " as a whole.",
			value: in(func(s *Settings) *[]string {
				return &p.at(s).AppParams
			}, words),
		},
		runsAs,
		{
			Name: p.prefix + "_NOFILE", Default: "65536",
			Help: "How many files " + p.name + " may have open.",
			value: in(func(s *Settings) *int {
				return &p.at(s).NOFile
			}, number("files", 64, 1<<20)),
		},
	}
}
