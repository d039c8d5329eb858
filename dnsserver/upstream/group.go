package upstream

import (
	"net/netip"
	"sync/atomic"

	"panteras/dnsserver/wire"
)

// MaxServers is how many servers a group uses; further ones are ignored with a warning where settings are read.
const MaxServers = 32

// Group is an ordered set of servers that serve the same names.
type Group struct {
	Servers []*Upstream
	// Consul groups ask in the order given, and take NXDOMAIN and REFUSED as the truth. Others stay with the server that answered last, and ask
	// another one on REFUSED too.
	Consul bool
	// OwnNames groups are asked for nothing but names of their own zone, which a Consul never sends on: that its recursors lead back to us is no loop here,
	// and a query from its host is a client's that runs there. Only both together are suspicious (a Consul of another domain would send ours back).
	OwnNames bool

	preferred atomic.Int32
}

// Try is the record of which servers of a group one query went to. The zero value is a new query.
type Try struct{ asked uint32 }

// Next chooses the server to ask next: usable, not asked yet in this round, and not the host `from` that the query came from. It returns nil
// when there is none; a query that only timed out so far may start another round with again set.
func (g *Group) Next(t *Try, from netip.Addr, again bool) *Upstream {
	if u := g.pick(t, from); u != nil || !again {
		return u
	}
	t.asked = 0
	return g.pick(t, from)
}

func (g *Group) pick(t *Try, from netip.Addr) *Upstream {
	first := 0
	if !g.Consul {
		first = int(g.preferred.Load())
	}
	for i := range g.Servers {
		k := (first + i) % len(g.Servers)
		u := g.Servers[k]
		if t.asked&(1<<k) != 0 || u.Down() || (u.Looping() && !g.OwnNames) || g.back(u, from) {
			continue
		}
		t.asked |= 1 << k
		return u
	}
	return nil
}

// back says whether asking u would send the query back to where it came from.
func (g *Group) back(u *Upstream, from netip.Addr) bool {
	return !u.Local && u.Addr.Addr() == from && (u.Looping() || !g.OwnNames)
}

// Answered makes u the first to ask from now on.
func (g *Group) Answered(u *Upstream) {
	if g.Consul || len(g.Servers) < 2 || g.Servers[int(g.preferred.Load())%len(g.Servers)] == u {
		return
	}
	for i, s := range g.Servers {
		if s == u {
			g.preferred.Store(int32(i))
			return
		}
	}
}

// Soft says whether an answer with this rcode is only taken if no other server has a better one.
func (g *Group) Soft(rcode int) bool {
	return rcode == wire.RcodeServFail || (rcode == wire.RcodeRefused && !g.Consul)
}

// CameFrom says whether a query from the address would be sent back to the host that asked it, which is a loop.
func (g *Group) CameFrom(from netip.Addr) bool {
	for _, u := range g.Servers {
		if g.back(u, from) {
			return true
		}
	}
	return false
}

// Serves says whether any server may be asked for a query from the address.
func (g *Group) Serves(from netip.Addr) bool {
	for _, u := range g.Servers {
		if u.Local || u.Addr.Addr() != from {
			return true
		}
	}
	return false
}

// Empty says whether there is no server at all.
func (g *Group) Empty() bool { return len(g.Servers) == 0 }
