package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// tunnel looks for what a gateway needs.
func (d *diagnosis) tunnel() {
	if !d.runs("tunnel") {
		return
	}
	d.tunnelDatapath()
	d.tunnelForwarding()
	d.tunnelPort()
	d.tunnelKey()
}

const tunFix = "modprobe tun; in a container, give it the device: --device /dev/net/tun"

// tunnelDatapath looks at what can encrypt here. That a kernel has not loaded WireGuard
// does not say that it has none.
func (d *diagnosis) tunnelDatapath() {
	const device, datapath = "/dev/net/tun", "datapath"
	t := d.facts.Tunnel
	switch {
	case d.TunnelDatapath == "kernel":
		if t.Kernel {
			d.ok(datapath, "WireGuard is loaded in the kernel")
		} else {
			d.add(datapath, Warn, "modprobe wireguard, or set TUNNEL_DATAPATH=auto", "TUNNEL_DATAPATH=kernel, and WireGuard is not loaded in the kernel; it may be built in")
		}
		return // it needs no device
	case t.Device == "":
		d.ok(device, "can be opened")
	case t.Kernel && d.TunnelDatapath != "userspace":
		d.add(device, Warn, tunFix, "%s; the gateway has WireGuard in the kernel and only misses it if that fails", t.Device)
	case d.TunnelDatapath == "userspace":
		d.add(device, Fail, tunFix, "%s, and TUNNEL_DATAPATH=userspace needs it", t.Device)
	default:
		d.add(device, Fail, tunFix, "%s, and WireGuard is not loaded in the kernel", t.Device)
	}
	if t.Kernel && d.TunnelDatapath != "userspace" {
		d.ok(datapath, "the kernel's WireGuard")
	} else {
		d.ok(datapath, "this program's WireGuard, unless the kernel has it after all")
	}
}

func (d *diagnosis) tunnelForwarding() {
	const forward = "ip_forward"
	t := d.facts.Tunnel
	for _, family := range []struct {
		on      bool
		name    string
		setting string
	}{{t.Forward4, "IPv4", "net.ipv4.ip_forward"}, {t.Forward6, "IPv6", "net.ipv6.conf.all.forwarding"}} {
		switch {
		case family.on:
			d.ok(forward, "%s is forwarded", family.name)
		case family.name == "IPv6" && !d.TunnelCIDR6.IsValid():
		default:
			d.add(forward, Warn, fmt.Sprintf("sysctl -w %s=1 && echo '%s = 1' > /etc/sysctl.d/90-panteras-%s.conf", family.setting, family.setting, strings.ToLower(family.name)),
				"%s is not forwarded; a gateway that may not change that reaches nothing but this host", family.name)
		}
	}
}

// tunnelPort looks for others on the port that clients send to. Where the interface is
// there, whoever serves it is the one that a gateway takes over.
func (d *diagnosis) tunnelPort() {
	check := fmt.Sprintf("port %d", d.TunnelPort)
	held, ours := d.facts.Tunnel.Port, d.facts.Tunnel.Interface
	others := slices.DeleteFunc(slices.Clone(held), func(h Held) bool { return h.Ours })
	switch {
	case ours:
		d.ok(check, "the interface %s is there, and has it or is going to", d.TunnelInterface)
	case len(others) > 0:
		d.add(check, Fail, fmt.Sprintf("stop it (`ss -lunp sport = :%d` shows it), or set TUNNEL_PORT, and the port of TUNNEL_ENDPOINT where that names one", d.TunnelPort),
			"udp is held by %s", others[0].By)
	case len(held) > 0:
		d.ok(check, "held by panteras")
	default:
		d.ok(check, "free for the gateway")
	}
}

// tunnelKey looks whether the gateway's key is its own. A file that others may read is one
// that the gateway refuses.
func (d *diagnosis) tunnelKey() {
	const check = "gateway key"
	switch k := d.facts.Tunnel.Key; {
	case k.Err != "" && !d.facts.Root:
		d.add(check, Warn, "run it as root: sudo panteras doctor", "only root can look at %s", k.Path)
	case k.Err != "":
		d.add(check, Fail, "look at the folders above it: namei -l "+k.Path, "%s", k.Err)
	case !k.Exists:
		d.ok(check, "the gateway makes %s at its start", k.Path)
	case k.Mode&0o077 != 0:
		d.add(check, Fail, "chmod 0600 "+k.Path, "others than its owner may read %s (mode %04o), so the gateway refuses it", k.Path, k.Mode)
	default:
		d.ok(check, "%s is its owner's alone", k.Path)
	}
}
