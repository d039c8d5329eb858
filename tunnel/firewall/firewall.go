package firewall

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
)

// socketBuffer is the room for one batch: 10,000 peers take about 3 MB.
const socketBuffer = 64 << 20

// Firewall puts rules in force in the network namespace of the thread that calls it. It
// is not safe for concurrent use.
type Firewall struct {
	now        func() time.Time
	generation func() (uint32, error) // of the kernel's tables; tests have somebody come in between
	// What is in force, as far as we know; nil before the first Apply.
	rules   *Rules
	sides   []*side
	counted map[string]uint64
	// When the whole table was written, by both clocks: the kernel's timeouts go by the second.
	wrote, wroteSteady time.Time
	// What the table looked like then, and the generation in which it certainly was as it should.
	shape string
	seen  uint32
	// When the elements were compared last, and how long that took.
	compared    time.Time
	compareTook time.Duration
}

// New makes a firewall. now is the clock that expiries are compared with.
func New(now func() time.Time) *Firewall {
	return &Firewall{now: now, generation: generation, counted: map[string]uint64{}}
}

// Apply makes the rules those in force, all of them or, with an error, none. If nothing
// but the peers has changed only their elements are touched, else the whole table is
// replaced; both are one transaction of the kernel's, and packets meet one state or the
// other.
func (f *Firewall) Apply(r *Rules) error {
	if f.rules != nil && sameTable(f.rules, r) && f.update(r) == nil {
		f.rules = r
		return nil
	}
	_ = f.collect() // they begin at zero in a new table
	disturbed, err := f.replace(r)
	if disturbed {
		// What the table is to look like may be what another program has made of it already.
		_, err = f.replace(r)
	}
	return err
}

// replace writes the whole table, and notes what it looks like. disturbed says that somebody
// has changed tables of the host at the same time.
func (f *Firewall) replace(r *Rules) (disturbed bool, err error) {
	before, _ := f.generation()
	wrote, steady := f.now(), time.Now()
	w := newWriter(r, wrote)
	if err := f.transaction(w.write); err != nil {
		return false, explain("cannot put the tunnel's rules in force", err)
	}
	f.rules, f.sides, f.seen, f.compared = r, w.sides, 0, time.Time{}
	f.wrote, f.wroteSteady = wrote, steady
	shape, rules, err := f.look()
	now, err2 := f.generation()
	if err := errors.Join(err, err2); err != nil {
		return false, explain("cannot see whether the tunnel's rules are in force", err)
	}
	f.shape = shape
	if disturbed = before == 0 || now != before+1; !disturbed { // else InForce looks at everything
		f.seen = now
	}
	if rules != w.count {
		f.rules = nil // so that nobody takes it for what it should be
		return disturbed, fmt.Errorf("another program has changed the table inet %s at once: it has %d rules in place of %d; find out which one, and keep it from that", tableName, rules, w.count)
	}
	return disturbed, nil
}

// clocksDiffer says whether the clock of expiries was set since the table was written: what
// it says has ended the kernel still has then, or the other way round.
func (f *Firewall) clocksDiffer(now time.Time) bool {
	drift := now.Round(0).Sub(f.wrote.Round(0)) - time.Since(f.wroteSteady)
	return drift.Abs() > expirySlack
}

// sameTable says whether rules differ in nothing but peers.
func sameTable(a, b *Rules) bool {
	x, y := *a, *b
	x.Peers, y.Peers = nil, nil
	return reflect.DeepEqual(x, y)
}

// update changes only what differs. It fails if the table is not what we think it is.
func (f *Firewall) update(r *Rules) error {
	if !f.InForce() {
		return errors.New("the table is not what it was made")
	}
	now := f.now()
	if f.clocksDiffer(now) {
		return errors.New("the clock was set since the table was made")
	}
	before, after := *f.rules, *r
	before.Peers, after.Peers = changedPeers(f.rules.Peers, r.Peers)
	err := f.transaction(func(c *nftables.Conn) error {
		for _, s := range f.sides {
			v4 := s.digit == ipv4.digit
			have, want := members(&before, v4), members(&after, v4)
			for j, set := range s.dynamic {
				gone, fresh := difference(have[j], want[j], now)
				// The set's number was of the batch that made it.
				named := *set
				named.ID = 0
				if err := inChunks(kernelElements(gone, now), func(part []nftables.SetElement) error { return c.SetDeleteElements(&named, part) }); err != nil {
					return err
				}
				if err := inChunks(kernelElements(fresh, now), func(part []nftables.SetElement) error { return c.SetAddElements(&named, part) }); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		f.ours()
	}
	return err
}

// changedPeers returns the peers that are not in the other list as they are. No member of a
// set is two peers', so the others' members stay as they are.
func changedPeers(have, want []Peer) (gone, fresh []Peer) {
	old := make(map[netip.Addr]*Peer, len(have))
	first := func(p *Peer) (a netip.Addr) { // none has no members
		if len(p.Addresses) > 0 {
			a = p.Addresses[0]
		}
		return a
	}
	for i := range have {
		old[first(&have[i])] = &have[i]
	}
	for i := range want {
		p := &want[i]
		if was := old[first(p)]; was != nil && was.equal(p) {
			delete(old, first(p))
			continue
		}
		fresh = append(fresh, *p)
	}
	for _, p := range old {
		gone = append(gone, *p)
	}
	return gone, fresh
}

func (p *Peer) equal(o *Peer) bool {
	return p.Expires.Equal(o.Expires) && slices.Equal(p.Addresses, o.Addresses) && slices.Equal(p.Allow, o.Allow)
}

// difference returns what has to be deleted and added to come from one state of a set to
// another. What has ended by itself is not there any more.
func difference(have, want elements, now time.Time) (gone, fresh elements) {
	gone, fresh = elements{}, maps.Clone(want)
	for e, expires := range have {
		if other, ok := want[e]; ok && other.Equal(expires) {
			delete(fresh, e)
			continue
		}
		if expires.IsZero() || expires.After(now) {
			gone[e] = expires
		}
	}
	return gone, fresh
}

// Remove takes the table away, whoever made it; that there is none is no error.
func (f *Firewall) Remove() error {
	f.rules = nil
	err := f.transaction(func(c *nftables.Conn) error {
		t := table()
		c.AddTable(t)
		c.DelTable(t)
		return nil
	})
	return explain("cannot remove the tunnel's rules", err)
}

// Refused returns how many packets were not let through since the start, by reason.
func (f *Firewall) Refused() (map[string]uint64, error) {
	if err := f.collect(); err != nil {
		return nil, err
	}
	return maps.Clone(f.counted), nil
}

// collect adds what the table has counted to what former tables had, and sets it to zero.
func (f *Firewall) collect() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	objects, err := c.ResetNamedObjects(table())
	if err != nil {
		return err
	}
	for _, o := range objects {
		named, ok := o.(*nftables.NamedObj)
		if !ok {
			continue
		}
		if counter, ok := named.Obj.(*expr.Counter); ok {
			f.counted[named.Name] += counter.Packets
		}
	}
	return nil
}

// transaction sends the commands that f collects as one batch.
func (f *Firewall) transaction(collect func(*nftables.Conn) error) error {
	room := func(c *netlink.Conn) error {
		return errors.Join(c.SetWriteBuffer(socketBuffer), c.SetReadBuffer(socketBuffer))
	}
	c, err := nftables.New(nftables.WithSockOptions(room))
	if err != nil {
		return err
	}
	if err := collect(c); err != nil {
		return err
	}
	return c.Flush()
}

// explain says what an operator can do about an error.
func explain(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: %w: run as root or give the process CAP_NET_ADMIN", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
