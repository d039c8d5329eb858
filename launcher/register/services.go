// Package register makes the daemons of this host known in Consul, under the names and
// with the checks that PanteraS gave them: [Services] says which, and a [Syncer] makes
// the agent of this host agree.
package register

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"

	"panteras/configs"
	"panteras/launcher"
)

// Service is one service as it is to be registered.
type Service struct {
	Name string
	Tags []string
	// Address is as other hosts reach it.
	Address string
	Port    uint16
	// CheckHTTP is a URL and CheckTCP a host:port for the agent to look at; at most one
	// is set. Without one the service counts as passing while it is registered.
	CheckHTTP, CheckTCP string
}

// haproxyTag is what makes the load balancer serve a service by its name.
const haproxyTag = "haproxy"

// Services are those of the daemons that run now. Ports and checks are those of the
// plan's daemons, so that arguments of an operator count.
func Services(s *configs.Settings, daemons []launcher.Daemon, status launcher.Status) []Service {
	running := map[string]bool{}
	for _, d := range status.Daemons {
		running[d.Name] = d.State.Running() && d.State != launcher.StateStopping
	}
	r := registrar{s}
	var list []Service
	for _, d := range daemons {
		if !running[d.Name] {
			continue
		}
		if service, ok := r.service(d); ok {
			list = append(list, service)
		}
	}
	return list
}

// Names are those of the services that daemons of a plan are registered under when they
// run.
func Names(s *configs.Settings, daemons []launcher.Daemon) []string {
	var names []string
	for _, d := range daemons {
		if service, ok := (registrar{s}).service(d); ok && d.Run {
			names = append(names, service.Name)
		}
	}
	return names
}

type registrar struct{ *configs.Settings }

// service is the service of a daemon; ok tells that it has one and that it is wanted.
func (r registrar) service(d launcher.Daemon) (service Service, ok bool) {
	switch d.Name {
	case "consul":
		// A client has no user interface.
		return r.web("consul-ui", d), r.RegisterConsulUI && r.ConsulServer
	case "mesos-master":
		return r.web("mesos", d), r.RegisterMesosMaster
	case "marathon":
		return r.web("marathon", d), r.RegisterMarathon
	case "chronos":
		return r.web("chronos", d), r.RegisterChronos
	case "haproxy":
		service = r.plain("haproxy", r.HAProxyHTTPPort)
		service.CheckTCP = r.local(d.Probe.Address)
		return service, true
	case "keepalived":
		// Other hosts send to it while it runs, well or not.
		service = r.plain(launcher.KeepalivedService, 0)
		service.Tags = []string{addrText(r.KeepalivedVIP)}
		return service, true
	case "dns":
		if len(r.DNSListen) == 0 {
			return service, false
		}
		listen := r.DNSListen[0]
		service = r.plain("panteras-dns", listen.Port())
		service.CheckTCP = net.JoinHostPort(r.reach(listen.Addr()), strconv.Itoa(int(listen.Port())))
		return service, true
	case "tunnel":
		// WireGuard does not answer strangers: there is nothing to check.
		return r.plain("panteras-gateway", r.TunnelPort), true
	}
	return service, false
}

func (r registrar) plain(name string, port uint16) Service {
	return Service{Name: name, Address: addrText(r.HostIP), Port: port}
}

// web is the service of a daemon with a user interface, checked as it is probed.
func (r registrar) web(name string, d launcher.Daemon) Service {
	scheme, port := d.WebUI()
	service := r.plain(name, port)
	if scheme == "https" {
		// HAProxy does not speak TLS to servers, and the agent that looks has no authority
		// to judge a certificate by.
		service.CheckTCP = net.JoinHostPort(r.reach(r.ListenIP), strconv.Itoa(int(port)))
		return service
	}
	where := d.UI
	if where == "" {
		where = d.Probe.URL
	}
	u, err := url.Parse(where)
	if err != nil {
		return service
	}
	service.Tags = []string{haproxyTag}
	u.Host = r.local(u.Host)
	service.CheckHTTP = u.String()
	return service
}

// local is where the agent finds what the launcher finds at an address of its own:
// the agent may have another loopback.
func (r registrar) local(addrPort string) string {
	a, err := netip.ParseAddrPort(addrPort)
	if err != nil {
		return addrPort
	}
	return net.JoinHostPort(r.reach(r.ListenIP), strconv.Itoa(int(a.Port())))
}

// reach is the address by which this host is reached where something listens on a.
func (r registrar) reach(a netip.Addr) string {
	if !a.IsValid() || a.IsUnspecified() {
		return addrText(r.HostIP)
	}
	return a.String()
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
