// Package dnsserver is the DNS server on port 53. Names of Consul (consul., CONSUL_DOMAIN, services under HAPROXY_ADD_DOMAIN) go to Consul, nothing of
// which is ever cached; everything else goes to the host's recursors.
//
// One event loop per core serves UDP on raw packets (worker); TCP is served by goroutines (tcpServer). Both ask a snapshot, computed from the
// settings without I/O, what to do with a query. Reloads replace the snapshot; no query is lost.
package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"panteras/configs"
	"panteras/dnsserver/lb"
	"panteras/dnsserver/listen"
	"panteras/dnsserver/upstream"
)

// drainTime is how long a stopping server waits for what is in flight: longer than any query lives.
const drainTime = 5 * time.Second

// Server is the DNS server. Make one with New, run it once with Run.
type Server struct {
	log     *slog.Logger
	cfg     atomic.Pointer[snapshot]
	workers []*worker
	tcp     *tcpServer
	queries *queryLog
	often   oftenLog

	mu        sync.Mutex // guards what a reload changes
	settings  *configs.Settings
	facts     facts
	upstreams map[serverKey]*upstream.Upstream
	binder    *binder
	inherited []*listen.Sockets
	running   bool
	view      *lb.View // DNS_MODE=lb: what Consul said last
	learning  *learning
	learnCtx  context.Context // set while Run runs

	learners sync.WaitGroup
	leaving  sync.WaitGroup // upstreams that are being closed
	ended    chan struct{}  // closed when no query is left
}

// New makes a server out of settings. It reads the host's files and takes over sockets that were handed to the process (LISTEN_FDS), but opens none of its own.
func New(s *configs.Settings, log *slog.Logger) (*Server, error) {
	srv := &Server{log: log, settings: s, upstreams: map[serverKey]*upstream.Upstream{}, ended: make(chan struct{})}
	inherited, err := listen.Inherited()
	if err != nil {
		return nil, err
	}
	srv.inherited = inherited
	srv.facts = srv.look()
	if err := srv.rebuild(); err != nil {
		return nil, err
	}
	srv.queries = newQueryLog(log, s.LogQueries)
	srv.tcp = newTCPServer(srv)
	srv.binder = &binder{srv: srv}
	return srv, nil
}

// Run listens and serves until ctx is done; then it answers what is in flight and returns nil. ready is called once all sockets are open. An address that
// cannot be bound is an error; one that is not there yet is waited for.
func (s *Server) Run(ctx context.Context, ready func()) error {
	spareProcessor()
	collectEarly()
	shortSlices()
	for range eventLoops {
		w, err := newWorker(s)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.workers = append(s.workers, w)
		s.mu.Unlock()
	}
	var loops sync.WaitGroup
	for _, w := range s.workers {
		loops.Go(w.run)
	}
	stop := func() {
		for _, w := range s.workers {
			w.post(w.drain)
		}
		s.tcp.drain()
		loops.Wait()
		s.tcp.wait()
		s.queries.close()
		close(s.ended)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leaving.Wait()
		for _, u := range s.upstreams {
			u.Close()
		}
	}
	helperCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.learnCtx = helperCtx
	s.learn()
	s.mu.Unlock()
	s.learned(ctx)
	s.mu.Lock()
	err := s.binder.start()
	s.running = err == nil
	s.mu.Unlock()
	if err != nil {
		cancel()
		s.learners.Wait()
		stop()
		return err
	}
	var helpers sync.WaitGroup
	helpers.Go(func() { s.watch(helperCtx) })
	s.probeLoops()
	ready()
	<-ctx.Done()
	cancel()
	helpers.Wait()
	s.learners.Wait()
	stop()
	return nil
}

// Reload takes over new settings, without losing a query. If they cannot be used, the old ones stay in force and the error says why. The metrics address
// and the log settings are not changed by it.
func (s *Server) Reload(settings *configs.Settings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.settings
	s.settings = settings
	s.facts = s.look()
	err := s.rebuild()
	if err == nil && s.running { // else Run is about to bind what the settings say now
		err = s.binder.sync()
	}
	if err != nil {
		s.settings = old
		err = errors.Join(fmt.Errorf("the settings in force stay: %w", err), s.rebuild())
		if s.running {
			err = errors.Join(err, s.binder.sync())
		}
		return err
	}
	s.queries.every.Store(int64(settings.LogQueries))
	if s.learnCtx != nil {
		s.learn()
	}
	if !s.running {
		return nil
	}
	go s.probeLoops()
	return nil
}

// look reads the facts of the host.
func (s *Server) look() facts {
	f := readFacts(s.facts)
	f.tunnel = listen.NetworksOf(s.settings.TunnelInterface)
	for _, i := range s.inherited {
		if i.Name == HeldName {
			continue
		}
		f.inherited = append(f.inherited, i.Addr)
	}
	return f
}

// rebuild makes and publishes a snapshot. Called with the lock held, or before Run.
func (s *Server) rebuild() error {
	snap, warnings, err := build(s.settings, s.facts, s.upstreamFor)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		s.log.Warn(w)
	}
	if s.settings.DNSMode == configs.DNSModeLB {
		snap.lb = newBalanced(s.view, s.settings, snap.own)
	}
	if old := s.cfg.Load(); old != nil {
		snap.tokens = old.tokens
	}
	s.cfg.Store(snap)
	for a, u := range s.upstreams {
		if !snap.servers[u] {
			delete(s.upstreams, a)
			s.leaving.Go(func() { s.closeLater(u) })
		}
	}
	return nil
}

// closeLater closes a server that is not asked any more once what was asked there before is answered.
func (s *Server) closeLater(u *upstream.Upstream) {
	wait := time.NewTimer(drainTime)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-s.ended:
	}
	u.Close()
}

// serverKey tells apart what is known of a server as Consul and as a recursor, and on this host and elsewhere: an address may come and go.
type serverKey struct {
	addr          netip.AddrPort
	local, consul bool
}

func (s *Server) upstreamFor(a netip.AddrPort, local, consul bool, probe []byte) *upstream.Upstream {
	key := serverKey{a, local, consul}
	if u := s.upstreams[key]; u != nil {
		return u
	}
	u := upstream.New(a, local, consul, probe, s.log)
	s.upstreams[key] = u
	return u
}

// refresh looks at the host again and takes over what has changed.
func (s *Server) refresh(f facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.facts = f
	if err := s.rebuild(); err != nil {
		s.log.Error("the change on this host cannot be taken over; what was known before stays in force", "error", err)
	}
	if err := s.binder.sync(); err != nil {
		s.log.Error("cannot follow the change of addresses", "error", err)
	}
}

func (s *Server) allStats() []*stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []*stats{s.tcp.stats}
	for _, w := range s.workers {
		all = append(all, w.stats)
	}
	return all
}

// inFlight counts the queries that wait, by transport.
func (s *Server) inFlight() (n [numTransports]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		n[udp] += w.stats.inFlight.Load()
	}
	n[tcp] = s.tcp.stats.inFlight.Load()
	return n
}

func (s *Server) warnOften(msg string, err error) { s.often.warn(s.log, msg, err) }

// oftenLog keeps a message that could come with each query to one a second.
type oftenLog struct{ last atomic.Int64 }

func (o *oftenLog) warn(log *slog.Logger, msg string, err error) {
	now, last := monotonic(), o.last.Load()
	if (last == 0 || now-last > int64(time.Second)) && o.last.CompareAndSwap(last, now) {
		log.Warn(msg, "error", err)
	}
}
