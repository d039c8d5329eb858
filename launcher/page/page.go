package page

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"panteras/launcher"
)

// root is where everything of the page is.
const root = "/page/"

// Options are what a Page shows, and to whom.
type Options struct {
	// Token lets in whoever shows it. Without one nobody is let in.
	Token    string
	Launcher Launcher
	Logs     Logs
	Peers    Peers
	Facts    func() Facts
	// Instance is another one after every start of the launcher.
	Instance string
	// Leader asks Consul who leads; "" is nobody.
	Leader func(ctx context.Context) (string, error)
	// DNS reads the metrics of the DNS server; the error may be that there are none.
	DNS func(ctx context.Context) (Metrics, error)
	// Balancer reads what HAProxy serves.
	Balancer func(ctx context.Context) (Balancer, error)
	// Explain says where a name leads, for people.
	Explain func(ctx context.Context, name string) (string, error)
	Log     *slog.Logger
	// Now is the time; nil is time.Now.
	Now func() time.Time
}

// How often sources are asked, and how long they may take.
const (
	statusEvery   = time.Second
	dnsEvery      = 2 * time.Second
	consulEvery   = 3 * time.Second
	balancerEvery = 2 * time.Second
	peersEvery    = 4 * time.Second
	patience      = 5 * time.Second
	peersPatience = 10 * time.Second
)

// Page serves the status page. It is safe for concurrent use.
type Page struct {
	o        Options
	sessions atomic.Pointer[sessions]
	mux      http.Handler
	follow   chan struct{} // a place for each stream
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup

	status   poll[launcher.Status]
	consul   poll[string]
	dns      poll[dnsHistory]
	peers    poll[[]Peer]
	balancer poll[Balancer]

	mu       sync.Mutex
	parts    []part // as they were rendered last
	rendered time.Time
	news     chan struct{} // closed when something was done
}

// New makes a Page. Close ends it.
func New(o Options) *Page {
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Page{o: o, follow: make(chan struct{}, streams), news: make(chan struct{})}
	p.SetToken(o.Token)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.status = newPoll(p, statusEvery, patience, o.Launcher.Status)
	p.consul = newPoll(p, consulEvery, patience, o.Leader)
	p.dns = newPoll(p, dnsEvery, patience, p.sampleDNS())
	p.peers = newPoll(p, peersEvery, peersPatience, o.Peers.List)
	p.balancer = newPoll(p, balancerEvery, patience, o.Balancer)
	p.mux = p.newMux()
	return p
}

// SetToken replaces the Token of [Options]. With another one all sessions have ended,
// and so have their streams.
func (p *Page) SetToken(token string) {
	next, old := newSessions(token, p.o.Now), p.sessions.Load()
	if old != nil && old.token == next.token {
		return
	}
	if old = p.sessions.Swap(next); old != nil {
		close(old.ended)
	}
}

func newPoll[T any](p *Page, every, patience time.Duration, fetch func(context.Context) (T, error)) poll[T] {
	return poll[T]{fetch: fetch, every: every, patience: patience, now: p.o.Now, ctx: p.ctx, running: &p.running}
}

// Owns tells whether a path is the page's.
func (*Page) Owns(path string) bool { return path == "/" || strings.HasPrefix(path, root) }

// IsDocument tells whether a path is one that people type in or follow a link to.
func (*Page) IsDocument(path string) bool { return path == "/" || path == root }

// sampleDNS reads the DNS server's metrics, and remembers what they were.
func (p *Page) sampleDNS() func(context.Context) (dnsHistory, error) {
	var history dnsHistory
	return func(ctx context.Context) (dnsHistory, error) {
		metrics, err := p.o.DNS(ctx)
		if err != nil {
			return nil, err
		}
		history = history.add(readDNS(p.o.Now(), metrics))
		return history, nil
	}
}

// Close ends all streams and whatever is being asked.
func (p *Page) Close() {
	p.cancel()
	p.running.Wait()
}

// firstLook is how long the first page waits for sources that have not answered yet.
const firstLook = 1500 * time.Millisecond

// look collects what is known.
func (p *Page) look(ctx context.Context) *snapshot {
	ctx, cancel := context.WithTimeout(ctx, firstLook)
	defer cancel()
	s := &snapshot{facts: p.o.Facts()}
	var wg sync.WaitGroup
	wg.Go(func() { s.status = p.status.look(ctx) })
	wg.Go(func() { s.consul = p.consul.look(ctx) })
	wg.Go(func() { s.dns = p.dns.look(ctx) })
	wg.Go(func() { s.peers = p.peers.look(ctx) })
	wg.Go(func() { s.balancer = p.balancer.look(ctx) })
	wg.Wait()
	s.now = p.o.Now()
	return s
}

// renderEvery is how often the page is rendered, for all who look.
const renderEvery = time.Second

// current are the parts as they are now.
func (p *Page) current(ctx context.Context) ([]part, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	if p.parts != nil && now.Sub(p.rendered) < renderEvery*9/10 {
		return p.parts, nil
	}
	parts, err := render(p.look(ctx))
	if err != nil {
		return nil, err
	}
	p.parts, p.rendered = parts, now
	return parts, nil
}

// changed makes everybody see what was done.
func (p *Page) changed() {
	p.status.expire()
	p.peers.expire()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts = nil
	close(p.news)
	p.news = make(chan struct{})
}

// nextNews is closed when something is done the next time.
func (p *Page) nextNews() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.news
}
