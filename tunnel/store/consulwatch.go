package store

import (
	"context"
	"math/rand/v2"
	"time"

	consul "github.com/hashicorp/consul/api"
)

// How a watch asks Consul.
const (
	// watchWait is how long Consul may hold a question that has no news.
	watchWait = time.Minute
	// watchGrace is added for an answer that takes its time: Consul itself adds
	// up to a sixteenth of the wait.
	watchGrace = 15 * time.Second
	// watchRest lies between two questions, so that a flood of changes costs one
	// answer each time and not one for every change.
	watchRest = 50 * time.Millisecond
	// After an error it is longer, and grows.
	firstRetry = 200 * time.Millisecond
	lastRetry  = 5 * time.Second
)

func (c *consulKV) watch(ctx context.Context, prefix string, seen func(view, error)) {
	var index uint64
	var asked *asking
	var last map[string]entry
	retry := firstRetry
	for {
		by := c.asks.Load()
		if by != asked { // it may be another Consul, whose indexes are others
			asked, index, retry = by, 0, firstRetry
		}
		entries, next, err := c.ask(ctx, by, prefix, index)
		if ctx.Err() != nil {
			return
		}
		rest := watchRest
		switch {
		case err != nil && by.isOver():
			// It was ended, or another token is there by now.
		case err != nil:
			seen(view{}, c.failed("follow", prefix, err))
			// What comes after an error is told even if nothing changed, so that it is
			// known that the error is over.
			index, last = 0, nil
			rest, retry = retry/2+rand.N(retry/2), min(2*retry, lastRetry)
		default:
			retry = firstRetry
			if last == nil || !same(last, entries) {
				seen(view{entries}, nil)
				last = entries
			}
			if next < index {
				next = 0 // Consul was restored from a snapshot
			}
			index = next
		}
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
		case <-by.over:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (a *asking) isOver() bool {
	select {
	case <-a.over:
		return true
	default:
		return false
	}
}

// ask waits for news after the index, or until another client is to be used.
func (c *consulKV) ask(ctx context.Context, by *asking, prefix string, index uint64) (map[string]entry, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, watchWait+watchGrace)
	defer cancel()
	go func() {
		select {
		case <-by.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	pairs, meta, err := by.client.KV().List(c.prefix+prefix, (&consul.QueryOptions{WaitIndex: index, WaitTime: watchWait}).WithContext(ctx))
	if err == nil {
		err = c.hidden(meta, prefix)
	}
	if err != nil {
		return nil, 0, err
	}
	return c.entries(pairs), max(meta.LastIndex, 1), nil
}
