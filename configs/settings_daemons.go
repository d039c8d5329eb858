package configs

import "net/netip"

// DaemonSettings are the settings that only decide what the host runs and how:
// which daemons, with which arguments, as which user.
type DaemonSettings struct {
	// Master, Slave and Edge are the host's role. The Start fields follow from them
	// unless an operator set them.
	Master, Slave, Edge bool
	StartConsul         bool
	StartZooKeeper      bool
	StartMesosMaster    bool
	StartMarathon       bool
	StartChronos        bool
	// StartConsulTemplate stands for consul-template and HAProxy.
	StartConsulTemplate bool
	StartMesosSlave     bool
	StartRegistrator    bool
	StartTunnel         bool

	// ConsulHosts are the servers to join, each once: host, host:port, or a text
	// with provider= for Consul to look up. ConsulWANHosts are those of other data
	// centres.
	ConsulHosts    []string
	ConsulWANHosts []string
	// ConsulBootstrap are arguments of a server when ConsulHosts is empty.
	ConsulBootstrap []string
	// ConsulServer tells whether Consul runs as a server or as a client.
	ConsulServer bool
	// ConsulDC is the data centre in lower case.
	ConsulDC string

	// ZooKeeperHosts is never empty; ZooKeeperID is this host's position in it,
	// counted from 1, or 0 for a ZooKeeper that is alone.
	ZooKeeperHosts []HostPort
	ZooKeeperID    int
	// MesosMasterQuorum is how many masters must agree.
	MesosMasterQuorum int
	ClusterName       string

	MarathonJavaOpts  []string
	ZooKeeperJavaOpts []string
	ChronosJavaOpts   []string

	// KeepalivedVIP is the zero Addr when there is none.
	KeepalivedVIP netip.Addr
	// KeepalivedPeers are the hosts that share it; nil is those that Consul knows.
	KeepalivedPeers []netip.Addr

	// HAProxyHTTPPort and HAProxyStatsPort are the ports of HTTP services and of the
	// statistics.
	HAProxyHTTPPort, HAProxyStatsPort uint16

	RegisterConsulUI, RegisterMarathon, RegisterMesosMaster, RegisterChronos bool

	// StatusListen is where status page and API listen.
	StatusListen netip.AddrPort

	// Registry is "" or ends with a slash. It and ImageTag are parts of DockerImage,
	// the image of the container that is exported.
	Registry, ImageTag, DockerImage string
	// DockerRestart is a restart policy of Docker.
	DockerRestart string
	// HostDocker lets the container use the host's docker program.
	HostDocker bool
	// GoMaxProcs is 0 where Go is to decide.
	GoMaxProcs int

	Consul, ZooKeeper, MesosMaster, Marathon, Chronos, ConsulTemplate, HAProxy, Keepalived, MesosSlave, Registrator, DNS, Tunnel Process
}

// Process is what can be set for the process of every daemon.
type Process struct {
	// Params are appended to the daemon's arguments.
	Params []string
	// AppParams replace the arguments as a whole, unless empty.
	AppParams []string
	// User is the user it runs as.
	User string
	// NOFile is how many files it may have open.
	NOFile int
}
