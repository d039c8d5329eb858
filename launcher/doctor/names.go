package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"panteras/internal/resolv"
)

// stopHolder is how to make way for the DNS server, by the name of who holds its port.
var stopHolder = map[string]string{
	"systemd-resolve": "mkdir -p /etc/systemd/resolved.conf.d && printf '[Resolve]\\nDNSStubListener=no\\n' > /etc/systemd/resolved.conf.d/panteras.conf && systemctl restart systemd-resolved",
	"dnsmasq":         "systemctl disable --now dnsmasq",
	"named":           "systemctl disable --now named",
	"unbound":         "systemctl disable --now unbound",
	"pdns_recursor":   "systemctl disable --now pdns-recursor",
	"coredns":         "systemctl disable --now coredns",
}

// port looks for others on the addresses of the DNS server.
func (d *diagnosis) port() {
	if !d.runs("dns") || len(d.DNSListen) == 0 {
		return
	}
	check := fmt.Sprintf("port %d", d.DNSListen[0].Port())
	free, ours := true, false
	var told []string
	for _, h := range d.facts.Held {
		if h.Ours {
			ours = true
			continue
		}
		free = false
		level, beside := Fail, ""
		if !d.DNSListenSet && h.Listen.Addr().IsUnspecified() && !h.By.Addr.Addr().IsUnspecified() {
			level, beside = Warn, "; the DNS server listens on the other addresses"
		}
		message := fmt.Sprintf("%s is held by %s%s", h.Network, h.By, beside)
		if slices.Contains(told, message) {
			continue
		}
		told = append(told, message)
		d.add(check, level, stopFix(h), "%s", message)
	}
	switch {
	case free && ours:
		d.ok(check, "held by panteras")
	case free:
		d.ok(check, "free for the DNS server")
	}
}

func stopFix(h Held) string {
	if fix := stopHolder[h.By.Name]; fix != "" {
		return fix
	}
	if h.By.PID == 0 {
		return fmt.Sprintf("find it with `ss -lnp sport = :%d` as root on the host, stop it, or set DNS_LISTEN", h.Listen.Port())
	}
	return fmt.Sprintf("stop it (`systemctl status %d` names its unit, else kill %d), or set DNS_LISTEN", h.By.PID, h.By.PID)
}

// pointHere is how to ask the DNS server of this host for all names.
const pointHere = "panteras resolvconf install"

// resolvConf looks whether this host asks its own DNS server.
func (d *diagnosis) resolvConf() {
	if !d.runs("dns") {
		return
	}
	const check = "resolv.conf"
	r := d.facts.Resolv
	address, ok := d.DNSAddress()
	switch {
	case !ok:
		d.add(check, Warn, "set DNS_PORT=53, or leave resolv.conf to another server that forwards to this one",
			"the DNS server does not listen on port 53, the only one that resolv.conf knows")
	case r.Err != "":
		d.add(check, Fail, pointHere, "%s", r.Err)
	case len(r.Servers) == 0:
		d.add(check, Warn, pointHere, "/etc/resolv.conf names no server, so this host asks 127.0.0.1")
	case d.isOwn(r.Servers[0]) && len(r.Servers) == 1:
		d.ok(check, "this host asks the DNS server at %s", r.Servers[0])
	case d.isOwn(r.Servers[0]):
		d.ok(check, "this host asks the DNS server at %s, and %s while that does not answer", r.Servers[0], join(r.Servers[1:]))
	case r.Servers[0] == resolv.Stub:
		d.add(check, Warn, pointHere, "it names systemd-resolved (%s), which must forward to the DNS server at %s", resolv.Stub, address)
	default:
		d.add(check, Warn, pointHere, "it points elsewhere: this host asks %s, which does not know Consul's names", join(r.Servers))
	}
}

// isOwn tells whether the DNS server listens at an address that resolv.conf names.
func (d *diagnosis) isOwn(a netip.Addr) bool {
	for _, l := range d.DNSListen {
		switch {
		case l.Port() != 53:
		case l.Addr() == a:
			return true
		case l.Addr().IsUnspecified() && l.Addr().Is4() == a.Is4() && a != resolv.Stub && (a.IsLoopback() || a == d.IP || slices.Contains(d.facts.Addrs, a)):
			return true
		}
	}
	return false
}

// recursors looks for somebody who knows the names that are not Consul's.
func (d *diagnosis) recursors() {
	if !d.runs("dns") {
		return
	}
	const check = "recursors"
	servers, from := d.facts.Resolv.Servers, resolv.File
	if d.facts.Resolv.Copy {
		servers, from = d.facts.Resolv.Before, resolv.Copy
	}
	others := slices.DeleteFunc(slices.Clone(servers), d.isOwn)
	switch {
	case len(d.DNSUpstreams) > 0:
		d.ok(check, "those of DNS_UPSTREAMS")
	case len(others) > 0:
		d.ok(check, "%s (%s)", join(others), from)
	default:
		d.add(check, Fail, "set DNS_UPSTREAMS to your network's DNS servers, such as DNS_UPSTREAMS=9.9.9.9",
			"%s names no server but this host, so names outside Consul cannot be resolved", from)
	}
}

func join(list []netip.Addr) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}
