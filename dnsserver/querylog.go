package dnsserver

import (
	"crypto/rand"
	"log/slog"
	mrand "math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"panteras/dnsserver/route"
	"panteras/dnsserver/wire"
)

// queryLog writes one line a query (LOG_QUERIES), in a goroutine of its own so that a slow terminal slows no query; lines that it cannot
// keep up with are lost.
type queryLog struct {
	every atomic.Int64 // 0: off, n: one in n
	seen  atomic.Int64
	lines chan queryLine
	done  chan struct{}
}

type queryLine struct {
	client     netip.Addr
	name       string
	typ, class uint16
	kind       route.Kind
	rcode      int
	took       time.Duration
}

func newQueryLog(log *slog.Logger, every int) *queryLog {
	l := &queryLog{lines: make(chan queryLine, 1024), done: make(chan struct{})}
	l.every.Store(int64(every))
	go func() {
		defer close(l.done)
		for q := range l.lines {
			log.Info("query", "client", q.client.String(), "name", presentation(q.name), "type", mnemonic(dns.TypeToString[q.typ], "TYPE", q.typ),
				"class", mnemonic(dns.ClassToString[q.class], "CLASS", q.class), "route", q.kind.String(), "rcode", rcodeName(q.rcode), "took", q.took)
		}
	}()
	return l
}

// mnemonic is the type's or class's name, or the form of RFC 3597 section 5.
func mnemonic(name, prefix string, n uint16) string {
	if name != "" && !strings.HasPrefix(name, "Reserved") {
		return name
	}
	return prefix + strconv.Itoa(int(n))
}

func (l *queryLog) close() {
	close(l.lines)
	<-l.done
}

func (l *queryLog) add(client netip.Addr, pkt []byte, q *wire.Query, kind route.Kind, rcode int, ns int64) {
	every := l.every.Load()
	if every == 0 || l.seen.Add(1)%every != 0 {
		return
	}
	select {
	case l.lines <- queryLine{client, string(q.Name(pkt)), q.Type, q.Class, kind, rcode, time.Duration(ns)}:
	default:
	}
}

func (w *worker) logQuery(client netip.Addr, pkt []byte, q *wire.Query, kind route.Kind, rcode int, ns int64) {
	if w.srv.queries.every.Load() != 0 {
		w.srv.queries.add(client, pkt, q, kind, rcode, ns)
	}
}

// newRand makes a generator whose output cannot be guessed (RFC 5452 section 9.2): ChaCha8, seeded by the system.
func newRand() *mrand.ChaCha8 {
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails (crypto/rand)
	return mrand.NewChaCha8(seed)
}
