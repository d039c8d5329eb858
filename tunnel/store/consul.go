package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"panteras/internal/consulclient"

	consul "github.com/hashicorp/consul/api"
)

// consulPrefix is under which everything lies in Consul's KV store.
const consulPrefix = "panteras/tunnel/"

// NewConsul makes a store in Consul's KV store, which all hosts share. addr is where
// the client asks, for messages.
func NewConsul(client *consul.Client, addr string) *Store {
	return &Store{kv: newConsulKV(client, addr, consulPrefix), now: time.Now}
}

// UseClient asks Consul by another client from now on, such as one with another token. Who
// watches goes on with it at once. A store that is not in Consul has no use for it.
func (s *Store) UseClient(client *consul.Client, addr string) {
	if c, ok := s.kv.(*consulKV); ok {
		close(c.asks.Swap(newAsking(client, addr)).over)
	}
}

// consulKV is a kv in Consul.
type consulKV struct {
	asks   atomic.Pointer[asking]
	prefix string
	slots  chan struct{} // as many as there may be requests at once
}

func newConsulKV(client *consul.Client, addr, prefix string) *consulKV {
	c := &consulKV{prefix: prefix, slots: make(chan struct{}, requests)}
	c.asks.Store(newAsking(client, addr))
	return c
}

// asking is how Consul is asked, until over is closed.
type asking struct {
	client *consul.Client
	addr   string
	over   chan struct{}
}

func newAsking(client *consul.Client, addr string) *asking {
	return &asking{client, addr, make(chan struct{})}
}

func (c *consulKV) kv() *consul.KV { return c.asks.Load().client.KV() }

const (
	// requests is how many there may be at once. Consul takes 200 connections from one
	// address (http_max_conns_per_client) and refuses more; agents and templates need some too.
	requests = 32
	// crowded is how long one that was refused for that waits before it is tried again.
	crowded = 200 * time.Millisecond
	// crowdedTries is how often that is.
	crowdedTries = 20
)

// do makes a request, with others but not too many.
func (c *consulKV) do(ctx context.Context, request func() error) error {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.slots }()
	for try := 1; ; try++ {
		err := request()
		status := consul.StatusError{}
		if try == crowdedTries || !errors.As(err, &status) || status.Code != http.StatusTooManyRequests {
			return err
		}
		select {
		case <-time.After(crowded):
		case <-ctx.Done():
			return err
		}
	}
}

// consistently are the options of a read that the leader vouches for.
func consistently(ctx context.Context) *consul.QueryOptions {
	return (&consul.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

func (c *consulKV) get(ctx context.Context, key string) (entry, error) {
	var pair *consul.KVPair
	err := c.do(ctx, func() (err error) { pair, _, err = c.kv().Get(c.prefix+key, consistently(ctx)); return err })
	if err != nil || pair == nil {
		return entry{}, c.failed("read", key, err)
	}
	return entry{pair.Value, pair.ModifyIndex}, nil
}

func (c *consulKV) list(ctx context.Context, prefix string) (map[string]entry, error) {
	var pairs consul.KVPairs
	err := c.do(ctx, func() error {
		found, meta, err := c.kv().List(c.prefix+prefix, consistently(ctx))
		if err == nil {
			err = c.hidden(meta, prefix)
		}
		pairs = found
		return err
	})
	return c.entries(pairs), c.failed("read", prefix, err)
}

func (c *consulKV) entries(pairs consul.KVPairs) map[string]entry {
	entries := make(map[string]entry, len(pairs))
	for _, p := range pairs {
		// A key that ends with a slash is a folder that somebody made in Consul's
		// user interface: it holds nothing.
		if !strings.HasSuffix(p.Key, "/") {
			entries[strings.TrimPrefix(p.Key, c.prefix)] = entry{p.Value, p.ModifyIndex}
		}
	}
	return entries
}

func (c *consulKV) apply(ctx context.Context, ops []op) (bool, error) {
	var txn consul.KVTxnOps
	for _, o := range ops {
		key := c.prefix + o.key
		switch {
		case o.index == 0 && o.value != nil:
			txn = append(txn,
				&consul.KVTxnOp{Verb: consul.KVCheckNotExists, Key: key},
				&consul.KVTxnOp{Verb: consul.KVSet, Key: key, Value: o.value})
		case o.value != nil:
			txn = append(txn, &consul.KVTxnOp{Verb: consul.KVCAS, Key: key, Value: o.value, Index: o.index})
		default:
			txn = append(txn, &consul.KVTxnOp{Verb: consul.KVDeleteCAS, Key: key, Index: o.index})
		}
	}
	for try := 1; ; try++ {
		var done bool
		var response *consul.KVTxnResponse
		err := c.do(ctx, func() (err error) {
			done, response, _, err = c.kv().Txn(txn, (&consul.QueryOptions{}).WithContext(ctx))
			return err
		})
		if err != nil {
			return false, c.failed("write", ops[0].key, err)
		}
		if done {
			return true, nil
		}
		other, refusal := c.otherVersion(ctx, txn, response.Errors)
		if refusal == nil || other {
			return false, nil
		}
		if try == 2 { // once it may have been another version that has gone since
			return false, c.failed("write", ops[0].key, refusal)
		}
	}
}

// otherVersion says whether a transaction failed because an entry had another version than
// it wanted, by looking at the entries of the operations that failed: Consul's words for it
// hold names of peers, and there are other errors. If not, refusal is what Consul said.
func (c *consulKV) otherVersion(ctx context.Context, txn consul.KVTxnOps, failed consul.TxnErrors) (other bool, refusal error) {
	for _, e := range failed {
		refusal = consul.StatusError{Code: http.StatusForbidden, Body: e.What}
		if e.OpIndex < 0 || e.OpIndex >= len(txn) {
			return false, refusal
		}
		op := txn[e.OpIndex]
		var wanted uint64
		switch op.Verb {
		case consul.KVCheckNotExists: // wants none
		case consul.KVCAS, consul.KVDeleteCAS:
			wanted = op.Index
		default:
			return false, refusal
		}
		there, err := c.get(ctx, strings.TrimPrefix(op.Key, c.prefix))
		if err != nil || there.index == wanted {
			return false, refusal
		}
	}
	return true, refusal
}

// most: Consul takes 128 operations, and creating an entry needs two.
func (c *consulKV) most() int { return 64 }

func (c *consulKV) where(key string) string { return "Consul's " + c.prefix + key }

// failed says what could not be done where.
func (c *consulKV) failed(what, key string, err error) error {
	if err == nil {
		return nil
	}
	explained := consulclient.Explain(err, c.asks.Load().addr)
	if status := (consul.StatusError{}); errors.As(err, &status) && strings.Contains(status.Body, "lacks permission 'key:") {
		// Consul names one key, and the next one would be refused as well.
		return fmt.Errorf("cannot %s %s: %w; all that a gateway and `panteras peer` need: key_prefix %q { policy = \"write\" }", what, c.where(key), explained, c.prefix)
	}
	return fmt.Errorf("cannot %s %s: %w", what, c.where(key), explained)
}

// hidden is the error of an answer without the keys that the token may not read. To take it
// for a store that is empty would end the access of every peer.
func (c *consulKV) hidden(meta *consul.QueryMeta, prefix string) error {
	return consulclient.Hidden(meta, "key:read", c.prefix+prefix)
}
