package haproxy

import (
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
