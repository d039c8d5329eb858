package haproxy

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// plan collects what services want, and decides who gets it.
type plan struct {
	o        *Options
	backends map[string]*Backend
	findings map[Finding]bool
}

// backendsOf are the backends of a snapshot, by name, and what has no effect.
func backendsOf(s *Snapshot, o *Options, previous *Report) ([]Backend, []Finding) {
	p := &plan{o: o, backends: map[string]*Backend{}, findings: map[Finding]bool{}}
	for _, name := range s.Unnamed {
		if name != "" {
			p.find(brief(name), "no host name can be made of this name: use letters, digits, - and _")
		}
	}
	for _, i := range sorted(s.Instances) {
		p.add(i, s)
	}
	p.settle(previous)
	var list []Backend
	for _, b := range p.backends {
		if b.Port != 0 || len(b.Hosts) > 0 || len(b.Paths) > 0 {
			list = append(list, *b)
		}
	}
	slices.SortFunc(list, func(x, y Backend) int { return cmp.Compare(x.Name, y.Name) })
	findings := slices.SortedFunc(maps.Keys(p.findings), func(x, y Finding) int {
		return cmp.Or(cmp.Compare(x.Service, y.Service), cmp.Compare(x.Message, y.Message))
	})
	return list, findings
}

// sorted orders instances by what they are, because Consul shuffles them.
func sorted(list []*Instance) []*Instance {
	return slices.SortedFunc(slices.Values(list), func(x, y *Instance) int {
		return cmp.Or(cmp.Compare(x.Service, y.Service), cmp.Compare(x.Node, y.Node), cmp.Compare(x.Address, y.Address),
			cmp.Compare(x.Port, y.Port), cmp.Compare(x.ID, y.ID), slices.Compare(x.Tags, y.Tags))
	})
}

func (p *plan) find(service, format string, args ...any) {
	p.findings[Finding{service, fmt.Sprintf(format, args...)}] = true
}

// add puts an instance into the backends that its own tags ask for.
func (p *plan) add(i *Instance, s *Snapshot) {
	if !namePattern.MatchString(i.Service) {
		p.find(brief(i.Service), "no host name can be made of this name: use at most 63 letters, digits, - and _")
		return
	}
	w := readTags(i.Service, i.Tags)
	if !w.http && len(w.ports) == 0 && len(w.refused) == 0 {
		return
	}
	for _, why := range w.refused {
		p.find(i.Service, "%s", why)
	}
	address, err := serverAddress(i)
	if err != nil {
		p.find(i.Service, "instance %s is not served: %v", brief(i.ID), err)
		return
	}
	server := Server{Name: serverName(i, address), Address: address.String(), Weight: w.weight, Maxconn: p.maxconn(i.Service, s)}
	if w.http {
		b := p.backend("backend_"+i.Service, i.Service, 0)
		for _, path := range w.paths {
			if !slices.Contains(b.Paths, path) {
				b.Paths = append(b.Paths, path)
			}
		}
		if len(b.Hosts) == 0 {
			b.Hosts = p.hosts(i.Service, s.Datacenters)
		}
		p.check(b, w.check)
		p.serve(b, server)
	}
	for _, port := range w.ports {
		if who, held := p.o.holder(port); held {
			p.find(i.Service, "haproxy_tcp=%d is refused: the port belongs to %s; choose another", port, who)
			continue
		}
		b := p.backend(fmt.Sprintf("tcp_%s_%d", i.Service, port), i.Service, port)
		p.check(b, w.check)
		p.serve(b, server)
	}
}

func (p *plan) backend(name, service string, port uint16) *Backend {
	b := p.backends[name]
	if b == nil {
		b = &Backend{Name: name, Service: service, Port: port}
		p.backends[name] = b
	}
	return b
}

// check sets a backend's check, which all its servers share: of several, the first in
// the order of the alphabet.
func (p *plan) check(b *Backend, check string) {
	if check == "" || check == b.Check {
		return
	}
	if b.Check != "" {
		p.find(b.Service, "instances have different haproxy_httpchk; %q is used for all", min(b.Check, check))
		check = min(b.Check, check)
	}
	b.Check = check
}

// serve adds a server, unless one with its address is there already: registered twice,
// it would get twice its share.
func (p *plan) serve(b *Backend, s Server) {
	i := slices.IndexFunc(b.Servers, func(have Server) bool { return have.Address == s.Address })
	if i < 0 {
		b.Servers = append(b.Servers, s)
	} else if b.Servers[i] != s {
		p.find(b.Service, "%s is registered more than once; only the first counts", s.Address)
	}
}

// hosts are the names that lead to a service, without those of this host itself.
func (p *plan) hosts(service string, datacenters []string) []string {
	label := strings.ToLower(service)
	names := []string{label + ".service"}
	for _, domain := range []string{p.o.Domain, "consul"} { // the DNS server knows both
		names = append(names, label+".service."+domain)
		for _, dc := range datacenters {
			if namePattern.MatchString(dc) {
				names = append(names, label+".service."+strings.ToLower(dc)+"."+domain)
			}
		}
	}
	if p.o.AddDomain != "" {
		names = append(names, label+"."+p.o.AddDomain)
	}
	var kept []string
	for _, name := range names {
		if slices.Contains(p.o.Hosts, name) {
			p.find(service, "%s is a name of this host, and stays one", name)
		} else if !slices.Contains(kept, name) {
			kept = append(kept, name)
		}
	}
	return kept
}

// maxconn is how many connections a server of a service takes.
func (p *plan) maxconn(service string, s *Snapshot) int {
	text, ok := s.Maxconn[service+"/maxconn"]
	if !ok {
		return defaultMaxconn
	}
	n, err := decimal(strings.TrimSpace(text), 0, mostMaxconn)
	if err != nil {
		p.find(service, "haproxy/%s/maxconn is %s in Consul's KV store: %v; %d is used", service, brief(text), err, defaultMaxconn)
		return defaultMaxconn
	}
	return n
}

// serverAddress is where an instance is reached.
func serverAddress(i *Instance) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(i.Address)
	switch {
	case err != nil || a.Zone() != "":
		return netip.AddrPort{}, fmt.Errorf("its address %s is not an IP address", brief(i.Address))
	case a.IsUnspecified() || a.IsMulticast():
		return netip.AddrPort{}, fmt.Errorf("its address %s is not one of a host", a)
	case i.Port < 1 || i.Port > 65535:
		return netip.AddrPort{}, fmt.Errorf("it has no port (%d)", i.Port)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(i.Port)), nil
}

var unfitForName = regexp.MustCompile(`[^A-Za-z0-9_.-]`)

// serverName is a name for the instance that no other of the backend has, because
// none has its address.
func serverName(i *Instance, a netip.AddrPort) string {
	const most = 64
	node := unfitForName.ReplaceAllString(i.Node, "-")
	return fmt.Sprintf("%s_%s_%d", node[:min(len(node), most)], unfitForName.ReplaceAllString(a.Addr().String(), "-"), a.Port())
}
