package haproxy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Serving finds the backend that a request for a host, with or without a port, and a
// path reaches by HTTP; nil if none does.
func (r *Report) Serving(host, path string) *Backend {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	host = strings.TrimSuffix(host, ".")
	var found *Backend
	longest := -1
	for i := range r.Backends {
		b := &r.Backends[i]
		if slices.Contains(b.Hosts, host) {
			return b
		}
		for _, p := range b.Paths {
			if len(p) > longest && strings.HasPrefix(path+"/", p+"/") {
				found, longest = b, len(p)
			}
		}
	}
	return found
}

// Question is a request that somebody wants to be explained, with what is known besides
// the report.
type Question struct {
	Host, Path string
	// Service is whose name the host is, as Consul has it or in lower case; "" if it is
	// none of a service.
	Service string
	// DC is the data centre that the host names, "" if none; OwnDC that of this host.
	DC, OwnDC string
	// Datacenters are all that Consul knows; nil if it does not tell.
	Datacenters []string
	// Instances are those of the service in the own data centre, Away how many pass in
	// DC, where that is another one. ConsulTells is false if Consul does not answer.
	Instances   []Known
	Away        int
	ConsulTells bool
	// Options are those of this host.
	Options Options
}

// Known is an instance as Consul knows it.
type Known struct {
	Tags    []string
	Passing bool
}

// Explain tells which frontend, backend and servers serve a request, and why none does.
// Its lines do not end with a line break.
func (r *Report) Explain(q *Question) (lines []string) {
	shown := r.Serving(q.Host, q.Path)
	for i := range r.Backends {
		b := &r.Backends[i]
		if b != shown && (b.Port == 0 || !strings.EqualFold(b.Service, q.Service)) {
			continue
		}
		lines = append(lines, fmt.Sprintf("frontend %s, port %d: %s serves %s:", b.frontend(), b.port(&q.Options), b.Name, strings.Join(b.Entrances(), " ")))
		for _, server := range b.Servers {
			lines = append(lines, fmt.Sprintf("  %s weight %d", server.Address, server.Weight))
		}
	}
	if shown == nil {
		lines = append(lines, r.unservedPorts(q)...)
		if byTCP := len(lines) > 0; !byTCP || !q.tcpOnly() {
			lines = append(lines, fmt.Sprintf("frontend %s, port %d: no backend for http://%s%s: %s", httpFrontend, q.Options.HTTPPort, q.Host, q.Path, r.whyNot(q)))
		}
	} else if q.DC != "" && q.OwnDC != "" && !strings.EqualFold(q.DC, q.OwnDC) {
		lines = append(lines, fmt.Sprintf("%s is another data centre; under this name, too, HAProxy serves the instances in its own, %s", q.DC, q.OwnDC))
	}
	for _, f := range r.Findings {
		if strings.EqualFold(f.Service, q.Service) || shown != nil && f.Service == shown.Service {
			lines = append(lines, f.Service+": "+f.Message)
		}
	}
	return lines
}

// whyNot says why no backend takes a request.
func (r *Report) whyNot(q *Question) string {
	host := strings.TrimSuffix(strings.ToLower(q.Host), ".")
	switch {
	case slices.Contains(q.Options.Hosts, host):
		return "it is a name of this host, which shows a page of links"
	case q.Service == "":
		return "it is not the name of a service, and no service has a route for that path (a tag haproxy_route=/…)"
	case q.DC != "" && q.Datacenters != nil && !slices.ContainsFunc(q.Datacenters, func(dc string) bool { return strings.EqualFold(dc, q.DC) }):
		return fmt.Sprintf("Consul knows no data centre %s", q.DC)
	case !q.ConsulTells:
		return "what Consul knows of it cannot be seen"
	}
	return r.whyNoInstance(q)
}

// whyNoInstance says why no instance of a service is served by HTTP.
func (r *Report) whyNoInstance(q *Question) string {
	tagged, passing := q.count(func(w *wishes) bool { return w.http })
	away := ""
	if q.Away > 0 {
		away = fmt.Sprintf("; %d pass in %s, and HAProxy serves its own data centre only: ask a host there, or ask DNS for SRV", q.Away, q.DC)
	}
	switch {
	case len(q.Instances) == 0:
		return "Consul knows no instance of it in this data centre" + away
	case tagged == 0:
		return "no instance has the tag haproxy or webapp" + away
	case passing == 0:
		return fmt.Sprintf("none of the %d instances with the tag haproxy or webapp passes its checks", tagged) + away
	}
	return r.whyNotTold(q)
}

// whyNotTold says why HAProxy has nothing of a service of which an instance passes.
func (r *Report) whyNotTold(q *Question) string {
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return strings.EqualFold(f.Service, q.Service) }) {
		return "it is refused, for what is said below"
	}
	return "consul-template has not told HAProxy of it yet; see `panteras status` and `panteras logs consul-template`"
}

// unservedPorts says of each TCP port that instances ask for, and that does not lead to
// them, why.
func (r *Report) unservedPorts(q *Question) (lines []string) {
	ports := map[uint16]bool{}
	for _, i := range q.Instances {
		for _, port := range i.wishes(q.Service).ports {
			ports[port] = true
		}
	}
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		if slices.ContainsFunc(r.Backends, func(b Backend) bool { return b.Port == port && strings.EqualFold(b.Service, q.Service) }) {
			continue
		}
		tagged, passing := q.count(func(w *wishes) bool { return slices.Contains(w.ports, port) })
		why := fmt.Sprintf("none of the %d instances with the tag haproxy_tcp=%d passes its checks", tagged, port)
		if passing > 0 {
			why = r.whyNotTold(q)
		}
		lines = append(lines, fmt.Sprintf("port %d: %s", port, why))
	}
	return lines
}

// tcpOnly tells that no instance asks for HTTP, and the name is none of another data
// centre, of which there is more to say.
func (q *Question) tcpOnly() bool {
	tagged, _ := q.count(func(w *wishes) bool { return w.http })
	return tagged == 0 && (q.DC == "" || strings.EqualFold(q.DC, q.OwnDC))
}

// count counts the instances whose tags ask for something, and those of them that pass.
func (q *Question) count(want func(*wishes) bool) (tagged, passing int) {
	for _, i := range q.Instances {
		if w := i.wishes(q.Service); want(&w) {
			tagged++
			if i.Passing {
				passing++
			}
		}
	}
	return tagged, passing
}

func (k *Known) wishes(service string) wishes { return readTags(service, k.Tags) }

// frontend is the section in which clients arrive.
func (b *Backend) frontend() string {
	if b.Port != 0 {
		return b.Name
	}
	return httpFrontend
}

// port is where they do.
func (b *Backend) port(o *Options) uint16 {
	if b.Port != 0 {
		return b.Port
	}
	return o.HTTPPort
}
