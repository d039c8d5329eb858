package launcher

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// keepalivedRouter is the number by which the hosts that share the address know each
// other on their network.
const keepalivedRouter = 111

// keepalived holds KEEPALIVED_VIP on one of the hosts with HAProxy.
func keepalived(b *builder) Daemon {
	config := b.run("keepalived", "keepalived.conf")
	args := []arg{
		bareArg("-n"), bareArg("-l"), bareArg("-D"), bareArg("-P"), bareArg("-G"),
		spacedArg("-f", config),
		spacedArg("-p", b.run("keepalived", "keepalived.pid")),
		spacedArg("-r", b.run("keepalived", "vrrp.pid")),
	}
	d := Daemon{
		Name: "keepalived", Run: b.StartConsulTemplate && b.KeepalivedVIP.IsValid(), Because: b.because("KEEPALIVED_VIP"),
		User: b.Keepalived.User, NOFile: b.Keepalived.NOFile,
		Argv: arguments([]string{"keepalived"}, args, b.Keepalived), Env: b.env(b.state("keepalived"), nil),
		// It tells its readiness to systemd alone (its parent must be process 1).
		Probe: Probe{Kind: ProbeRunning}, After: []string{"haproxy"},
		Stop: Stop{"SIGTERM", 10}, Reload: "SIGHUP",
	}
	if b.KeepalivedVIP.IsValid() {
		d.Files = []File{{Path: config, Mode: "0600", Content: b.keepalivedConfig()}}
		// One that is the host's own is not keepalived's to take away.
		if !slices.Contains([]netip.Addr{b.IP, b.HostIP, b.ListenIP}, b.KeepalivedVIP) {
			d.Floating = Floating{Device: b.keepalivedDevice(), Addr: b.KeepalivedVIP}
		}
		d.Watch = Watch{Daemon: "haproxy", Path: b.trackFile()}
		if !d.Run {
			d.Because = b.because("START_CONSUL_TEMPLATE", "EDGE", "SLAVE")
		}
	}
	return d
}

// keepalivedConfig names the peers where they are known; otherwise the hosts find each
// other by multicast. Nobody takes the address from a host that holds it and is well, which
// it is while its HAProxy is. That keepalived learns from a file: what it finds out about
// processes it finds out in the first namespaces of a machine only, and a weight would not
// make a host with nopreempt let go.
func (b *builder) keepalivedConfig() string {
	device := b.keepalivedDevice()
	lines := []string{
		"global_defs {",
		"    router_id " + b.Hostname,
		"    vrrp_startup_delay 5",
		"}",
		"",
		"track_file haproxy {",
		"    file \"" + b.trackFile() + "\"",
		"    weight 0",
		"}",
		"",
		"vrrp_instance VI {",
		"    interface " + device,
		"    state BACKUP",
		"    nopreempt",
		fmt.Sprintf("    virtual_router_id %d", keepalivedRouter),
		fmt.Sprintf("    priority %d", b.keepalivedPriority()),
		"    advert_int 1",
	}
	lines = append(lines, b.keepalivedPeers()...)
	lines = append(
		lines,
		"    virtual_ipaddress {",
		fmt.Sprintf("        %s/%d dev %s", b.KeepalivedVIP, b.KeepalivedVIP.BitLen(), device),
		"    }",
		"    track_file {",
		"        haproxy",
		"    }",
		"}",
	)
	return strings.Join(lines, "\n") + "\n"
}

// trackFile tells keepalived how HAProxy is; see keepalived.conf(5), Track files.
func (b *builder) trackFile() string { return b.run("keepalived", "haproxy.down") }

// keepalivedPeers are the other hosts of KEEPALIVED_PEERS, or a file that consul-template
// keeps: where keepalived runs for the same address. A host whose HAProxy has failed is
// among them, or it would hear nobody and take the address.
func (b *builder) keepalivedPeers() []string {
	switch {
	case !b.IP.IsValid():
		return nil
	case len(b.KeepalivedPeers) == 0:
		return []string{"    include " + b.peersFile()}
	}
	lines := []string{"    unicast_src_ip " + b.IP.String(), "    unicast_peer {"}
	for _, peer := range b.KeepalivedPeers {
		if peer != b.IP {
			lines = append(lines, "        "+peer.String())
		}
	}
	return append(lines, "    }")
}

// peersFile outlives a start without Consul.
func (b *builder) peersFile() string { return b.state("consul-template", "keepalived-peers.conf") }

// learnsPeers tells that consul-template keeps that file.
func (b *builder) learnsPeers() bool {
	return b.StartConsulTemplate && b.KeepalivedVIP.IsValid() && b.IP.IsValid() && len(b.KeepalivedPeers) == 0
}

// KeepalivedService is the service that hosts with keepalived are registered under, with
// the floating address as a tag.
const KeepalivedService = "panteras-keepalived"

// An address of either family and nothing else: whoever may register a service may write
// anything in its place, and keepalived runs as root.
const (
	octet    = `(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])`
	address4 = `^` + octet + `([.]` + octet + `){3}$`
	address6 = `^[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7}$`
)

// peersTemplate is what consul-template makes the file of. Before it has, the file is
// empty, and hosts find each other by multicast. When Consul knows no other host any more,
// the peer is this host's loopback, which hears nothing: a keepalived that goes back to
// multicast lets go of the address for seconds.
func (b *builder) peersTemplate() string {
	pattern, nobody := address4, "127.0.0.1"
	if b.KeepalivedVIP.Is6() {
		pattern, nobody = address6, "::1"
	}
	return fmt.Sprintf(`{{ range service "%s|any" }}{{ if and (.Tags | contains "%s") (.Address | regexMatch "%s") (ne .Address "%s") }}`+
		`{{ scratch.MapSet "peers" .Address .Address }}{{ end }}{{ end -}}
unicast_src_ip %s
unicast_peer {
{{ with scratch.MapValues "peers" }}{{ range . }}    {{ . }}
{{ end }}{{ else }}    %s
{{ end -}}
}
`, KeepalivedService, b.KeepalivedVIP, pattern, addrText(b.HostIP), b.IP, nobody)
}

// keepalivedDevice is the interface that holds IP, or else the one with the default
// route: a cloud may translate addresses.
func (b *builder) keepalivedDevice() string {
	if device := b.interfaceOf(b.IP); device != "" {
		return device
	}
	return b.facts.Host.DefaultInterface
}

// keepalivedPriority mostly differs between hosts of one network, so that they agree at once
// who goes first; where it does not, VRRP goes by the address (RFC 5798 section 6.4.3).
func (b *builder) keepalivedPriority() int {
	if !b.IP.IsValid() {
		return 100
	}
	octets := b.IP.AsSlice()
	return 100 + int(octets[len(octets)-1])%100
}
