package dnsserver

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"panteras/configs"
	"panteras/dnsserver/route"
	"panteras/dnsserver/upstream"
	"panteras/dnsserver/wire"
)

// facts is what the host looks like at one moment.
type facts struct {
	own       map[netip.Addr]bool
	tunnel    []netip.Prefix // that the interface of the tunnel has addresses in
	hosts     []byte
	recursors []netip.AddrPort // of resolv.conf
	file      string           // that they were read from
	gone      string           // the file that should tell of them and is not there any more; those of before count
	inherited []netip.AddrPort // sockets handed to the process, which stand instead of DNS_LISTEN
	// foreign says whether another process listens on exactly this address; nil: no.
	foreign func(netip.AddrPort) bool
}

// registry keeps one Upstream per server over reloads, with what is known of its health and its connections.
type registry func(addr netip.AddrPort, local, consul bool, probe []byte) *upstream.Upstream

// builder makes a snapshot.
type builder struct {
	s        *configs.Settings
	facts    facts
	registry registry
	snap     *snapshot
	warnings []string
}

// build makes a snapshot out of settings and facts. An upstream that is one of our own sockets is an error if the settings name it, and left out with
// a warning if resolv.conf does.
func build(s *configs.Settings, f facts, reg registry) (*snapshot, []string, error) {
	b := &builder{s: s, facts: f, registry: reg, snap: &snapshot{
		settings: s, servers: map[*upstream.Upstream]bool{}, names: localNames(s, f.hosts),
		allow: s.DNSAllow, own: f.own, udpSize: s.DNSUDPSize,
	}}
	// The gateway may have its IPv6 network from the store, so what the interface has counts as well.
	b.snap.peers = slices.Clone(f.tunnel)
	for _, p := range tunnelNetworks(s) {
		if !slices.Contains(b.snap.peers, p) {
			b.snap.peers = append(b.snap.peers, p)
		}
	}
	if s.DNSMode == configs.DNSModeLegacy {
		b.snap.legacy = s.ConsulIP
	}
	if err := b.routes(); err != nil {
		return nil, nil, err
	}
	return b.snap, b.warnings, nil
}

// tunnelNetworks are the networks of the tunnel that the settings name, where this host is a gateway.
func tunnelNetworks(s *configs.Settings) (list []netip.Prefix) {
	if s.TunnelEndpoint == "" {
		return nil
	}
	for _, p := range []netip.Prefix{s.TunnelCIDR, s.TunnelCIDR6} {
		if p.IsValid() {
			list = append(list, p)
		}
	}
	return list
}

func (b *builder) routes() error {
	recursors, err := b.recursors()
	if err != nil {
		return err
	}
	consul, err := b.group("CONSUL_DNS", b.s.ConsulDNS, true)
	if err != nil {
		return err
	}
	consul.OwnNames = true
	table := route.New(b.target(route.Recurse, true, stage{group: recursors}))
	b.snap.routes = table

	domain := wireName(b.s.ConsulDomain)
	if err := table.Add(route.Consul, domain, b.target(route.Consul, false, stage{group: consul})); err != nil {
		return err
	}
	if alias := wireName("consul"); string(alias) != string(domain) {
		mp := wire.Mapping{FromLen: len(alias), To: domain, Apex: domain}
		if err := table.Add(route.Consul, alias, b.target(route.Consul, false, stage{group: consul, mp: mp})); err != nil {
			return err
		}
	}
	customs := map[string]*upstream.Group{}
	for _, r := range b.s.DNSRoutes {
		g, err := b.group("DNS_ROUTES", r.Upstreams, false)
		if err != nil {
			return err
		}
		suffix := wireName(r.Suffix)
		customs[string(suffix)] = g
		if err := table.Add(route.Custom, suffix, b.target(route.Custom, false, stage{group: g})); err != nil {
			return fmt.Errorf("DNS_ROUTES: %s: %w", r.Suffix, err)
		}
	}
	if b.s.HAProxyAddDomain != "" {
		if err := b.added(table, domain, consul, recursors, customs); err != nil {
			return err
		}
	}
	if len(b.s.DNSPTR) > 0 {
		t := b.target(route.Reverse, false, stage{group: &upstream.Group{Servers: consul.Servers, Consul: true}})
		for _, p := range b.s.DNSPTR {
			table.AddReverse(p, t)
		}
	}
	table.AddDefault(route.Loopback, wireName("localhost"), 0)
	for _, z := range route.EmptyZones() {
		table.AddDefault(route.Empty, wireName(z), 0)
	}
	for _, p := range tunnelNetworks(b.s) {
		for _, z := range route.ReverseZones(p) {
			if zone := wireName(z); table.Lookup(zone).Kind == route.Recurse { // private ones are empty already, or somebody's
				table.AddDefault(route.Empty, zone, 0)
			}
		}
	}
	table.Seal()
	return nil
}

// added routes HAPROXY_ADD_DOMAIN: to Consul, and on to whoever serves the domain around it.
func (b *builder) added(table *route.Table, domain []byte, consul, recursors *upstream.Group, customs map[string]*upstream.Group) error {
	suffix := wireName(b.s.HAProxyAddDomain)
	mp := wire.Mapping{FromLen: len(suffix), To: append(wireName("service")[:len("service")+1], domain...), Apex: domain}
	rest := recursors
	for off := 0; suffix[off] != 0; off += 1 + int(suffix[off]) {
		if g := customs[string(suffix[off:])]; g != nil {
			rest = g
			break
		}
	}
	t := b.target(route.Added, false, stage{group: consul, mp: mp, fall: true}, stage{group: rest})
	return table.Add(route.Added, suffix, t)
}

func (b *builder) target(kind route.Kind, public bool, stages ...stage) int {
	t := &target{index: len(b.snap.targets), kind: kind, stages: stages, public: public, exist: kind == route.Consul && b.snap.legacy.IsValid()}
	b.snap.targets = append(b.snap.targets, t)
	return t.index
}

func (b *builder) recursors() (*upstream.Group, error) {
	if b.s.DNSUpstreams != nil {
		return b.group("DNS_UPSTREAMS", b.s.DNSUpstreams, false)
	}
	var servers []netip.AddrPort
	for _, a := range b.facts.recursors {
		if b.isOwnSocket(a) {
			continue // the usual case: resolv.conf names us
		}
		servers = append(servers, a)
	}
	if len(servers) == 0 {
		b.warnings = append(b.warnings, fmt.Sprintf(
			"no recursor: %s names none but this server itself, so only Consul's and local names resolve; set DNS_UPSTREAMS, or keep the original file as %s", b.facts.file, resolvCopy))
	}
	return b.group(b.facts.file, servers, false)
}

// group makes the group of the servers that one setting names.
func (b *builder) group(setting string, addrs []netip.AddrPort, consul bool) (*upstream.Group, error) {
	g := &upstream.Group{Consul: consul}
	probe := probeQuery(".", dns.TypeNS)
	if consul {
		probe = probeQuery(b.s.ConsulDomain, dns.TypeSOA)
	}
	seen := map[netip.AddrPort]bool{}
	for _, a := range addrs {
		if b.isOwnSocket(a) {
			return nil, fmt.Errorf("%s: %s is where this server itself listens: queries would go round in a circle; name another server, or another port", setting, a)
		}
		if seen[a] {
			continue
		}
		seen[a] = true
		if len(g.Servers) == upstream.MaxServers {
			b.warnings = append(b.warnings, fmt.Sprintf("%s: only the first %d servers are used", setting, upstream.MaxServers))
			break
		}
		u := b.registry(a, b.isLocal(a.Addr()), consul, probe)
		b.snap.servers[u] = true
		g.Servers = append(g.Servers, u)
	}
	return g, nil
}

func (b *builder) isLocal(a netip.Addr) bool { return a.Unmap().IsLoopback() || b.facts.own[a.Unmap()] }

// isOwnSocket says whether an upstream's address and port are where we listen. Another port of the same address is somebody else, and so is a server
// that holds one address of the port while we have the others.
func (b *builder) isOwnSocket(a netip.AddrPort) bool {
	listening := b.s.DNSListen
	if b.facts.inherited != nil {
		listening = b.facts.inherited
	}
	for _, l := range listening {
		switch {
		case l.Port() != a.Port():
		case l.Addr() == a.Addr():
			return true
		case !l.Addr().IsUnspecified() || !(b.isLocal(a.Addr()) || a.Addr().IsUnspecified()):
		case l.Addr().Is4() == a.Addr().Is4(), l.Addr().Is6() && b.facts.inherited != nil: // a socket on [::] that we did not make may take IPv4 as well
			return b.facts.foreign == nil || !b.facts.foreign(a)
		}
	}
	return false
}

func probeQuery(name string, typ uint16) []byte {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), typ)
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}
