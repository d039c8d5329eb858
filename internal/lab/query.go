package lab

import (
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Query is what an Upstream was asked.
type Query struct {
	Msg    *dns.Msg // nil if it could not be parsed
	Raw    []byte   // exactly as it arrived, without TCP's length
	TCP    bool
	From   netip.AddrPort
	Number int // 1 for the first that this upstream got, over either transport
}

// Stats says what an Upstream has got so far.
type Stats struct {
	UDP, TCP    int // queries
	Connections int // over TCP
	Malformed   int // queries that could not be parsed
	Sources     int // distinct addresses and ports that UDP queries came from
	IDs         int // distinct ids of UDP queries
}

// Stats returns the counters as they are now.
func (u *Upstream) Stats() Stats {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.seen
	return Stats{s.udp, s.tcp, s.connections, s.malformed, len(s.sources), len(s.ids)}
}

// Asked returns how often a question was asked, whatever its case.
func (u *Upstream) Asked(name string, qtype uint16) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen.questions[question{fold(name), qtype}]
}

// question is what queries are counted by.
type question struct {
	name  string
	qtype uint16
}

// fold returns how names are compared.
func fold(name string) string { return strings.ToLower(dns.Fqdn(name)) }

// seen is what an upstream remembers of the queries it got.
type seen struct {
	udp, tcp, connections, malformed int

	sources   map[netip.AddrPort]struct{}
	ids       map[uint16]struct{}
	questions map[question]int
}

func newSeen() seen {
	return seen{sources: map[netip.AddrPort]struct{}{}, ids: map[uint16]struct{}{}, questions: map[question]int{}}
}

// arrived parses and counts a query.
func (u *Upstream) arrived(raw []byte, from netip.AddrPort, tcp bool) *Query {
	q := &Query{Raw: raw, TCP: tcp, From: from}
	msg := new(dns.Msg)
	if msg.Unpack(raw) == nil && len(msg.Question) == 1 {
		q.Msg = msg
	}

	u.mu.Lock()
	defer u.mu.Unlock()
	if tcp {
		u.seen.tcp++
	} else {
		u.seen.udp++
		u.seen.sources[from] = struct{}{}
	}
	q.Number = u.seen.udp + u.seen.tcp
	if q.Msg == nil {
		u.seen.malformed++
		return q
	}
	if !tcp {
		u.seen.ids[msg.Id] = struct{}{}
	}
	u.seen.questions[question{fold(msg.Question[0].Name), msg.Question[0].Qtype}]++
	return q
}

// handle takes the actions for a query: at once as far as none of them waits,
// which keeps answers in the order of their queries, and in a goroutine from
// there on. A serial TCP connection waits for them. Pending, if any, counts the
// goroutine.
func (u *Upstream) handle(q *Query, out transport, pending *sync.WaitGroup) {
	x := &exchangeState{u: u, query: q, out: out}
	actions := u.handler(q)
	for i, action := range actions {
		if action.waits && !(u.serial && q.TCP) {
			rest := func() { x.take(actions[i:]) }
			if pending != nil {
				pending.Add(1)
				rest = func() { defer pending.Done(); x.take(actions[i:]) }
			}
			u.work.Go(rest)
			return
		}
		if !action.run(x) {
			return
		}
	}
}
