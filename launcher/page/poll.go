package page

import (
	"context"
	"errors"
	"sync"
	"time"
)

// poll asks a source, never twice at a time, when somebody looks and the last answer
// has become old.
type poll[T any] struct {
	fetch func(context.Context) (T, error)
	// every is how old an answer may become, patience how long the next may take.
	every, patience time.Duration
	now             func() time.Time
	ctx             context.Context
	running         *sync.WaitGroup

	mu     sync.Mutex
	last   reading[T]
	asked  time.Time     // when the last answer was asked for
	answer chan struct{} // closed when it comes; nil if none is under way
	// changed tells that the last answer is wrong now; fresh, that the one under way was
	// asked for after that and is worth waiting for.
	changed, fresh bool
}

// reading is what is known of a source.
type reading[T any] struct {
	value T
	// at is when value was true; zero if nothing was ever learned.
	at time.Time
	// err is why value is not the newest, nil if it is.
	err error
}

func (r reading[T]) known() bool { return !r.at.IsZero() }

var errSlow = errors.New("no answer yet")

// look returns what is known. It waits, as long as ctx, only for the very first answer,
// and for the first after a change.
func (p *poll[T]) look(ctx context.Context) reading[T] {
	p.mu.Lock()
	if p.answer == nil && (p.changed || p.asked.IsZero() || p.now().Sub(p.asked) >= p.every) && p.ctx.Err() == nil {
		p.asked, p.changed, p.fresh = p.now(), false, p.changed
		p.answer = make(chan struct{})
		p.running.Go(p.ask)
	}
	last, answer, fresh := p.last, p.answer, p.fresh
	p.mu.Unlock()
	learned := last.known() || last.err != nil
	if answer == nil || learned && !fresh {
		return last
	}
	select {
	case <-answer:
	case <-ctx.Done():
		if learned {
			return last
		}
		return reading[T]{err: errSlow}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *poll[T]) ask() {
	ctx, cancel := context.WithTimeout(p.ctx, p.patience)
	defer cancel()
	p.mu.Lock()
	asked := p.asked
	p.mu.Unlock()
	value, err := p.fetch(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.last = reading[T]{value: value, at: asked}
	} else {
		p.last.err = err
	}
	close(p.answer)
	p.answer, p.fresh = nil, false
}

// expire makes the next look ask again: something was changed.
func (p *poll[T]) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed = true
}
