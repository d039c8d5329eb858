package configs

import "strings"

// checkDaemons looks at what PanteraS's users are used to write. What depends on
// which daemons run is checked where that is decided.
func (r *resolution) checkDaemons() {
	if g, ok := r.given["CONSUL_DC"]; ok && !r.bad["CONSUL_DC"] && g.raw != strings.ToLower(g.raw) {
		r.warnf("CONSUL_DC", "%s is %s to Consul, which knows no capitals; write CONSUL_DC=%s", r.subject("CONSUL_DC"), r.ConsulDC, r.ConsulDC)
	}
	for _, name := range []string{"DNSMASQ_PARAMS", "DNSMASQ_APP_PARAMS"} {
		if g, ok := r.given[name]; ok {
			r.warnf(name, "%s: %s has no effect, because dnsmasq does not run any more; see the settings that begin with DNS_", g.origin, name)
		}
	}
}
