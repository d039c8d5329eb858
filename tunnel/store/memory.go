package store

import (
	"bytes"
	"context"
	"maps"
	"strings"
	"sync"
	"time"
)

// NewMemory makes a store that is forgotten with the process: the fake of the real
// ones.
func NewMemory(now func() time.Time) *Store {
	return &Store{kv: newMemory(), now: now}
}

// memory is a kv without anything behind it.
type memory struct {
	mu      sync.Mutex
	table   table
	changed chan struct{} // closed at every change
}

func newMemory() *memory {
	return &memory{table: table{Entries: map[string]row{}}, changed: make(chan struct{})}
}

func (m *memory) get(ctx context.Context, key string) (entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.table.get(key), ctx.Err()
}

func (m *memory) list(ctx context.Context, prefix string) (map[string]entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.table.list(prefix), ctx.Err()
}

func (m *memory) apply(ctx context.Context, ops []op) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if !m.table.apply(ops) {
		return false, nil
	}
	close(m.changed)
	m.changed = make(chan struct{})
	return true, nil
}

func (m *memory) watch(ctx context.Context, prefix string, seen func(view, error)) {
	var last map[string]entry
	for ctx.Err() == nil {
		m.mu.Lock()
		entries, changed := m.table.list(prefix), m.changed
		m.mu.Unlock()
		if last == nil || !same(last, entries) {
			seen(view{entries}, nil)
			last = entries
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (m *memory) where(key string) string { return key }

func (m *memory) most() int { return unlimited }

// unlimited is how many operations memory and files take at once.
const unlimited = 1 << 30

// same tells whether two lists hold the same versions.
func same(a, b map[string]entry) bool {
	return maps.EqualFunc(a, b, func(x, y entry) bool { return x.index == y.index && bytes.Equal(x.value, y.value) })
}

// withPrefix tells whether a key is listed under a prefix.
func withPrefix(key, prefix string) bool { return strings.HasPrefix(key, prefix) }
