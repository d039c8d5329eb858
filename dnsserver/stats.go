package dnsserver

import (
	"math/bits"
	"sync/atomic"
	"time"

	"panteras/dnsserver/route"
	"panteras/dnsserver/wire"
)

type transport uint8

const (
	udp transport = iota
	tcp
	numTransports
)

func (t transport) String() string { return [numTransports]string{"udp", "tcp"}[t] }

// dropReason says why a query got no answer, or not the whole one.
type dropReason uint8

const (
	dropNotAllowed dropReason = iota
	dropMalformed
	dropOverload
	dropLoop
	dropSend
	dropBrokenAnswer
	dropPrivate
	dropConnections
	numDrops
)

func (d dropReason) String() string {
	return [numDrops]string{"not_allowed", "malformed", "overload", "loop", "send", "broken_answer", "private_address", "connections"}[d]
}

const (
	numKinds  = int(route.Empty) + 1
	numRcodes = wire.RcodeBadVers + 1 // the header has 4 bits for them; BADVERS is what we make beyond those
	// Latency buckets are powers of two of a microsecond: 64 µs to 8.4 s.
	firstBucket = 6
	numBuckets  = 18
)

// stats counts what one worker, or the TCP side, has done. One goroutine writes it, mostly; the metrics read it.
type stats struct {
	answers  [numKinds][numTransports][numRcodes]atomic.Uint64
	buckets  [numKinds][numBuckets + 1]atomic.Uint64 // the last one is what took longer
	latency  [numKinds]atomic.Int64                  // sum, ns
	drops    [numDrops]atomic.Uint64
	shared   atomic.Uint64
	moved    atomic.Uint64
	full     atomic.Uint64
	trimmed  atomic.Uint64
	cut      atomic.Uint64
	inFlight atomic.Int64
}

func newStats() *stats { return new(stats) }

func (s *stats) drop(r dropReason) { s.drops[r].Add(1) }

// answer counts an answer that took ns nanoseconds. rcode is below numRcodes.
func (s *stats) answer(kind route.Kind, t transport, rcode int, ns int64) {
	s.answers[kind][t][rcode].Add(1)
	b := max(bits.Len64(uint64(ns/int64(time.Microsecond)))-firstBucket, 0)
	s.buckets[kind][min(b, numBuckets)].Add(1)
	s.latency[kind].Add(ns)
}

// result counts what an answer lost to its size.
func (s *stats) result(r wire.Result) {
	switch r {
	case wire.Trimmed:
		s.trimmed.Add(1)
	case wire.Truncated:
		s.cut.Add(1)
	}
}
