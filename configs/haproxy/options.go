package haproxy

import (
	"net/netip"
	"slices"
	"strings"

	"panteras/configs"
)

// Options are what a host says about its HAProxy, apart from services.
type Options struct {
	// Listen is where the frontends listen; VIP, if valid, is one more address, which
	// this host may hold or not.
	Listen, VIP netip.Addr
	// HTTPPort and StatsPort are the ports of services and of the statistics.
	HTTPPort, StatsPort uint16
	// Domain and AddDomain are CONSUL_DOMAIN and HAPROXY_ADD_DOMAIN ("" for none).
	Domain, AddDomain string
	// Hosts are the names of this host, for which there is a page of links.
	Hosts []string
	// Links are what that page points to.
	Links []Link
	// Socket is the path of the runtime API's socket.
	Socket string
	// User is the user and the group of the processes that meet strangers; "" leaves
	// them as they are.
	User string
	// Reserved are ports that no service may have, and who has them.
	Reserved map[uint16]string
	// Busy are ports that somebody has right now, and who; they are refused until the
	// next snapshot.
	Busy map[uint16]string
}

// Link is a user interface on this host.
type Link struct {
	Name string
	Port uint16
	// TLS tells that it is one for HTTPS.
	TLS bool
}

// The ports of everything that runs on hosts of the platform, whether on this one or
// not: a service is served at the same port everywhere.
var platformPorts = map[uint16]string{
	22: "SSH", 53: "DNS", 2181: "ZooKeeper", 2888: "ZooKeeper", 3888: "ZooKeeper", 4400: "Chronos", 5050: "the Mesos master",
	5051: "the Mesos agent", 8080: "Marathon", 8300: "Consul", 8301: "Consul", 8302: "Consul", 8400: "Consul", 8500: "Consul",
	8501: "Consul", 8502: "Consul", 8503: "Consul", 8600: "Consul", 9000: "the status page", 9153: "metrics",
}

// Mesos hands these ports to tasks.
const firstMesosPort, lastMesosPort = 31000, 32000

// OptionsOf are the options that settings ask for. Socket lies in RUN_DIR; workers run
// as the user haproxy where users has one. Links have the usual ports of daemons.
func OptionsOf(s *configs.Settings, users []string) Options {
	o := Options{
		Listen: s.ListenIP, VIP: s.KeepalivedVIP,
		HTTPPort: s.HAProxyHTTPPort, StatsPort: s.HAProxyStatsPort,
		Domain: s.ConsulDomain, AddDomain: s.HAProxyAddDomain,
		Socket:   s.RunDir + "/haproxy/admin.sock",
		Reserved: map[uint16]string{s.StatusListen.Port(): "the status page", s.DNSPort: "DNS"},
	}
	if !o.Listen.IsValid() {
		o.Listen = netip.IPv4Unspecified()
	}
	if slices.Contains(users, "haproxy") {
		o.User = "haproxy"
	}
	for _, name := range []string{"localhost", "127.0.0.1", "[::1]", s.Hostname, s.FQDN} {
		o.addHost(name)
	}
	for _, a := range []netip.Addr{s.IP, s.HostIP, s.KeepalivedVIP} {
		switch {
		case a.Is4():
			o.addHost(a.String())
		case a.IsValid():
			o.addHost("[" + a.String() + "]")
		}
	}
	for _, link := range []struct {
		runs bool
		Link
	}{
		{s.StartConsul && s.ConsulServer, Link{Name: "Consul", Port: 8500}},
		{s.StartMarathon, Link{Name: "Marathon", Port: 8080}},
		{s.StartMesosMaster, Link{Name: "Mesos", Port: 5050}},
		{s.StartChronos, Link{Name: "Chronos", Port: 4400}},
		{true, Link{Name: "HAProxy", Port: s.HAProxyStatsPort}},
		{true, Link{Name: "Status", Port: s.StatusListen.Port()}},
	} {
		if link.runs {
			o.Links = append(o.Links, link.Link)
		}
	}
	return o
}

func (o *Options) addHost(name string) {
	if name = strings.ToLower(name); name != "" && !slices.Contains(o.Hosts, name) {
		o.Hosts = append(o.Hosts, name)
	}
}

// holder says who has a port that no service may have.
func (o *Options) holder(port uint16) (who string, held bool) {
	switch port {
	case o.HTTPPort, o.StatsPort, 80, 81:
		return "HAProxy itself", true
	}
	if port >= firstMesosPort && port <= lastMesosPort {
		return "Mesos, which hands it to tasks", true
	}
	for _, ports := range []map[uint16]string{platformPorts, o.Reserved, o.Busy} {
		if who, held = ports[port]; held {
			return who, true
		}
	}
	return "", false
}
