package dnsserver

import (
	"net/netip"

	"panteras/dnsserver/route"
	"panteras/dnsserver/sock"
	"panteras/dnsserver/upstream"
	"panteras/dnsserver/wire"
)

// none is the index that means "no query" or "no flight".
const none = int32(-1)

// inlineQuery is the longest query kept without an allocation: a name of 255 bytes and an OPT with a cookie and a client subnet.
const inlineQuery = 384

// query is one client's question, from its arrival to its answer.
type query struct {
	flight             int32
	prev, next         int32 // the other members of its flight
	lanePrev, laneNext int32 // the others of its lane, by arrival
	id                 uint16
	q                  wire.Query
	arrived            int64
	lane               *lane
	on                 *listenSocket
	client             netip.Addr
	peer               sock.Peer
	big                []byte // instead of raw, for a longer query
	raw                [inlineQuery]byte
}

// pkt is the query as it arrived, without what followed it.
func (q *query) pkt() []byte {
	if q.big != nil {
		return q.big
	}
	return q.raw[:q.q.End]
}

// attempt is one query sent to one upstream for a flight.
type attempt struct {
	server *upstream.Upstream // nil: not waited for any more
	sock   int32              // none: sent over TCP, or not waited for
	stream bool               // sent over TCP
	id     uint16
	sent   int64
}

// maxAttempts bounds what one flight sends over all its stages.
const maxAttempts = 8

type flightState uint8

const (
	gathering flightState = iota // not sent yet: more members may join
	inFlight
)

// flight is what one upstream query is sent for: one client's question, or equal ones that gathered before it was sent.
type flight struct {
	head, tail, n int32 // members; the first one's bytes are sent
	gen           uint32
	state         flightState
	// behind is the flight that gathers the equal queries that came after this one was sent.
	behind int32
	keyed  bool // stands in the table of keys
	hash   uint64

	tgt      *target
	stage    int
	try      upstream.Try
	attempts [maxAttempts]attempt
	nAtt     int   // attempts of all stages
	stageAtt int   // attempts of this stage
	deadline int64 // when the clients are told that there is no answer
	stageEnd int64 // when the next stage's time comes; the deadline in the last one
	soft     int   // the rcode of an answer that is only taken if no better one comes; noRcode
	slow     bool

	// dealt flights were sent with an OPT that the clients did not have: each member gets last.limit addresses of the answer.
	dealt    bool
	last     given // also of one that waits for a crowd: what launch is told
	pilotFor int32 // the dealt flight that this one's answer tells the limit, and its generation
	pilotGen uint32

	timer        int8
	tprev, tnext int32
	due          int64
}

// lane is what a worker has in flight for one target, in order of arrival.
type lane struct {
	kind       route.Kind
	head, tail int32
	n          int
}

const chunkBits = 7

// pool hands out numbered items and keeps them at stable addresses.
type pool[T any] struct {
	chunks [][]T
	free   []int32
}

func (p *pool[T]) at(i int32) *T { return &p.chunks[i>>chunkBits][i&(1<<chunkBits-1)] }

func (p *pool[T]) get() int32 {
	if len(p.free) == 0 {
		base := int32(len(p.chunks) << chunkBits)
		p.chunks = append(p.chunks, make([]T, 1<<chunkBits))
		for i := int32(1<<chunkBits) - 1; i >= 0; i-- {
			p.free = append(p.free, base+i)
		}
	}
	i := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return i
}

func (p *pool[T]) put(i int32) { p.free = append(p.free, i) }

// used is how many items are handed out.
func (p *pool[T]) used() int { return len(p.chunks)<<chunkBits - len(p.free) }
