// Package route decides by name where a query goes: the longest suffix wins, at label boundaries, in whatever order the
// routes were given. It is pure: a Table is built once from the settings and only read afterwards.
package route

import (
	"fmt"
	"net/netip"
)

// Kind is what a route does with its queries.
type Kind uint8

// The kinds of routes.
const (
	Recurse  Kind = iota // everything else: the host's recursors
	Consul               // consul. and CONSUL_DOMAIN
	Added                // HAPROXY_ADD_DOMAIN: services of Consul, then the recursors
	Custom               // DNS_ROUTES
	Reverse              // DNS_PTR: reverse names that Consul is asked for
	Loopback             // localhost (RFC 6761 section 6.3), answered here
	Empty                // zones that exist empty here: RFC 6303, invalid. (RFC 6761 section 6.4)
	numKinds
)

// String is the kind's name as metrics and logs show it.
func (k Kind) String() string {
	return [numKinds]string{"recursor", "consul", "added", "custom", "reverse", "local", "local"}[k]
}

// Entry is one route of the table.
type Entry struct {
	Kind Kind
	// Suffix is the route's domain in wire form, lower case; the root for Recurse.
	Suffix string
	// Target is the caller's own number for what serves the route.
	Target int
	// Parent is the route that a name of this one would take if this one did not exist.
	Parent *Entry
}

// Apex says whether a folded name is the route's domain itself.
func (e *Entry) Apex(name []byte) bool { return len(name) == len(e.Suffix) }

// Table maps names to routes.
type Table struct {
	suffixes map[string]*Entry
	prefixes []prefixEntry
	root     *Entry
}

type prefixEntry struct {
	prefix netip.Prefix
	entry  *Entry
}

// New makes a table that sends everything to the recursors' target.
func New(recursors int) *Table {
	return &Table{suffixes: map[string]*Entry{}, root: &Entry{Kind: Recurse, Suffix: "\x00", Target: recursors}}
}

// Add adds a route for a suffix in wire form, lower case. A second route for a suffix is an error.
func (t *Table) Add(kind Kind, suffix []byte, target int) error {
	if old := t.suffixes[string(suffix)]; old != nil {
		return fmt.Errorf("two routes for one domain: %s and %s", old.Kind, kind)
	}
	t.suffixes[string(suffix)] = &Entry{Kind: kind, Suffix: string(suffix), Target: target}
	return nil
}

// AddDefault adds a route unless there is one for the suffix already.
func (t *Table) AddDefault(kind Kind, suffix []byte, target int) {
	if t.suffixes[string(suffix)] == nil {
		t.suffixes[string(suffix)] = &Entry{Kind: kind, Suffix: string(suffix), Target: target}
	}
}

// AddReverse sends the reverse names of a prefix's addresses to a target. Among overlapping prefixes the longest wins.
func (t *Table) AddReverse(p netip.Prefix, target int) {
	e := &Entry{Kind: Reverse, Suffix: "\x00", Target: target, Parent: t.root}
	i := 0
	for i < len(t.prefixes) && t.prefixes[i].prefix.Bits() >= p.Bits() {
		i++
	}
	t.prefixes = append(t.prefixes[:i], append([]prefixEntry{{p.Masked(), e}}, t.prefixes[i:]...)...)
}

// Seal fills in the parents; call it after the last Add.
func (t *Table) Seal() {
	for s, e := range t.suffixes {
		e.Parent = t.suffix([]byte(s)[1+s[0]:])
	}
}

// Lookup finds the route of a folded name in wire form.
func (t *Table) Lookup(name []byte) *Entry {
	e := t.suffix(name)
	if len(t.prefixes) > 0 && e.Kind != Custom {
		if a, ok := ReverseAddr(name); ok {
			for i := range t.prefixes {
				if t.prefixes[i].prefix.Contains(a) {
					return t.prefixes[i].entry
				}
			}
		}
	}
	return e
}

func (t *Table) suffix(name []byte) *Entry {
	for off := 0; off < len(name) && name[off] != 0; off += 1 + int(name[off]) {
		if e := t.suffixes[string(name[off:])]; e != nil {
			return e
		}
	}
	return t.root
}
