package firewall

import (
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// tableName is the one table that is ours, of family inet.
const tableName = "panteras"

func table() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
}

// The counters, by what they say about the packets that were not let through.
const (
	countExpired  = "expired"  // from an address that is no peer's now
	countClosed   = "closed"   // to a destination that is closed to everybody
	countPeers    = "peers"    // from peer to peer
	countGateway  = "gateway"  // to the gateway itself, other than DNS and echo
	countPolicy   = "policy"   // to a destination that the policy does not allow
	countInbound  = "inbound"  // to a peer, and no answer that it may have
	countForged   = "forged"   // from a peer's address, and not out of the tunnel
	countSilenced = "silenced" // those among the others that got no reject because of the rate
)

var counters = []string{countExpired, countClosed, countPeers, countGateway, countPolicy, countInbound, countForged, countSilenced}

// How often one peer is told that it may not; what is more is dropped in silence, or a
// flood of rejects would starve what is allowed.
const (
	rejectsPerSecond = 20
	rejectsBurst     = 40
	refusedSize      = 65536
	refusedTimeout   = time.Minute
)

// side is one family's sets.
type side struct {
	family
	dynamic                                 [dynamicSets]*nftables.Set
	peers, gateway, routes, closed, refused *nftables.Set
}

// writer writes the table of some rules; the connection collects the commands.
type writer struct {
	to    *nftables.Conn
	table *nftables.Table
	rules *Rules
	now   time.Time
	sides []*side
	count int // of the rules
	err   error
}

func newWriter(r *Rules, now time.Time) *writer { return &writer{table: table(), rules: r, now: now} }

// write adds the commands that put the rules in the place of whatever table there is.
func (w *writer) write(b *nftables.Conn) error {
	w.to = b
	b.AddTable(w.table) // or deleting fails where there is none
	b.DelTable(w.table)
	b.AddTable(w.table)
	for _, name := range counters {
		b.AddObj(&nftables.NamedObj{Table: w.table, Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}})
	}
	for _, f := range []family{ipv4, ipv6} {
		w.sides = append(w.sides, w.sets(f))
	}
	w.input()
	w.forward()
	w.mss()
	if w.rules.Floating.IsValid() {
		w.quiet()
	}
	if w.rules.Masquerade {
		w.nat()
	}
	return w.err
}

func (w *writer) sets(f family) *side {
	v4 := f.digit == ipv4.digit
	m := members(w.rules, v4)
	var gateway []nftables.SetElement
	for _, a := range w.rules.Gateway {
		if a.Is4() == v4 {
			gateway = append(gateway, nftables.SetElement{Key: a.AsSlice()})
		}
	}
	s := &side{family: f}
	tuple := nftables.MustConcatSetType(f.address, f.address, nftables.TypeInetProto, nftables.TypeInetService)
	for i, set := range [dynamicSets]*nftables.Set{
		inPeers:  {Name: setPeers, KeyType: f.address},
		inFull:   {Name: setFull, KeyType: f.address},
		inExact:  {Name: setExact, KeyType: tuple, Concatenation: true},
		inPolicy: {Name: setPolicy, KeyType: tuple, Concatenation: true, Interval: true},
	} {
		set.Name, set.HasTimeout = set.Name+f.digit, true
		s.dynamic[i] = w.set(set, kernelElements(m[i], w.now))
	}
	s.peers = s.dynamic[inPeers]
	s.gateway = w.set(&nftables.Set{Name: setGateway + f.digit, KeyType: f.address}, gateway)
	s.routes = w.set(&nftables.Set{Name: setRoutes + f.digit, KeyType: f.address, Interval: true}, intervals(routesOf(w.rules, v4)))
	only := &Rules{Routes: closed}
	s.closed = w.set(&nftables.Set{Name: setClosed + f.digit, KeyType: f.address, Interval: true}, intervals(routesOf(only, v4)))
	s.refused = w.set(&nftables.Set{Name: setRefused + f.digit, KeyType: f.address, HasTimeout: true, Timeout: refusedTimeout, Dynamic: true, Size: refusedSize}, nil)
	return s
}

// set adds a set with its elements.
func (w *writer) set(s *nftables.Set, elements []nftables.SetElement) *nftables.Set {
	s.Table = w.table
	if err := w.to.AddSet(s, nil); err != nil && w.err == nil {
		w.err = err
	}
	if err := inChunks(elements, func(part []nftables.SetElement) error { return w.to.SetAddElements(s, part) }); err != nil && w.err == nil {
		w.err = err
	}
	return s
}

// chunk is how many elements go in one message: the list's length is a 16-bit number of
// bytes. With IPv6 a policy's element has about 130.
const chunk = 300

func inChunks(elements []nftables.SetElement, f func([]nftables.SetElement) error) error {
	for part := range slices.Chunk(elements, chunk) {
		if err := f(part); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) hook(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	policy := nftables.ChainPolicyAccept // of what has nothing to do with the tunnel
	return w.to.AddChain(&nftables.Chain{Table: w.table, Name: name, Type: kind, Hooknum: hook, Priority: priority, Policy: &policy})
}

func (w *writer) chain(name string) *nftables.Chain {
	return w.to.AddChain(&nftables.Chain{Table: w.table, Name: name})
}

// rule adds a rule that says its parts one after the other.
func (w *writer) rule(c *nftables.Chain, parts ...words) {
	w.count++
	w.to.AddRule(&nftables.Rule{Table: w.table, Chain: c, Exprs: slices.Concat(parts...)})
}

// input is what reaches the gateway itself: DNS at its tunnel address, echo, and the ports
// that are open as those of any other host are.
func (w *writer) input() {
	refuse := w.refuse("refuse_input")
	c := w.chain("to_gateway")
	for _, s := range w.sides {
		w.rule(c, s.is(), s.notIn(s.source, s.peers), counted(countExpired), drop())
		w.rule(c, s.is(), s.in(s.destination, s.closed), counted(countClosed), drop())
		for _, protocol := range []byte{protoUDP, protoTCP} {
			w.rule(c, s.is(), s.in(s.destination, s.gateway), toPort(protocol, w.rules.DNSPort), accept())
		}
		for _, t := range []byte{s.echoRequest, s.echoRep} {
			w.rule(c, s.is(), s.icmpType(t), accept())
		}
		for _, port := range w.rules.HostPorts {
			here := slices.Concat(s.is(), s.in(s.destination, s.routes), toPort(protoTCP, port))
			w.rule(c, here, s.in(s.source, s.dynamic[inFull]), accept())
			for _, set := range s.dynamic[inExact:] {
				w.rule(c, here, s.allowed(s.source, s.destination, destinationPort, set), accept())
			}
		}
	}
	w.rule(c, counted(countGateway), jump(refuse))
	input := w.hook("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter)
	w.rule(input, from(w.rules.Interface), jump(c.Name))
	w.unforged(input)
}

// unforged drops what has a peer's address and does not come out of the tunnel; only a peer
// has such an address. It may come out of an interface that was the tunnel's until another
// program renamed it, a moment ago.
func (w *writer) unforged(c *nftables.Chain) {
	for _, s := range w.sides {
		w.rule(c, s.is(), s.in(s.source, s.peers), counted(countForged), drop())
	}
}

// forward is what peers send to the networks behind the gateway, and the answers. Both
// are looked up in the policy packet by packet, so that what is taken away ends at once.
func (w *writer) forward() {
	refuse := w.refuse("refuse_forward")
	out := w.chain("from_peer")
	for _, s := range w.sides {
		w.rule(out, s.is(), s.notIn(s.source, s.peers), counted(countExpired), drop())
		w.rule(out, s.is(), s.in(s.destination, s.closed), counted(countClosed), jump(refuse))
	}
	w.rule(out, to(w.rules.Interface), counted(countPeers), jump(refuse))
	for _, s := range w.sides {
		w.rule(out, s.is(), s.in(s.destination, s.routes), s.in(s.source, s.dynamic[inFull]), accept())
		for _, set := range s.dynamic[inExact:] {
			w.rule(out, s.is(), s.in(s.destination, s.routes), s.allowed(s.source, s.destination, destinationPort, set), accept())
		}
	}
	w.rule(out, counted(countPolicy), jump(refuse))

	back := w.chain("to_peer")
	for _, s := range w.sides {
		w.rule(back, s.is(), s.notIn(s.destination, s.peers), counted(countInbound), drop())
		established := connection(expr.CtStateBitESTABLISHED)
		w.rule(back, s.is(), established, s.in(s.source, s.routes), s.in(s.destination, s.dynamic[inFull]), accept())
		for _, set := range s.dynamic[inExact:] {
			w.rule(back, s.is(), established, s.in(s.source, s.routes), s.allowed(s.destination, s.source, sourcePort, set), accept())
		}
		w.rule(back, s.is(), connection(expr.CtStateBitRELATED), overProtocol(s.icmp), accept()) // such as: packet too big
	}
	w.rule(back, counted(countInbound), drop())

	forward := w.hook("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	w.rule(forward, from(w.rules.Interface), jump(out.Name))
	w.rule(forward, to(w.rules.Interface), jump(back.Name))
	// What is for a peer goes into the tunnel or nowhere: while the interface is away, as in
	// a restart, the host would send it in the clear along its default route.
	for _, s := range w.sides {
		w.rule(forward, s.is(), s.in(s.destination, s.peers), counted(countInbound), drop())
	}
	w.unforged(forward)
}

// refuse is the end of a packet that is told so, as long as its sender does not send too
// many of them. Each hook has its own, as the kernel wants.
func (w *writer) refuse(name string) string {
	c := w.chain(name)
	for _, s := range w.sides {
		w.rule(c, s.is(), s.fasterThan(rejectsPerSecond, rejectsBurst, s.refused), counted(countSilenced), drop())
	}
	w.rule(c, resetTCP())
	w.rule(c, prohibit())
	return name
}

func (w *writer) mss() {
	c := w.hook("mss", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityMangle)
	w.rule(c, from(w.rules.Interface), clampMSS())
	w.rule(c, to(w.rules.Interface), clampMSS())
}

// quiet silences a gateway that stands by: a client follows a packet from another address
// of one that has its gateway's key, and would be torn between the two.
func (w *writer) quiet() {
	c := w.hook("quiet", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter)
	for _, s := range w.sides {
		if s.addressLen == uint32(w.rules.Floating.Addr().BitLen()/8) {
			w.rule(c, s.is(), fromPort(protoUDP, w.rules.Floating.Port()), s.notFrom(w.rules.Floating.Addr()), drop())
		}
	}
}

func (w *writer) nat() {
	c := w.hook("nat", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	w.rule(c, from(w.rules.Interface), notTo(w.rules.Interface), masquerade())
}
