package logs

import (
	"context"
	"fmt"
	"time"
)

// followLimit is how many bytes of lines wait for a follower that reads slower than
// the daemon writes.
const followLimit = 8 << 20

// follower is one who follows a daemon. Its fields belong to the daemon's lock.
type follower struct {
	lines   []Line
	bytes   int
	skipped int
	news    chan struct{} // holds one
}

// lineCost is what a line takes of a limit: its text and about what stands around it.
func lineCost(l Line) int { return len(l.Text) + 64 }

func (f *follower) add(l Line) {
	if f.bytes+lineCost(l) > followLimit {
		f.skipped++
		return
	}
	f.lines, f.bytes = append(f.lines, l), f.bytes+lineCost(l)
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// Follow passes on the last n lines of a daemon and then every new one, none of them
// twice, until ctx is done; then it closes the channel. A daemon that has not run yet
// can be followed as well. A reader that is much too slow gets a remark in place of
// the lines that it missed.
func (l *Logs) Follow(ctx context.Context, daemon string, n int) <-chan Line {
	d := l.daemon(daemon)
	f := &follower{news: make(chan struct{}, 1)}
	d.mu.Lock()
	for _, line := range d.last(n) {
		f.add(line)
	}
	d.followers[f] = true
	d.mu.Unlock()
	out := make(chan Line)
	go func() {
		defer close(out)
		defer func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			delete(d.followers, f)
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case <-f.news:
			}
			d.mu.Lock()
			lines, skipped := f.lines, f.skipped
			f.lines, f.bytes, f.skipped = nil, 0, 0
			d.mu.Unlock()
			if skipped > 0 {
				lines = append(lines, Line{Time: l.now(), Daemon: daemon, Stream: Remark, Text: fmt.Sprintf("%d lines are left out here: they came faster than they were read", skipped)})
			}
			for _, line := range lines {
				select {
				case out <- line:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

// Tail is the last n lines of a daemon, as far as memory goes.
func (l *Logs) Tail(daemon string, n int) []Line {
	d := l.daemon(daemon)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last(n)
}

func (l *Logs) now() time.Time { return l.options.Now() }
