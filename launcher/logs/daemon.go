package logs

import (
	"slices"
	"sync"
)

// What is kept in memory of each daemon, whichever is less.
const (
	keepLines = 1000
	keepBytes = 512 << 10
)

// daemon is where the lines of one daemon go.
type daemon struct {
	name string
	file *queue // nil without a folder

	mu        sync.Mutex
	kept      []Line
	keptBytes int
	followers map[*follower]bool
}

// keep remembers a line. The caller holds the lock.
func (d *daemon) keep(line Line) {
	d.kept, d.keptBytes = append(d.kept, line), d.keptBytes+lineCost(line)
	drop := 0
	for len(d.kept)-drop > keepLines || d.keptBytes > keepBytes {
		d.keptBytes -= lineCost(d.kept[drop])
		drop++
	}
	// The texts are let go at once, the places when append moves what remains.
	clear(d.kept[:drop])
	d.kept = d.kept[drop:]
}

// last is a copy of the last n lines. The caller holds the lock.
func (d *daemon) last(n int) []Line {
	return slices.Clone(d.kept[len(d.kept)-min(max(n, 0), len(d.kept)):])
}

// publish passes lines on to everyone, and never waits. Lines are in the same order
// everywhere.
func (l *Logs) publish(d *daemon, stream string, texts []string) {
	if len(texts) == 0 {
		return
	}
	var file, console []byte
	now := l.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range texts {
		line := Line{Time: now, Daemon: d.name, Stream: stream, Text: text}
		d.keep(line)
		for f := range d.followers {
			f.add(line)
		}
		if l.json {
			file = line.appendJSON(file)
			continue
		}
		file, console = line.appendText(file), line.appendConsole(console)
	}
	if l.json {
		console = file
	}
	if l.console != nil {
		l.console.put(console, len(texts))
	}
	if d.file != nil {
		d.file.put(file, len(texts))
	}
}
