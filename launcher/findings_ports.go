package launcher

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// statusPage is what takes STATUS_LISTEN; it is the launcher's own.
const statusPage = "the status page"

// taken is a port and who takes it.
type taken struct {
	port
	by string
}

// checkPorts finds ports that two of what runs here take.
func (c *checker) checkPorts() {
	all := []taken{{port{"tcp", c.StatusListen.Addr(), c.StatusListen.Port(), "STATUS_LISTEN"}, statusPage}}
	for _, d := range c.daemons {
		// Arguments that are wholly the operator's may mean any port.
		if d.Run && len(processOf[d.Name].at(c.Settings).AppParams) == 0 {
			for _, p := range d.ports {
				all = append(all, taken{p, d.Name})
			}
		}
	}
	reported := map[string]bool{}
	for i, first := range all {
		for _, second := range all[i+1:] {
			pair := first.by + " " + second.by + " " + fmt.Sprint(first.number)
			// A daemon may listen at several addresses of one setting.
			if first.by == second.by && first.setting == second.setting || !first.clashes(second.port) || reported[pair] {
				continue
			}
			reported[pair] = true
			c.clash(first, second, all)
		}
	}
	if c.facts.Taken != nil {
		c.checkTaken(all)
	}
}

// checkTaken warns of ports that somebody else has. That may be over when the daemon
// starts, so it is no error.
func (c *checker) checkTaken(all []taken) {
	reported := map[string]bool{}
	for _, t := range all {
		addr := t.addr
		if !addr.IsValid() {
			addr = netip.IPv4Unspecified()
		}
		by := c.facts.Taken(t.network, netip.AddrPortFrom(addr, t.number))
		key := fmt.Sprint(t.by, t.network, t.number)
		if by == "" || reported[key] {
			continue
		}
		reported[key] = true
		c.warnf(t.setting, "makes %s take %s port %d, which is held by %s; stop that first", t.by, strings.ToUpper(t.network), t.number, by)
	}
}

// clash blames the setting that was given, or else the one that is easier to change.
func (c *checker) clash(guilty, other taken, all []taken) {
	if !c.loaded.Given(guilty.setting) && c.loaded.Given(other.setting) {
		guilty, other = other, guilty
	}
	if guilty.by == other.by {
		other.by = other.setting
	}
	usual := map[string]uint16{"STATUS_LISTEN": 9000, "METRICS_LISTEN": 9153, "DNS_PORT": 53, "DNS_LISTEN": 53, "ZOOKEEPER_HOSTS": 2181, "TUNNEL_PORT": 51820}
	free, ok := usual[guilty.setting]
	for !ok || slices.ContainsFunc(all, func(t taken) bool { return t.number == free }) {
		if !ok {
			free, ok = guilty.number, true
		}
		free++
	}
	advice := fmt.Sprintf("set %s=%d", guilty.setting, free)
	switch {
	case strings.HasSuffix(guilty.setting, "_LISTEN"):
		advice = fmt.Sprintf("set %s=%s", guilty.setting, netip.AddrPortFrom(guilty.addr, free))
	case guilty.setting == "ZOOKEEPER_HOSTS":
		advice = fmt.Sprintf("give this host another port in ZOOKEEPER_HOSTS, such as %d", free)
	case guilty.setting == "START_CONSUL_TEMPLATE":
		advice = fmt.Sprintf("give %s another port, or set START_CONSUL_TEMPLATE=false", other.by)
	case strings.HasSuffix(guilty.setting, "_PARAMS"):
		advice = fmt.Sprintf("give %s another port in %s, such as %d", guilty.by, guilty.setting, free)
	}
	c.errorf(guilty.setting, "makes %s take %s port %d, which %s takes as well; %s", guilty.by, strings.ToUpper(guilty.network), guilty.number, other.by, advice)
}
