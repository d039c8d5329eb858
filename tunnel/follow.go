package tunnel

import (
	"context"
	"fmt"
	"time"
)

const (
	// confirmTimeout is how long a consistent read may take.
	confirmTimeout = 10 * time.Second
	// confirmRetry is the rest after a read that failed.
	confirmRetry = time.Second
)

// Follow keeps up with a store until ctx ends. It calls accept with every state
// that is to be in force, and what in it is broken, and report with why the last state
// stays; both from one goroutine. last is the state in force at the beginning, as it was kept on
// disk, or the zero value. Whatever the store answers, it decides by [Settle].
func Follow(ctx context.Context, store Reader, last Snapshot, accept func(Snapshot), report func(error)) {
	type news struct {
		snapshot Snapshot
		err      error
	}
	arrived := make(chan news)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		store.Watch(ctx, func(s Snapshot, err error) {
			select {
			case arrived <- news{s, err}:
			case <-ctx.Done():
			}
		})
	}()
	defer func() { <-watched }()
	// A snapshot is made of views that were not taken at one moment: where the store was
	// refused or could not be read, what makes it acceptable may be older than the peers that
	// came with it, such as a cluster of before an import that is under way.
	doubtful := true
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	for {
		n, confirmed := news{}, false
		select {
		case <-ctx.Done():
			return
		case n = <-arrived:
			if n.err == nil {
				again.Stop() // these news are newer than those to confirm
			}
		case <-again.C:
			n.snapshot, n.err = confirm(ctx, store)
			confirmed = true
		}
		if n.err == nil && !confirmed {
			settled, verdict, problem := Settle(&last, &n.snapshot)
			if verdict == Confirm {
				report(problem)
			}
			if verdict == Confirm || verdict == Accept && doubtful && vanished(&last, &settled) > 0 {
				n.snapshot, n.err = confirm(ctx, store)
				confirmed = true
			}
		}
		if n.err == nil {
			settled, verdict, problem := Settle(&last, &n.snapshot)
			doubtful = verdict != Accept
			if doubtful {
				report(problem)
			} else {
				last = settled
				accept(settled)
			}
			continue
		}
		doubtful = true
		if confirmed {
			// The watch has told its news and will not tell them again.
			again.Reset(confirmRetry)
		}
		if ctx.Err() == nil {
			report(fmt.Errorf("%w; the last state stays in force", n.err))
		}
	}
}

// confirm is the read that tells whether peers are really gone.
func confirm(ctx context.Context, store Reader) (Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	return store.Read(ctx)
}
