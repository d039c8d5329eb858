package haproxy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// claim is a route or port that only one service can have.
type claim struct {
	what, value string // "host", "path" or "port"
}

// settle gives each route and port to one service: to the one that has it already, or
// else to the first by name.
func (p *plan) settle(previous *Report) {
	held := map[claim]string{}
	if previous != nil {
		for i := range previous.Backends {
			for _, c := range previous.Backends[i].claims() {
				held[c] = previous.Backends[i].Service
			}
		}
	}
	wanted := map[claim][]string{}
	for _, name := range slices.Sorted(maps.Keys(p.backends)) {
		for _, c := range p.backends[name].claims() {
			wanted[c] = append(wanted[c], p.backends[name].Service)
		}
	}
	for c, services := range wanted {
		if len(services) == 1 {
			continue
		}
		holder := services[0]
		if slices.Contains(services, held[c]) {
			holder = held[c]
		}
		for _, service := range services {
			if service == holder {
				p.find(service, "keeps %s %s, which %s want as well", c.what, c.value, strings.Join(without(services, holder), ", "))
			} else {
				p.find(service, "does not get %s %s: %s has it; choose another", c.what, c.value, holder)
				p.drop(service, c)
			}
		}
	}
}

// claims are what a backend wants for itself.
func (b *Backend) claims() []claim {
	if b.Port != 0 {
		return []claim{{"port", fmt.Sprint(b.Port)}}
	}
	var list []claim
	for _, host := range b.Hosts {
		list = append(list, claim{"host", host})
	}
	for _, path := range b.Paths {
		list = append(list, claim{"path", path})
	}
	return list
}

// drop takes a claim from a service.
func (p *plan) drop(service string, c claim) {
	if c.what == "port" {
		delete(p.backends, "tcp_"+service+"_"+c.value)
		return
	}
	b := p.backends["backend_"+service]
	if c.what == "host" {
		b.Hosts = without(b.Hosts, c.value)
	} else {
		b.Paths = without(b.Paths, c.value)
	}
}

func without(list []string, value string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(v string) bool { return v == value })
}
