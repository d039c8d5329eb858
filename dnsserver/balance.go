package dnsserver

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	consul "github.com/hashicorp/consul/api"

	"panteras/configs"
	"panteras/dnsserver/lb"
	"panteras/dnsserver/route"
	"panteras/dnsserver/wire"
	"panteras/internal/consulclient"
)

// balanced is what DNS_MODE=lb adds to a snapshot: which services lead to HAProxy, and where that is.
type balanced struct {
	view   *lb.View
	v4, v6 []netip.Addr
}

// newBalanced picks the HAProxies for this host.
func newBalanced(v *lb.View, s *configs.Settings, own map[netip.Addr]bool) *balanced {
	b := &balanced{view: v}
	for _, a := range lb.Choose(v.Balancers(), func(a netip.Addr) bool { return own[a] || a == s.IP || a == s.HostIP }) {
		if a.Is4() {
			b.v4 = append(b.v4, a)
		} else {
			b.v6 = append(b.v6, a)
		}
	}
	return b
}

// serviceLabel is "service" in wire form.
const serviceLabel = "\x07service"

// takes says whether the question is for an address of a service that a HAProxy serves: <svc>.service[.<dc>] under Consul's domains, or <svc> under
// HAPROXY_ADD_DOMAIN. Every HAProxy serves the names of all data centres, from the instances of its own.
func (b *balanced) takes(q *wire.Query, name []byte, e *route.Entry) bool {
	if q.Class != wire.ClassIN || q.Type != wire.TypeA && q.Type != wire.TypeAAAA || len(b.v4)+len(b.v6) == 0 {
		return false
	}
	if e.Kind != route.Consul && e.Kind != route.Added {
		return false
	}
	rest := name[:len(name)-len(e.Suffix)]
	if len(rest) == 0 {
		return false
	}
	service := rest[1 : 1+rest[0]]
	rest = rest[1+len(service):]
	if e.Kind == route.Added {
		return len(rest) == 0 && b.view.Balances(service)
	}
	if len(rest) < len(serviceLabel) || string(rest[:len(serviceLabel)]) != serviceLabel {
		return false
	}
	if rest = rest[len(serviceLabel):]; len(rest) > 0 && (len(rest) != 1+int(rest[0]) || !b.view.Datacenter(rest[1:])) {
		return false
	}
	return b.view.Balances(service)
}

func (b *balanced) answer(typ uint16, kind route.Kind) decision {
	addrs := b.v4
	if typ == wire.TypeAAAA {
		addrs = b.v6
	}
	if len(addrs) == 0 {
		return decision{act: actLocal, kind: kind, local: localNoAddress}
	}
	return decision{act: actBalancer, kind: kind, addrs: addrs}
}

// appendBalancers makes the answer of an actBalancer decision. Each HAProxy is the first one as often as the others.
func (s *snapshot) appendBalancers(dst, pkt []byte, q *wire.Query, d *decision, limit int) []byte {
	return wire.AppendAddresses(dst, pkt, q, d.addrs, rand.IntN(len(d.addrs)), limit, s.udpSize)
}

// firstView is how long a starting server waits for Consul to say what is balanced.
const firstView = 2 * time.Second

// learning is one run of a learner. It ends with Run, and makes way for another when settings change.
type learning struct {
	learner *lb.Learner
	stop    context.CancelFunc
	settled chan struct{}
}

// learn follows Consul for the settings in force, instead of what was followed before. Called with the lock held, while Run runs.
func (s *Server) learn() {
	if s.learning != nil {
		s.learning.stop()
		s.learning = nil
	}
	if s.settings.DNSMode != configs.DNSModeLB {
		s.view = nil
		return
	}
	settings := s.settings
	ctx, stop := context.WithCancel(s.learnCtx)
	l := &learning{stop: stop, settled: make(chan struct{})}
	l.learner = &lb.Learner{
		Dial:     func() (*consul.Client, error) { return consulclient.New(settings) },
		Explain:  func(err error) error { return consulclient.Explain(err, settings.ConsulHTTPAddr) },
		Previous: s.view, Publish: func(v *lb.View) { s.takeView(l, v) }, Log: s.log,
	}
	s.learning = l
	s.learners.Go(func() { l.learner.Run(ctx, func() { close(l.settled) }) })
}

// learned waits until the first view is there, or Consul does not answer.
func (s *Server) learned(ctx context.Context) {
	s.mu.Lock()
	l := s.learning
	s.mu.Unlock()
	if l == nil {
		return
	}
	timer := time.NewTimer(firstView)
	defer timer.Stop()
	select {
	case <-l.settled:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// takeView publishes what a learner says, if it is still the one that is listened to.
func (s *Server) takeView(from *learning, v *lb.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.learning != from {
		return
	}
	s.view = v
	next := *s.cfg.Load()
	next.lb = newBalanced(v, s.settings, next.own)
	s.cfg.Store(&next)
}
