package dnsserver

import (
	"net/netip"

	"panteras/configs"
	"panteras/dnsserver/route"
	"panteras/dnsserver/upstream"
	"panteras/dnsserver/wire"
)

// snapshot is everything that decides about a query, built from the settings and from what the host looks like. It is never changed: a reload makes another.
type snapshot struct {
	settings *configs.Settings
	routes   *route.Table
	targets  []*target
	servers  map[*upstream.Upstream]bool
	names    map[string]*localName
	tokens   map[string]*upstream.Upstream // names of loop probes on their way

	allow   []netip.Prefix
	own     map[netip.Addr]bool
	peers   []netip.Prefix // the tunnel's networks, if this host is a gateway
	udpSize int
	legacy  netip.Addr // DNS_MODE=legacy: what A (or AAAA) under the Consul domain is
	lb      *balanced  // DNS_MODE=lb
}

type action uint8

const (
	actForward  action = iota
	actError           // answer with an rcode only
	actLocal           // answer with records of ours
	actBalancer        // answer with the addresses of HAProxy (DNS_MODE=lb)
	actDrop            // a probe of ours came back
)

// localAnswer says what an actLocal decision answers with.
type localAnswer uint8

const (
	localHost      localAnswer = iota // the names of this host and of /etc/hosts
	localEmpty                        // a zone that exists empty
	localLoopback                     // localhost
	localMinimal                      // ANY (RFC 8482)
	localNoDS                         // NODATA: a routed zone is unsigned
	localAddress                      // DNS_MODE=legacy
	localNoAddress                    // NODATA: HAProxy has none of the family (DNS_MODE=lb)
)

type decision struct {
	act   action
	kind  route.Kind
	tgt   *target
	rcode int
	ede   int
	text  string
	local localAnswer
	host  *localName
	entry *route.Entry
	addrs []netip.Addr
}

// allowed says whether the client may ask: DNS_ALLOW, and the host itself always.
func (s *snapshot) allowed(client netip.Addr) bool {
	for _, p := range s.allow {
		if p.Contains(client) {
			return true
		}
	}
	return s.onHost(client)
}

// onHost says whether an address is one of this host.
func (s *snapshot) onHost(a netip.Addr) bool { return a.IsLoopback() || s.own[a] }

// udpLimit is the size an answer over UDP may have.
func (s *snapshot) udpLimit(q *wire.Query) int {
	if !q.HasOPT() {
		return wire.MinUDPSize
	}
	return min(q.UDPSize, s.udpSize)
}

// decide says what to do with a well-formed query. name is the question's name, folded.
func (s *snapshot) decide(q *wire.Query, name []byte) decision {
	switch {
	case q.Class == wire.ClassCHAOS:
		return refuse("class CHAOS is not served")
	case q.Type == wire.TypeAXFR || q.Type == wire.TypeIXFR:
		return refuse("zone transfers are not served")
	}
	if q.Type == wire.TypeTXT && len(s.tokens) > 0 {
		if u := s.tokens[string(name)]; u != nil {
			u.SetLooping(true)
			return decision{act: actDrop}
		}
	}
	if h := s.names[string(name)]; h != nil && (q.Class == wire.ClassIN || q.Class == wire.TypeANY) {
		if q.Type == wire.TypeANY {
			return decision{act: actLocal, kind: route.Empty, local: localMinimal}
		}
		return decision{act: actLocal, kind: route.Empty, local: localHost, host: h}
	}
	e := s.routes.Lookup(name)
	consul := e.Kind == route.Consul
	if consul && s.legacy.IsValid() && (q.Type == wire.TypeANY || q.Type == addressType(s.legacy)) {
		return decision{act: actLocal, kind: e.Kind, local: localAddress}
	}
	if q.Type == wire.TypeANY {
		return decision{act: actLocal, kind: e.Kind, local: localMinimal}
	}
	if s.lb != nil && s.lb.takes(q, name, e) {
		return s.lb.answer(q.Type, e.Kind)
	}
	switch e.Kind {
	case route.Loopback:
		return decision{act: actLocal, kind: e.Kind, local: localLoopback, entry: e}
	case route.Empty:
		return decision{act: actLocal, kind: e.Kind, local: localEmpty, entry: e}
	case route.Consul:
		// Consul hands DS for any name of its own to its recursors, of which we may be one.
		if q.Type == wire.TypeDS {
			return decision{act: actLocal, kind: e.Kind, local: localNoDS, entry: e}
		}
	case route.Custom:
		if q.Type == wire.TypeDS && e.Apex(name) {
			return decision{act: actLocal, kind: e.Kind, local: localNoDS, entry: e}
		}
	case route.Added:
		if !addedService(q, name, e) {
			e = e.Parent
			for e.Kind == route.Loopback || e.Kind == route.Empty {
				e = e.Parent
			}
		}
	}
	tgt := s.targets[e.Target]
	if mp := &tgt.stages[0].mp; e.Kind == route.Consul && mp.To != nil && len(name)-mp.FromLen+len(mp.To) > wire.MaxName {
		// Under CONSUL_DOMAIN the name would be too long for any name, so nothing can have it.
		return decision{act: actError, kind: e.Kind, rcode: wire.RcodeNXDomain, ede: wire.NoEDE}
	}
	return decision{act: actForward, kind: e.Kind, tgt: tgt}
}

// addedService says whether the query is for a service under HAPROXY_ADD_DOMAIN: one label, and a type that Consul has.
func addedService(q *wire.Query, name []byte, e *route.Entry) bool {
	return q.Class == wire.ClassIN && (q.Type == wire.TypeA || q.Type == wire.TypeAAAA || q.Type == wire.TypeSRV) &&
		len(name) == len(e.Suffix)+1+int(name[0])
}

func refuse(text string) decision {
	return decision{act: actError, kind: route.Empty, rcode: wire.RcodeRefused, ede: wire.EDENotSupported, text: text}
}

func addressType(a netip.Addr) uint16 {
	if a.Is4() {
		return wire.TypeA
	}
	return wire.TypeAAAA
}

// filters says whether the answer to this client passes the rebinding filter: the client is a peer of the tunnel and the answer comes from the Internet.
func (s *snapshot) filters(client netip.Addr, t *target) bool {
	if !t.public || len(s.peers) == 0 {
		return false
	}
	for _, p := range s.peers {
		if p.Contains(client) {
			return true
		}
	}
	return false
}
