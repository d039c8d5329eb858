package launcher

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"panteras/configs"
	"panteras/configs/haproxy"
)

// haProxyPatience is how long HAProxy waits for consul-template: without a Consul
// it serves what it served last.
const haProxyPatience = 15 * time.Second

// haProxy is HAProxy as a master with workers, so that a reload hands the listening
// sockets over.
func haProxy(b *builder) Daemon {
	config := b.state("haproxy", haproxy.ConfigFile)
	args := []arg{
		bareArg("-W"),
		spacedArg("-S", b.run("haproxy", "master.sock")+",mode,600"),
		spacedArg("-f", config),
	}
	d := Daemon{
		Name: "haproxy", Run: b.StartConsulTemplate, Because: b.because("START_CONSUL_TEMPLATE", "EDGE", "SLAVE"),
		User: b.HAProxy.User, NOFile: b.HAProxy.NOFile,
		Argv: arguments([]string{"haproxy"}, args, b.HAProxy), Env: b.env(b.state("haproxy"), nil),
		Files: b.haProxyFiles(),
		Probe: Probe{Kind: ProbeTCP, Address: netip.AddrPortFrom(b.probeAddr(), b.HAProxyStatsPort).String()}, After: []string{"consul-template"},
		Stop: Stop{"SIGUSR1", 10}, StopAgain: true, Reload: "SIGUSR2",
		Patience: haProxyPatience,
	}
	d.tcp(b.ListenIP, "HAPROXY_HTTP_PORT", b.HAProxyHTTPPort)
	d.tcp(b.ListenIP, "HAPROXY_STATS_PORT", b.HAProxyStatsPort)
	return d
}

// haProxyFiles are what HAProxy begins with: a configuration without services. Those
// in place stay, because they are the last good ones.
func (b *builder) haProxyFiles() []File {
	config := haproxy.Render(nil, b.haProxyOptions(), nil)
	var files []File
	for _, name := range slices.Sorted(maps.Keys(config.Files)) {
		files = append(files, File{Path: b.state("haproxy", name), Mode: "0600", Content: config.Files[name], Keep: true})
	}
	return files
}

// HAProxyOptions are what a host says about its HAProxy, with links to the ports that the
// arguments of its daemons give them.
func HAProxyOptions(loaded *configs.Loaded, host configs.HostFacts) haproxy.Options {
	return newBuilder(loaded, Facts{Host: host}).haProxyOptions()
}

func (b *builder) haProxyOptions() haproxy.Options {
	o := haproxy.OptionsOf(b.Settings, b.facts.Host.Users)
	daemons := map[string]func(*builder) Daemon{"Consul": consul, "Marathon": marathon, "Mesos": mesosMaster, "Chronos": chronos}
	for i := range o.Links {
		link := &o.Links[i]
		daemon, ok := daemons[link.Name]
		if !ok {
			continue
		}
		d := daemon(b)
		if scheme, port := d.WebUI(); port != 0 {
			link.Port, link.TLS = port, scheme == "https"
		}
	}
	return o
}
