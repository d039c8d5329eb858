package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"panteras/tunnel/device"
	"panteras/tunnel/firewall"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// fakeHost is a host without effects: it notes what a gateway does to it, in order.
type fakeHost struct {
	mu       sync.Mutex
	done     []string
	counts   map[string]int // how often each of that was done
	peers    []device.Peer
	atUp     []device.Peer // those it had when the interface came up
	rules    *firewall.Rules
	mtu      int // of the underlay
	inner    int
	lost     bool   // whether somebody took the table away
	failing  error  // of the firewall
	wireFail error  // of the interface
	noFwd    error  // of forwarding
	pause    func() // called once, by who asks for the state of the peers
	status   map[wgtypes.Key]device.PeerStatus
	called   map[wgtypes.Key]netip.AddrPort
	holds    bool          // the floating address
	forgot   []wgtypes.Key // whose sessions were ended
	changes  chan struct{}
	refused  map[string]uint64
	forwards bool
	adopted  bool
}

func newFakeHost() *fakeHost {
	return &fakeHost{mtu: 1500, counts: map[string]int{}, changes: make(chan struct{}, 1), status: map[wgtypes.Key]device.PeerStatus{}, called: map[wgtypes.Key]netip.AddrPort{}}
}

func (h *fakeHost) effects() effects {
	return effects{
		open:     func(device.Options) (wire, error) { h.note("open"); return &fakeWire{h}, nil },
		firewall: func(func() time.Time) rules { return &fakeRules{h} },
		forward:  &fakeForwarding{h},
		underlay: func(...netip.Addr) (string, int, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return "eth0", h.mtu, nil
		},
		holds: func(netip.Addr) (bool, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.holds, nil
		},
		watch:    func(<-chan struct{}) (<-chan struct{}, error) { return h.changes, nil },
		warnings: func(string) ([]string, error) { return nil, nil },
	}
}

// note appends to what was done; the same thing twice in a row is told once.
func (h *fakeHost) note(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[what]++
	if n := len(h.done); n == 0 || h.done[n-1] != what {
		h.done = append(h.done, what)
	}
}

// tries is how often something was done.
func (h *fakeHost) tries(what string) (n int) {
	h.look(func() { n = h.counts[what] })
	return n
}

// look runs f while nothing happens on the host.
func (h *fakeHost) look(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// access lists who has access, at the interface by key and address and in the firewall by
// address.
func (h *fakeHost) access() (atWire, inRules []string) {
	h.look(func() {
		for _, p := range h.peers {
			atWire = append(atWire, fmt.Sprint(p.PublicKey, " ", p.Addresses[0]))
		}
		if h.rules != nil {
			for _, p := range h.rules.Peers {
				inRules = append(inRules, p.Addresses[0].String())
			}
		}
	})
	return atWire, inRules
}

type fakeWire struct{ *fakeHost }

func (w *fakeWire) Apply(c *device.Config) (int, error) {
	w.note("peers")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wireFail != nil {
		return 0, w.wireFail
	}
	w.peers = slices.Clone(c.Peers)
	return 0, nil
}

func (w *fakeWire) Update(c *device.Config) (int, error) { return w.Apply(c) }

func (w *fakeWire) SetLink(mtu int, _ []netip.Prefix) (int, error) {
	w.look(func() { w.inner = mtu })
	return 0, nil
}

func (w *fakeWire) Up() error {
	w.note("up")
	w.look(func() { w.atUp = w.peers })
	return nil
}

func (w *fakeWire) Call(where map[wgtypes.Key]netip.AddrPort) error {
	w.look(func() {
		for k, a := range where {
			w.called[k] = a
		}
	})
	return nil
}

func (w *fakeWire) Forget(peers []device.Peer) error {
	w.look(func() {
		for _, p := range peers {
			w.forgot = append(w.forgot, p.PublicKey)
		}
	})
	return nil
}

func (w *fakeWire) Status() (map[wgtypes.Key]device.PeerStatus, error) {
	w.mu.Lock()
	pause := w.pause
	w.pause = nil
	w.mu.Unlock()
	if pause != nil {
		pause()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[wgtypes.Key]device.PeerStatus{}
	for _, p := range w.peers {
		out[p.PublicKey] = w.status[p.PublicKey]
	}
	return out, nil
}

func (w *fakeWire) Datapath() device.Datapath { return device.Userspace }
func (w *fakeWire) Adopted() bool             { return w.adopted }
func (w *fakeWire) Gone() <-chan struct{}     { return nil }
func (w *fakeWire) Leave() error              { w.note("leave"); return nil }
func (w *fakeWire) Close() error              { w.note("close"); return nil }

type fakeRules struct{ *fakeHost }

func (r *fakeRules) Apply(rules *firewall.Rules) error {
	r.note("rules")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing != nil {
		return r.failing
	}
	r.fakeHost.rules, r.lost = rules, false
	return nil
}

func (r *fakeRules) InForce() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.lost
}

func (r *fakeRules) Refused() (map[string]uint64, error) { return r.refused, nil }
func (r *fakeRules) Remove() error                       { r.note("remove"); return nil }

type fakeForwarding struct{ *fakeHost }

func (f *fakeForwarding) Enable(v4, v6 bool) (changed bool, err error) {
	f.mu.Lock()
	if err = f.noFwd; err == nil {
		changed, f.forwards = f.forwards != (v4 || v6), v4 || v6
	}
	f.mu.Unlock()
	if changed || err != nil {
		f.note("forward")
	}
	return changed, err
}

func (f *fakeForwarding) Restore() error {
	f.note("restore")
	f.look(func() { f.forwards = false })
	return nil
}

var errBroken = errors.New("broken")
