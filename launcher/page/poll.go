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
	asked  time.Time // when the last answer was asked for; zero asks again
	answer chan struct{}
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

// look returns what is known. It waits, as long as ctx, only for the very first answer.
func (p *poll[T]) look(ctx context.Context) reading[T] {
	p.mu.Lock()
	if p.answer == nil && (p.asked.IsZero() || p.now().Sub(p.asked) >= p.every) && p.ctx.Err() == nil {
		p.asked = p.now()
		p.answer = make(chan struct{})
		p.running.Go(p.ask)
	}
	last, answer := p.last, p.answer
	p.mu.Unlock()
	if last.known() || last.err != nil || answer == nil {
		return last
	}
	select {
	case <-answer:
	case <-ctx.Done():
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
	p.answer = nil
}

// expire makes the next look ask again: something was changed.
func (p *poll[T]) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = time.Time{}
}
