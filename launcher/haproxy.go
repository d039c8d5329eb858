package launcher

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	haProxyHTTP  = 80
	haProxyStats = 81
	// haProxyPatience is how long HAProxy waits for consul-template: without a Consul
	// it serves what it served last.
	haProxyPatience = 15 * time.Second
)

// haProxy is HAProxy as a master with workers, so that a reload hands the listening
// sockets over.
func haProxy(b *builder) Daemon {
	config := b.run("haproxy", "haproxy.cfg")
	args := []arg{
		bareArg("-W"),
		spacedArg("-S", b.run("haproxy", "master.sock")+",mode,600"),
		spacedArg("-f", config),
	}
	d := Daemon{
		Name: "haproxy", Run: b.StartConsulTemplate, Because: b.because("START_CONSUL_TEMPLATE", "EDGE", "SLAVE"),
		User: b.HAProxy.User, NOFile: b.HAProxy.NOFile,
		Argv: arguments([]string{"haproxy"}, args, b.HAProxy), Env: b.env(b.state("haproxy"), nil),
		Files: []File{{Path: config, Mode: "0600", Content: b.haProxyConfig()}},
		Probe: Probe{Kind: ProbeTCP, Address: netip.AddrPortFrom(b.probeAddr(), haProxyStats).String()}, After: []string{"consul-template"},
		Stop: Stop{"SIGUSR1", 10}, StopAgain: true, Reload: "SIGUSR2",
		Patience: haProxyPatience,
	}
	d.tcp(b.ListenIP, "START_CONSUL_TEMPLATE", haProxyHTTP, haProxyStats)
	return d
}

// haProxyConfig is what is true without any service: the statistics.
func (b *builder) haProxyConfig() string {
	lines := []string{
		"global",
		"    hard-stop-after 60s",
		"    mworker-max-reloads 10",
		b.haProxyUser() +
			"    stats socket " + b.run("haproxy", "admin.sock") + " mode 600 level admin",
		"",
		"defaults",
		"    mode http",
		"    timeout connect 5s",
		"    timeout client 60s",
		"    timeout server 60s",
		"",
		"listen stats",
		fmt.Sprintf("    bind %s", haProxyBind(b.ListenIP, haProxyStats)),
		"    stats enable",
		"    stats uri /",
	}
	return strings.Join(lines, "\n") + "\n"
}

// haProxyUser makes the workers, which meet strangers, run as a user of their own.
func (b *builder) haProxyUser() string {
	if !slices.Contains(b.facts.Host.Users, "haproxy") {
		return ""
	}
	return "    user haproxy\n    group haproxy\n"
}

// haProxyBind is an address as HAProxy takes it: a port after an IPv6 address needs
// no brackets, and :: takes IPv4 as well.
func haProxyBind(a netip.Addr, port uint16) string {
	text := addrText(a)
	if a == netip.IPv6Unspecified() {
		return fmt.Sprintf("%s:%d v4v6", text, port)
	}
	return fmt.Sprintf("%s:%d", text, port)
}
