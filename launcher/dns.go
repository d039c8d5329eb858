package launcher

import (
	"net/netip"
	"slices"
	"strings"

	"panteras/configs"
)

// dns is the DNS server of this program.
func dns(b *builder) Daemon {
	metrics, more := b.metrics("dns", "METRICS_LISTEN", b.MetricsListen)
	d := b.own("dns", "dns", b.DNS, []configs.Group{configs.GroupCommon}, more...)
	d.Metrics = metrics
	d.Run, d.Because = b.StartDNS, b.because("START_DNS")
	for _, a := range b.DNSListen {
		setting := "DNS_PORT"
		if b.DNSListenSet {
			setting = "DNS_LISTEN"
		}
		d.tcp(a.Addr(), setting, a.Port())
		d.udp(a.Addr(), setting, a.Port())
		d.Sockets = append(d.Sockets, Socket{Addr: a, TCP: true})
	}
	d.Overlaps = true
	d.Capabilities = []string{"CAP_NET_BIND_SERVICE"} // for addresses that appear later
	if a, err := netip.ParseAddrPort(metrics); err == nil && a.Port() != 0 {
		d.tcp(a.Addr(), "METRICS_LISTEN", a.Port())
	}
	return d
}

// own is a daemon that is a command of this program and needs groups of settings. It
// cannot read the operator's files, which may be root's alone, so it finds the settings
// that were given in a file of its own, and behind them those that the launcher gives it,
// a line each. Writing that anew and SIGHUP change them.
func (b *builder) own(name, command string, p configs.Process, groups []configs.Group, more ...string) Daemon {
	args := []arg{spacedArg("--restricted", b.run(name))}
	return Daemon{
		Name: name, User: p.User, NOFile: p.NOFile,
		Argv: arguments([]string{b.facts.Self, command}, args, p), Env: b.ownEnv("/"),
		Files: []File{{Path: b.run(name, "host"), Mode: "0600", Content: b.givenSettings(groups) + strings.Join(more, "")}},
		Probe: Probe{Kind: ProbeNotify},
		Stop:  Stop{"SIGTERM", 10}, Reload: "SIGHUP", Self: true,
	}
}

// metrics is where a daemon that is this program has its metrics, and what its settings
// lack for that: unless the setting was given, at a socket for the launcher, which
// serves those of all. They are off where RUN_DIR leaves no room for a socket.
func (b *builder) metrics(name, setting, listen string) (where string, more []string) {
	if b.loaded.Given(setting) {
		return listen, nil
	}
	where = "off"
	if path := b.run(name, "metrics.sock"); len(path) <= configs.LongestSocket {
		where = "unix:" + path
	}
	return where, []string{setting + "=" + configs.QuoteWord(where) + "\n"}
}

// givenSettings is a settings file with everything of the groups that is not a default.
func (b *builder) givenSettings(groups []configs.Group) string {
	var text strings.Builder
	for _, s := range configs.All() {
		o := b.origins[s.Name]
		if slices.Contains(groups, s.Group) && s.AliasOf == "" && b.loaded.Given(s.Name) && o.Value != "" {
			text.WriteString(s.Name + "=" + configs.QuoteWord(o.Value) + "\n")
		}
	}
	return text.String()
}
