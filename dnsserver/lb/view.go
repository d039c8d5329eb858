// Package lb learns from Consul which services are behind HAProxy, and on which hosts
// HAProxy is well, for DNS_MODE=lb: a [Learner] follows Consul and publishes a [View]
// after each change, so that a query is answered without asking anybody.
package lb

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	consul "github.com/hashicorp/consul/api"
)

// View is what Consul says at one moment. It is never changed; nil knows nothing.
type View struct {
	services    map[string]bool // lower case
	datacenters map[string]bool // lower case
	balancers   []netip.Addr
}

// NewView is a view in which services are balanced, data centres known and HAProxies
// well at addresses.
func NewView(services, datacenters []string, balancers ...netip.Addr) *View {
	v := &View{services: map[string]bool{}, datacenters: map[string]bool{}, balancers: balancers}
	for _, name := range services {
		if k := key(name); k != "" {
			v.services[k] = true
		}
	}
	for _, dc := range datacenters {
		v.datacenters[strings.ToLower(dc)] = true
	}
	return v
}

// Balances tells whether a service, in lower case, has a passing instance that HAProxy
// serves by name.
func (v *View) Balances(service []byte) bool { return v != nil && v.services[string(service)] }

// Datacenter tells whether Consul knows a data centre, in lower case.
func (v *View) Datacenter(dc []byte) bool { return v != nil && v.datacenters[string(dc)] }

// Services is how many services are balanced.
func (v *View) Services() int {
	if v == nil {
		return 0
	}
	return len(v.services)
}

// Balancers are the addresses at which HAProxy is well.
func (v *View) Balancers() []netip.Addr {
	if v == nil {
		return nil
	}
	return v.balancers
}

func (v *View) equal(o *View) bool {
	return v != nil && o != nil && maps.Equal(v.services, o.services) && maps.Equal(v.datacenters, o.datacenters) && slices.Equal(v.balancers, o.balancers)
}

// Choose picks who should take a request: the HAProxy of this host if it is well, or
// else each that is.
func Choose(balancers []netip.Addr, own func(netip.Addr) bool) []netip.Addr {
	if i := slices.IndexFunc(balancers, own); i >= 0 {
		return balancers[i : i+1]
	}
	return balancers
}

// Tagged tells whether tags make HAProxy serve an instance by the name of its service.
func Tagged(tags []string) bool {
	return slices.Contains(tags, "haproxy") || slices.Contains(tags, "webapp")
}

// Balancer is the name of the service that HAProxy is registered under.
const Balancer = "haproxy"

// Addresses are those of instances, sorted, each once. Instances whose address is a
// name are left out: an answer cannot hold it.
func Addresses(instances []*consul.ServiceEntry) []netip.Addr {
	var list []netip.Addr
	for _, i := range instances {
		text := i.Service.Address
		if text == "" {
			text = i.Node.Address
		}
		if a, err := netip.ParseAddr(text); err == nil {
			list = append(list, a.Unmap().WithZone(""))
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// key is how a service is found by its name in DNS; "" if no single label can name it.
func key(service string) string {
	if service == "" || len(service) > 63 || strings.Contains(service, ".") {
		return ""
	}
	return strings.ToLower(service)
}
