package balancer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"panteras/configs/haproxy"
)

// reconcile makes a running HAProxy, which knows all backends, serve the configuration,
// and returns how many changes that took. New servers come before the routes to them,
// and old ones leave after.
func reconcile(rt cli, config *haproxy.Config, loaded haproxy.Shape) (changes int, err error) {
	r := &reconciler{rt: rt}
	if r.have, err = rt.servers(); err != nil {
		return 0, err
	}
	wanted := map[string]bool{}
	for _, b := range config.Report.Backends {
		for _, s := range b.Servers {
			wanted[b.Name+"/"+s.Name] = true
			if err := r.serve(b.Name, s); err != nil {
				return r.changes, err
			}
		}
	}
	for file, want := range map[string]map[string]string{haproxy.HostsFile: config.Hosts, haproxy.PathsFile: config.Paths} {
		if err := r.route(file, want); err != nil {
			return r.changes, err
		}
	}
	for _, backend := range slices.Sorted(maps.Keys(loaded.Sections)) {
		for _, name := range slices.Sorted(maps.Keys(r.have[backend])) {
			if server := backend + "/" + name; !wanted[server] {
				if err := r.remove(server, r.have[backend][name]); err != nil {
					return r.changes, err
				}
			}
		}
	}
	return r.changes, nil
}

type reconciler struct {
	rt      cli
	have    map[string]map[string]*live
	changes int
}

func (r *reconciler) do(command string, expected ...string) error {
	r.changes++
	return r.rt.do(command, expected...)
}

// serve makes a server take requests as wanted.
func (r *reconciler) serve(backend string, s haproxy.Server) error {
	name := backend + "/" + s.Name
	have := r.have[backend][s.Name]
	if have == nil { // all at once: a HAProxy that is busy takes its time for each connection
		return r.do("add server "+name+" "+s.Arguments()+"; enable health "+name+"; set server "+name+" state ready", "New server registered.")
	}
	if have.weight != s.Weight {
		if err := r.do(fmt.Sprintf("set server %s weight %d", name, s.Weight)); err != nil {
			return err
		}
	}
	if have.maxconn != s.Maxconn {
		if err := r.do(fmt.Sprintf("set maxconn server %s %d", name, s.Maxconn)); err != nil {
			return err
		}
	}
	if !have.ready {
		return r.do("set server " + name + " state ready")
	}
	return nil
}

// remove takes a server out. HAProxy keeps one that still has connections; it is then
// left in maintenance, and goes with a later snapshot or comes back.
func (r *reconciler) remove(server string, have *live) error {
	command := "del server " + server
	if have.ready {
		r.changes++
		command = "set server " + server + " state maint; " + command
	}
	answer, err := r.rt.ask(command)
	switch {
	case err != nil:
		return err
	case strings.Contains(answer, "Server deleted"):
		r.changes++
		return nil
	case strings.Contains(answer, "connection"):
		return nil
	}
	return fmt.Errorf("%s: HAProxy says %q", command, answer)
}

// route makes a map of the running HAProxy hold what it should.
func (r *reconciler) route(file string, want map[string]string) error {
	text, err := r.rt.ask("show map " + file)
	if err != nil {
		return err
	}
	have := map[string]string{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 3 {
			have[f[1]] = f[2]
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		value, known := have[key]
		verb := "add"
		if known {
			verb = "set"
		}
		if value == want[key] {
			continue
		}
		if err := r.do(fmt.Sprintf("%s map %s %s %s", verb, file, key, want[key])); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(have)) {
		if _, wanted := want[key]; !wanted {
			if err := r.do("del map " + file + " " + key); err != nil {
				return err
			}
		}
	}
	return nil
}
