package lb

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	consul "github.com/hashicorp/consul/api"
)

const (
	// waiting is how long a query waits for a change; Consul adds a sixteenth.
	waiting = 10 * time.Second
	// turns is how many nodes are waited for at once. Consul's agent takes 200
	// connections of a host unless told otherwise, and others need some. Beyond this
	// many, nodes take turns of turnTime.
	turns    = 100
	turnTime = time.Second
	// looks is how many nodes are looked at for the first time at once.
	looks = 16
	// pause is the least time between two queries for the same thing.
	pause = 200 * time.Millisecond
	// maxBackoff bounds the time between attempts while Consul does not answer.
	maxBackoff = 5 * time.Second
	// centresEvery is how often the data centres are asked for, which nobody can wait for.
	centresEvery = 30 * time.Second
	// answerTime is how long an answer may take beyond the time waited for a change.
	answerTime = 10 * time.Second
)

// Learner follows Consul: the instances of each node, and the checks that fail, of all
// nodes at once. So what it waits for grows with nodes, of which there are far fewer than
// services. While Consul does not answer, what it said last stays.
type Learner struct {
	// Dial makes a client of Consul's API. It is called again after a query that failed,
	// so that it may read a token that was changed; never twice at once.
	Dial func() (*consul.Client, error)
	// Explain says for an operator what an error of a query means.
	Explain func(error) error
	// Previous is a view to start from: its services hold until Consul was asked about
	// all nodes.
	Previous *View
	// Publish takes over a view, from Run's goroutine.
	Publish func(*View)
	Log     *slog.Logger

	mu      sync.Mutex // guards client
	client  *consul.Client
	lost    atomic.Bool
	hidden  atomic.Int64 // answers that lack something for want of rights
	crowded atomic.Bool
	changes chan func(*state)
	look    chan struct{} // a place for each that looks for the first time
	turn    chan struct{} // a place for each that waits
	all     sync.WaitGroup
}

// state is what the learner's goroutine knows; nobody else touches it.
type state struct {
	nodes       map[string]*node // nil: Consul was not asked yet
	failing     failures         // nil: likewise
	datacenters []string         // nil: likewise
	balancers   []netip.Addr
	asked       bool // for balancers
}

// node is a host in Consul's catalogue.
type node struct {
	known bool
	// services are the names of instances that HAProxy would serve if they were well, by
	// their IDs.
	services map[string]string
	stop     context.CancelFunc
}

// failures are the checks that do not pass.
type failures map[failure]bool

// failure is a node, in lower case, of which a check does not pass, and the ID of the
// instance that it checks; "" is the node itself.
type failure struct{ node, instance string }

// Up tells whether Consul answers.
func (l *Learner) Up() bool { return !l.lost.Load() }

// Run follows Consul until ctx is done, and returns when nothing of it runs any more.
// settled is called once: when everything was asked for the first time, or when Consul
// does not answer.
func (l *Learner) Run(ctx context.Context, settled func()) {
	ctx, cancel := context.WithCancel(ctx)
	defer l.all.Wait()
	defer cancel()
	l.changes = make(chan func(*state))
	l.look, l.turn = make(chan struct{}, looks), make(chan struct{}, turns)
	l.all.Go(func() { l.follow(ctx, l.catalogue(ctx), false) })
	l.all.Go(func() { l.follow(ctx, askChecks, false) })
	l.all.Go(func() { l.follow(ctx, askBalancers, false) })
	l.all.Go(func() { l.followCentres(ctx) })

	var s state
	settled = sync.OnceFunc(settled)
	published := l.Previous
	for {
		select {
		case <-ctx.Done():
			settled()
			return
		case change := <-l.changes:
			change(&s)
		}
		for more := true; more; { // what has come meanwhile is one change with it
			select {
			case change := <-l.changes:
				change(&s)
			default:
				more = false
			}
		}
		if view, whole := s.view(l.Previous); view != nil {
			if !view.equal(published) {
				published = view
				l.Publish(view)
			}
			if whole {
				settled()
			}
		}
		if l.lost.Load() {
			settled()
		}
	}
}

// view is what is known; nil if that is too little, whole if nothing is awaited.
func (s *state) view(previous *View) (v *View, whole bool) {
	if s.nodes == nil || s.failing == nil || s.datacenters == nil || !s.asked {
		return nil, false
	}
	var balanced []string
	whole = true
	for name, one := range s.nodes {
		whole = whole && one.known
		if s.failing[failure{name, ""}] {
			continue
		}
		for id, service := range one.services {
			if !s.failing[failure{name, id}] {
				balanced = append(balanced, service)
			}
		}
	}
	if !whole && previous != nil {
		balanced = slices.AppendSeq(balanced, maps.Keys(previous.services))
	}
	return NewView(balanced, s.datacenters, s.balancers...), whole
}

// query asks Consul, and returns what its answer changes.
type query func(*consul.Client, *consul.QueryOptions) (*consul.QueryMeta, func(*state), error)

// follow asks again whenever the answer may have changed; in turn with others if many do.
func (l *Learner) follow(ctx context.Context, ask query, many bool) {
	var index uint64
	hides := false
	defer func() {
		if hides {
			l.hidden.Add(-1)
		}
	}()
	for failures := 0; ctx.Err() == nil; {
		leave := func() {}
		if many {
			leave = l.enter(ctx, index)
		}
		next, change, hidden, err := l.ask(ctx, index, ask)
		leave()
		if err == nil {
			hides = l.hide(hides, hidden)
			failures = 0
			index = next
			l.send(ctx, change)
			sleep(ctx, pause)
			continue
		}
		index = 0 // a Consul that comes back may count from the beginning
		l.send(ctx, func(*state) {})
		sleep(ctx, min(pause<<failures, maxBackoff))
		failures = min(failures+1, 10)
	}
}

// enter waits for a place, and returns what gives it back.
func (l *Learner) enter(ctx context.Context, index uint64) (leave func()) {
	places := l.turn
	if index == 0 {
		places = l.look
	}
	select {
	case places <- struct{}{}:
		return func() { <-places }
	case <-ctx.Done():
		return func() {}
	}
}

// ask sends one query, which waits for a change after index, and returns the next. hidden
// tells that the token may not read all of the answer.
func (l *Learner) ask(ctx context.Context, index uint64, ask query) (next uint64, change func(*state), hidden bool, err error) {
	client, err := l.dialled()
	if err != nil {
		l.lose(ctx, err)
		return 0, nil, false, err
	}
	wait := waiting
	if l.crowded.Load() {
		wait = turnTime
	}
	within, cancel := context.WithTimeout(ctx, wait+wait/16+answerTime)
	defer cancel()
	var meta *consul.QueryMeta
	meta, change, err = ask(client, (&consul.QueryOptions{WaitIndex: index, WaitTime: wait}).WithContext(within))
	if err != nil {
		l.hangUp(client)
		l.lose(ctx, l.Explain(err))
		return 0, nil, false, err
	}
	if meta.LastIndex < index { // it was restored, or another server answers
		return 0, change, meta.ResultsFilteredByACLs, nil
	}
	return max(meta.LastIndex, 1), change, meta.ResultsFilteredByACLs, nil
}

// hide notes that answers to a question lack something, or do not any more, and tells the
// first and the last. It returns what is the case now.
func (l *Learner) hide(was, is bool) bool {
	switch {
	case is && !was && l.hidden.Add(1) == 1:
		l.Log.Warn("Consul hides services or nodes from DNS_MODE=lb, so names may not lead to HAProxy",
			"problem", `the token of CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE lacks service:read or node:read; add to its policy: service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`)
	case was && !is && l.hidden.Add(-1) == 0:
		l.Log.Info("Consul hides nothing from DNS_MODE=lb any more")
	}
	return is
}

// dialled is the client that all share.
func (l *Learner) dialled() (*consul.Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client != nil {
		return l.client, nil
	}
	var err error
	l.client, err = l.Dial()
	return l.client, err
}

// hangUp makes the next query dial, unless somebody has already.
func (l *Learner) hangUp(client *consul.Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client == client {
		l.client = nil
	}
}

func (l *Learner) lose(ctx context.Context, err error) {
	if ctx.Err() == nil && l.lost.CompareAndSwap(false, true) {
		l.Log.Warn("Consul does not tell which services HAProxy serves (DNS_MODE=lb); what it said last stays in use", "error", err)
	}
}

func (l *Learner) send(ctx context.Context, change func(*state)) {
	select {
	case l.changes <- change:
	case <-ctx.Done():
	}
}

// catalogue asks for all nodes, and follows each.
func (l *Learner) catalogue(ctx context.Context) query {
	return func(c *consul.Client, o *consul.QueryOptions) (*consul.QueryMeta, func(*state), error) {
		all, meta, err := c.Catalog().Nodes(o)
		return meta, func(s *state) {
			if l.lost.CompareAndSwap(true, false) {
				l.Log.Info("Consul tells again which services HAProxy serves")
			}
			nodes := make(map[string]*node, len(all))
			for _, n := range all {
				name := strings.ToLower(n.Node)
				if nodes[name] = s.nodes[name]; nodes[name] == nil {
					nodes[name] = l.watch(ctx, n.Node)
				}
			}
			for name, one := range s.nodes {
				if nodes[name] == nil {
					one.stop()
				}
			}
			s.nodes = nodes
			l.crowded.Store(len(nodes) > turns)
		}, err
	}
}

// watch follows the instances of a node.
func (l *Learner) watch(ctx context.Context, name string) *node {
	ctx, stop := context.WithCancel(ctx)
	one := &node{stop: stop}
	l.all.Go(func() {
		l.follow(ctx, func(c *consul.Client, o *consul.QueryOptions) (*consul.QueryMeta, func(*state), error) {
			o.Filter = `"haproxy" in Tags or "webapp" in Tags`
			list, meta, err := c.Catalog().NodeServiceList(name, o)
			return meta, func(*state) { one.known, one.services = true, served(list) }, err
		}, true)
	})
	return one
}

// served are the instances of a list, the names of their services by their IDs.
func served(list *consul.CatalogNodeServiceList) map[string]string {
	if list == nil { // the node has left
		return nil
	}
	services := make(map[string]string, len(list.Services))
	for _, i := range list.Services {
		services[i.ID] = i.Service
	}
	return services
}

// askChecks asks for all checks that do not pass. One that warns counts as one that
// fails, as it does for HAProxy.
func askChecks(c *consul.Client, o *consul.QueryOptions) (*consul.QueryMeta, func(*state), error) {
	o.Filter = `Status != "passing"`
	checks, meta, err := c.Health().State(consul.HealthAny, o)
	return meta, func(s *state) {
		s.failing = make(failures, len(checks))
		for _, check := range checks {
			s.failing[failure{strings.ToLower(check.Node), check.ServiceID}] = true
		}
	}, err
}

func askBalancers(c *consul.Client, o *consul.QueryOptions) (*consul.QueryMeta, func(*state), error) {
	instances, meta, err := c.Health().Service(Balancer, "", true, o)
	return meta, func(s *state) { s.balancers, s.asked = Addresses(instances), true }, err
}

// followCentres asks for the data centres now and then.
func (l *Learner) followCentres(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		_, change, _, err := l.ask(ctx, 0, func(c *consul.Client, _ *consul.QueryOptions) (*consul.QueryMeta, func(*state), error) {
			list, err := c.Catalog().Datacenters()
			return &consul.QueryMeta{}, func(s *state) { s.datacenters = list }, err
		})
		if err == nil {
			failures = 0
			l.send(ctx, change)
			sleep(ctx, centresEvery)
			continue
		}
		sleep(ctx, min(pause<<failures, maxBackoff))
		failures = min(failures+1, 10)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
