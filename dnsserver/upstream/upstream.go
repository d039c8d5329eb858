// Package upstream knows the servers that queries are forwarded to: which are up, which to ask next, and how to ask them over TCP. Over UDP the workers of
// the DNS server ask themselves; they report here what they saw.
package upstream

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Failures in a row, no answer in between, after which a server is suspected (timeouts) or counts as down (port unreachable).
const maxFailures = 3

type state int32

const (
	up state = iota
	// suspect servers are still asked: three timeouts may be three slow names. A probe decides.
	suspect
	down
)

// Upstream is one server. All methods may be called from any goroutine.
type Upstream struct {
	// Addr is where it listens, UDP and TCP.
	Addr netip.AddrPort
	// Local says that it runs on this host, so that 64 KiB datagrams reach us whole.
	Local bool
	// Consul says that it is asked for names of Consul.
	Consul bool

	stream   *Stream
	probe    []byte // a query that a healthy server answers, whatever it knows
	log      *slog.Logger
	failures atomic.Int32
	state    atomic.Int32
	looping  atomic.Bool

	mu      sync.Mutex
	closing context.CancelFunc
	ctx     context.Context
	probing bool
	wg      sync.WaitGroup

	// What happened so far, for the metrics.
	Answers, Timeouts, Mismatches, Unreachable atomic.Uint64
	// Latency is the smoothed time to answer in nanoseconds.
	Latency atomic.Int64
}

// New makes an upstream that is taken to be up. probe is a DNS message; its id is replaced.
func New(addr netip.AddrPort, local, consul bool, probe []byte, log *slog.Logger) *Upstream {
	ctx, cancel := context.WithCancel(context.Background())
	u := &Upstream{Addr: addr, Local: local, Consul: consul, probe: probe, log: log.With("upstream", addr.String()), ctx: ctx, closing: cancel}
	u.stream = newStream(addr)
	return u
}

// Close ends probes and TCP connections; pending TCP queries fail.
func (u *Upstream) Close() {
	u.mu.Lock()
	u.closing()
	u.mu.Unlock()
	u.stream.close()
	u.wg.Wait()
}

// Down says whether the server counts as dead until a probe is answered.
func (u *Upstream) Down() bool { return state(u.state.Load()) == down }

// Looping says whether queries sent there came back to us.
func (u *Upstream) Looping() bool { return u.looping.Load() }

// SetLooping notes that, or takes it back.
func (u *Upstream) SetLooping(v bool) { u.looping.Store(v) }

// Answered reports an answer that took d.
func (u *Upstream) Answered(d time.Duration) {
	u.Answers.Add(1)
	if u.failures.Load() != 0 {
		u.failures.Store(0)
	}
	if state(u.state.Load()) != up {
		u.setUp()
	}
	old := u.Latency.Load()
	u.Latency.Store(old + (int64(d)-old)/8)
}

func (u *Upstream) setUp() {
	u.failures.Store(0)
	if state(u.state.Swap(int32(up))) == down {
		u.log.Info("upstream answers again")
	}
}

// TimedOut reports that a query was not answered in time. One query reports it once at most.
func (u *Upstream) TimedOut() {
	u.Timeouts.Add(1)
	if u.failures.Add(1) >= maxFailures && u.state.CompareAndSwap(int32(up), int32(suspect)) {
		u.startProbe()
	}
}

// Refused reports that the host said nobody listens there, or that it cannot be reached.
func (u *Upstream) Refused() {
	u.Unreachable.Add(1)
	if u.failures.Add(1) >= maxFailures && state(u.state.Load()) != down {
		u.setDown("unreachable")
		u.startProbe()
	}
}

func (u *Upstream) setDown(why string) {
	if state(u.state.Swap(int32(down))) != down {
		u.log.Warn("upstream is down; its names get SERVFAIL unless another one answers", "reason", why)
	}
}
