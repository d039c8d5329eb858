package launcher

import "net/netip"

// port is one port that a daemon takes.
type port struct {
	network string // "tcp" or "udp"
	addr    netip.Addr
	number  uint16
	// setting is what to change for another port.
	setting string
}

// tcp and udp note ports that the daemon takes. No address means all of them.
func (d *Daemon) tcp(addr netip.Addr, setting string, numbers ...uint16) {
	d.take("tcp", addr, setting, numbers)
}

func (d *Daemon) udp(addr netip.Addr, setting string, numbers ...uint16) {
	d.take("udp", addr, setting, numbers)
}

func (d *Daemon) take(network string, addr netip.Addr, setting string, numbers []uint16) {
	for _, n := range numbers {
		d.ports = append(d.ports, port{network, addr, n, setting})
	}
}

// clashes tells whether two ports cannot be taken both. An address that stands for
// all is taken to stand for those of both families.
func (p port) clashes(other port) bool {
	every := func(a netip.Addr) bool { return !a.IsValid() || a.IsUnspecified() }
	return p.network == other.network && p.number == other.number && (every(p.addr) || every(other.addr) || p.addr == other.addr)
}
