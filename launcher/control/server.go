package control

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"panteras/launcher"

	"golang.org/x/net/netutil"
)

// The limits of a connection.
const (
	headerTimeout = 5 * time.Second
	requestTime   = 10 * time.Second // to send a request, or to take a short answer
	idleTimeout   = 60 * time.Second
	headerBytes   = 16 << 10
	bodyBytes     = 64 << 10
	connections   = 128
	// actionTime is how long a request waits for a start or a stop.
	actionTime = 10 * time.Minute
	// followers is how many requests may follow logs at the same time.
	followers = 32
)

// Options are what a Server serves, and to whom.
type Options struct {
	Supervisor Supervisor
	Logs       Logs
	// Token is the secret that clients over TCP must show. Without one nobody is let in.
	Token string
	// Names are the host's names, as [Names] has them.
	Names []string
	Build Build
	// Children are the addresses of the metrics of daemons, by the daemon's name, each
	// as METRICS_LISTEN has them.
	Children map[string]string
	Log      *slog.Logger
}

// Build says what the launcher was built from.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

// Instance tells one life of the launcher from the next.
type Instance struct {
	Build
	Pid int `json:"pid"`
	// ID is another one after every start and every upgrade.
	ID string `json:"instance"`
	// Started is when that was.
	Started time.Time `json:"started"`
}

// Server serves the API. It is safe for concurrent use.
type Server struct {
	options  Options
	instance Instance
	gate     atomic.Pointer[gate]
	health   *health
	mux      http.Handler
	metrics  http.Handler
	follow   chan struct{} // a place for each follower
	asking   chan struct{} // holds one while the supervisor is asked
	ctx      context.Context
	cancel   context.CancelFunc

	mu       sync.Mutex
	page     Page
	servers  []*http.Server
	children map[string]string
}

// New makes a Server. Close ends it.
func New(o Options) *Server {
	s := &Server{
		options:  o,
		instance: Instance{Build: o.Build, Pid: os.Getpid(), ID: rand.Text(), Started: time.Now()},
		health:   newHealth(),
		follow:   make(chan struct{}, followers), asking: make(chan struct{}, 1),
		children: o.Children,
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.SetAccess(o.Token, o.Names)
	s.metrics = s.newMetrics()
	s.mux = s.newMux()
	return s
}

// SetAccess replaces the Token and the Names of [Options]. With another token, what is
// being answered over TCP to those who came with the old one ends.
func (s *Server) SetAccess(token string, names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, old := newGate(token, names), s.gate.Load()
	if old == nil || old.token != next.token {
		next.holds, next.void = context.WithCancel(s.ctx)
	} else {
		next.holds, next.void = old.holds, old.void
	}
	s.gate.Store(next)
	if old != nil && old.token != next.token {
		old.void()
	}
}

// SetChildren replaces where the metrics of daemons are.
func (s *Server) SetChildren(children map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.children = children
}

// Page is the status page, served over TCP to whoever it lets in itself.
type Page interface {
	http.Handler
	// Owns tells whether a path is the page's, IsDocument whether it is one of those
	// that links of others may lead to.
	Owns(path string) bool
	IsDocument(path string) bool
}

// SetPage adds the status page.
func (s *Server) SetPage(p Page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page = p
}

// Instance tells which life of the launcher this is.
func (s *Server) Instance() Instance { return s.instance }

// pageOf is the status page if a request is for it.
func (s *Server) pageOf(r *http.Request) Page {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.page != nil && s.page.Owns(r.URL.Path) && r.URL.EscapedPath() == r.URL.Path {
		return s.page
	}
	return nil
}

// ServeSocket serves those who can open the control socket, who need no token, until
// Close; then it returns nil.
func (s *Server) ServeSocket(l net.Listener) error { return s.serve(l, s.mux) }

// ServeTCP serves those who have the token, until Close; then it returns nil.
func (s *Server) ServeTCP(l net.Listener) error {
	return s.serve(netutil.LimitListener(l, connections), http.HandlerFunc(s.guarded))
}

func (s *Server) serve(l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTime, WriteTimeout: requestTime, IdleTimeout: idleTimeout,
		MaxHeaderBytes: headerBytes,
		BaseContext:    func(net.Listener) context.Context { return s.ctx },
		ErrorLog:       slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug),
		// Otherwise "OPTIONS *" is answered before anybody looks at the token.
		DisableGeneralOptionsHandler: true,
	}
	s.mu.Lock()
	s.servers = append(s.servers, srv)
	s.mu.Unlock()
	if s.ctx.Err() != nil {
		_ = l.Close()
		return nil
	}
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends what is being answered, followers first; what is still not over when ctx is
// done is cut off. The sockets are closed, the file of the control socket stays.
func (s *Server) Close(ctx context.Context) {
	s.cancel()
	s.mu.Lock()
	servers := s.servers
	s.mu.Unlock()
	for _, srv := range servers {
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
	}
}

// guarded answers over TCP.
func (s *Server) guarded(w http.ResponseWriter, r *http.Request) {
	harden(w)
	page, gate := s.pageOf(r), s.gate.Load()
	no := gate.foreign(r, page != nil && page.IsDocument(r.URL.Path))
	if no == nil && page == nil {
		no = gate.unknown(r)
	}
	if no != nil {
		if no.code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="panteras"`)
		}
		// What follows in the body of somebody who is not let in is not read.
		w.Header().Set("Connection", "close")
		fail(w, no.code, no.text)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(gate.holds, cancel)()
	r = r.WithContext(ctx)
	if page != nil {
		page.ServeHTTP(w, r)
		return
	}
	if open(r) {
		// Not by way of the mux: nothing else can be reached without the token.
		s.getHealth(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// harden sets what a browser that gets hold of an answer may do with it: nothing.
func harden(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// Status asks the supervisor, in bounded time. One that does not answer is asked again
// only when it has.
func (s *Server) Status(ctx context.Context) (launcher.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	silent := errors.New("the launcher does not answer")
	select {
	case s.asking <- struct{}{}:
	case <-ctx.Done():
		return launcher.Status{}, silent
	}
	answer := make(chan launcher.Status, 1)
	go func() {
		defer func() { <-s.asking }()
		answer <- s.options.Supervisor.Status()
	}()
	select {
	case st := <-answer:
		return st, nil
	case <-ctx.Done():
		return launcher.Status{}, silent
	}
}
