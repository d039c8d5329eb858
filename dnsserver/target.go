package dnsserver

import (
	"bytes"
	"net/netip"

	"panteras/dnsserver/route"
	"panteras/dnsserver/upstream"
	"panteras/dnsserver/wire"
)

// stage is one group of servers that a query may be sent to, and the name it is asked under there.
type stage struct {
	group *upstream.Group
	mp    wire.Mapping
	// fall says that NXDOMAIN, SERVFAIL or no answer here moves the query to the next stage.
	fall bool
}

// target is where the queries of a route go: stage after stage.
type target struct {
	index  int
	kind   route.Kind
	stages []stage
	public bool // answers come from the Internet: what they say of private addresses is not for peers of the tunnel
	// exist says that every name here has an address (DNS_MODE=legacy), so it cannot be NXDOMAIN for another type: programs that ask for
	// AAAA as well would give up the name. dnsmasq does the same.
	exist bool
}

// existing turns NXDOMAIN into NODATA where every name exists.
func (t *target) existing(m []byte) {
	if t.exist && wire.Rcode(m) == wire.RcodeNXDomain {
		wire.SetFlags(m, wire.Flags(m)&^0x0f|wire.RcodeSuccess)
	}
}

// fallsOn says whether an answer of this kind sends the query to the next stage. If nobody is there to ask, or only the host that asks us (a company's
// server that hands its domain to us), the answer is the last word.
func (t *target) fallsOn(stage, rcode int, client netip.Addr) bool {
	return t.stages[stage].fall && (rcode == wire.RcodeNXDomain || rcode == wire.RcodeServFail) && t.stages[stage+1].group.Serves(client)
}

var queryLabel = []byte("\x05query")

// shared says whether equal questions may share an upstream query. Prepared queries may not: Consul can sort their answers by
// distance, which must neither be turned round nor be handed out in one order where Consul would shuffle.
func (t *target) shared(q *wire.Query, name []byte) bool {
	return !t.stages[0].group.Consul || !bytes.Contains(name, queryLabel)
}

// deals says whether a shared question is one of which Consul shows each client only some of the addresses.
func (t *target) deals(q *wire.Query) bool {
	return t.stages[0].group.Consul && !q.HasOPT() && (q.Type == wire.TypeA || q.Type == wire.TypeAAAA)
}

func (t *target) cameFrom(client netip.Addr) bool {
	for i := range t.stages {
		if t.stages[i].group.CameFrom(client) {
			return true
		}
	}
	return false
}

// failure explains why a stage has no answer, as an extended DNS error.
func (t *target) failure(s *stage, client netip.Addr) (ede int, text string) {
	switch {
	case s.group.Consul:
		text = "Consul does not answer"
	case s.group.Empty():
		return wire.EDENoReachableAuth, "no recursor is configured"
	case s.group.CameFrom(client):
		return wire.EDENoReachableAuth, "forwarding loop: the only recursor is the one that asks"
	default:
		text = "no recursor answers"
	}
	ede = wire.EDENoReachableAuth
	for _, u := range s.group.Servers {
		if u.Down() {
			ede = wire.EDENetworkError
		}
	}
	return ede, text
}
