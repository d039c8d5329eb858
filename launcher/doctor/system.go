package doctor

import (
	"fmt"
	"strings"
)

// firewall looks for others who drop what panteras is to receive or forward.
func (d *diagnosis) firewall() {
	const check = "firewall"
	f := d.facts.Firewall
	found := false
	if f.Firewalld {
		found = true
		var add []string
		for _, p := range d.openPorts() {
			add = append(add, "--add-port="+p)
		}
		d.add(check, Warn, "firewall-cmd --permanent "+strings.Join(add, " ")+" && firewall-cmd --reload", "firewalld runs and lets in only what it is told to")
	}
	for _, c := range f.Dropping {
		switch {
		case f.Firewalld && c.Table == "firewalld":
		case c.Hook == "forward" && d.runs("tunnel"):
			found = true
			d.add(check, Warn, c.forwardFix(d.TunnelInterface), "%s drops what it does not know, so peers of the tunnel may reach nothing", c)
		case c.Hook == "input":
			found = true
			d.add(check, Warn, c.inputFix(d.openPorts()), "%s drops what it does not know, so other hosts may not reach this one", c)
		}
	}
	switch {
	case f.Err != "":
		d.add(check, Warn, "look yourself: nft list ruleset", "its rules cannot be read: %s", f.Err)
	case !found:
		d.ok(check, "no policy of others is in the way")
	}
}

// String names a chain as nft does.
func (c Chain) String() string {
	return fmt.Sprintf("the chain %s of the table %s %s (policy drop)", c.Name, c.Family, c.Table)
}

func (c Chain) inputFix(ports []string) string {
	var udp, tcp []string
	for _, p := range ports {
		number, protocol, _ := strings.Cut(p, "/")
		if protocol == "udp" {
			udp = append(udp, number)
		} else {
			tcp = append(tcp, number)
		}
	}
	var rules []string
	for _, r := range []struct {
		protocol string
		ports    []string
	}{{"udp", udp}, {"tcp", tcp}} {
		if len(r.ports) > 0 {
			rules = append(rules, fmt.Sprintf("nft insert rule %s %s %s %s dport '{ %s }' accept", c.Family, c.Table, c.Name, r.protocol, strings.Join(r.ports, ", ")))
		}
	}
	return strings.Join(rules, " && ")
}

// forwardFix lets through what comes from the tunnel's interface or goes there.
func (c Chain) forwardFix(tunnelInterface string) string {
	if c.Table == "filter" && c.Name == "FORWARD" { // the policy that Docker sets; it keeps this chain for us
		return fmt.Sprintf("iptables -I DOCKER-USER -i %s -j ACCEPT && iptables -I DOCKER-USER -o %s -j ACCEPT", tunnelInterface, tunnelInterface)
	}
	rule := fmt.Sprintf("nft insert rule %s %s %s", c.Family, c.Table, c.Name)
	return fmt.Sprintf("%s iifname %s accept && %s oifname %s accept", rule, tunnelInterface, rule, tunnelInterface)
}

// openPorts are what other hosts come to, as firewall-cmd writes them. Ports that
// arguments change are not known here.
func (d *diagnosis) openPorts() []string {
	var list []string
	for _, open := range []struct {
		daemon string
		ports  []string
	}{
		{"dns", []string{"53/udp", "53/tcp"}},
		{"consul", []string{"8300/tcp", "8301/tcp", "8301/udp", "8302/tcp", "8302/udp", "8500/tcp", "8600/udp", "8600/tcp"}},
		{"zookeeper", []string{"2181/tcp", "2888/tcp", "3888/tcp"}},
		{"mesos-master", []string{"5050/tcp"}},
		{"marathon", []string{"8080/tcp"}},
		{"chronos", []string{"4400/tcp"}},
		{"haproxy", []string{"80/tcp", "81/tcp"}},
		{"mesos-agent", []string{"5051/tcp", "31000-32000/tcp"}},
	} {
		if d.runs(open.daemon) {
			list = append(list, open.ports...)
		}
	}
	if d.runs("tunnel") {
		list = append(list, fmt.Sprintf("%d/udp", d.TunnelPort))
	}
	return list
}

func (d *diagnosis) selinux() {
	if d.facts.SELinux {
		d.add("selinux", Warn, "`ausearch -m avc -ts recent` shows what it denied and audit2allow makes a rule of it; `setenforce 0` tells whether it is the cause",
			"SELinux is enforcing, and its policy does not know panteras")
		return
	}
	d.ok("selinux", "SELinux does not enforce anything")
}

func (d *diagnosis) clock() {
	const check = "clock"
	switch c := d.facts.Clock; {
	case c.Err != "":
		d.add(check, Warn, "timedatectl", "the kernel does not tell whether it is synchronised: %s", c.Err)
	case c.Synchronised:
		d.ok(check, "it is synchronised")
	default:
		d.add(check, Warn, "apt-get install chrony, or timedatectl set-ntp true",
			"nothing synchronises it; certificates and the logs of several hosts need the right time")
	}
}

// A folder with less than this left is about to be full.
const (
	fewBytes = 256 << 20
	fewNodes = 1000
)

func (d *diagnosis) folders() {
	for _, f := range d.facts.Folders {
		switch {
		case f.Err != "" && !d.facts.Root && strings.Contains(f.Err, "permission denied"):
			d.add(f.Setting, Warn, "run it as root: sudo panteras doctor", "only root can tell whether %s can be written to", f.Path)
		case f.Err != "":
			d.add(f.Setting, Fail, fmt.Sprintf("mount it for writing (`findmnt -T %s` shows what it is on), or set %s", f.Path, f.Setting), "%s cannot be written to: %s", f.Path, f.Err)
		case f.Free < fewBytes || f.FreeNodes < fewNodes:
			d.add(f.Setting, Warn, fmt.Sprintf("make room (`df -h %s`, `du -xh --max-depth=2 %s`), or set %s", f.Path, f.Path, f.Setting), "%s is almost full: %d MiB and %d files are left", f.Path, f.Free>>20, f.FreeNodes)
		case f.Exists:
			d.ok(f.Setting, "%s can be written to", f.Path)
		default:
			d.ok(f.Setting, "%s can be made", f.Path)
		}
	}
}
