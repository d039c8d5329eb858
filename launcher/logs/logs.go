package logs

import (
	"fmt"
	"io"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"panteras/configs"
)

const (
	// consoleLimit and fileLimit are how many bytes wait for a writer.
	consoleLimit = 1 << 20
	fileLimit    = 1 << 20
	// filePatience is how long a daemon waits for a disk that does not move, once.
	filePatience = 2 * time.Second
	// flushTimeout is how long the writers have for what is left at the end.
	flushTimeout = 2 * time.Second
)

// Options say where lines go.
type Options struct {
	// Dir holds the log files and is made if it is missing; "" means no files.
	Dir string
	// Format is configs.LogFormatText or configs.LogFormatJSON.
	Format string
	// Console takes the lines of all daemons; nil means none.
	Console io.Writer
	// Mask hides secrets in a line; nil hides nothing.
	Mask func(string) string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Logs is where the output of all daemons goes. It is safe for concurrent use.
type Logs struct {
	options Options
	json    bool
	console *queue // nil without one
	trouble *trouble
	masker  atomic.Pointer[func(string) string]

	mu      sync.Mutex
	daemons map[string]*daemon
	pipes   map[*pipe]bool
}

// New makes a Logs; Close ends it.
func New(o Options) *Logs {
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Logs{options: o, json: o.Format == configs.LogFormatJSON, daemons: map[string]*daemon{}, pipes: map[*pipe]bool{}}
	l.trouble = newTrouble(l.report)
	l.SetMask(o.Mask)
	if o.Console != nil {
		l.console = newQueue(consoleLimit, l.writeConsole)
	}
	return l
}

// daemon finds or makes a daemon by its name.
func (l *Logs) daemon(name string) *daemon {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.daemons[name]
	if d == nil {
		d = &daemon{name: name, followers: map[*follower]bool{}}
		if l.options.Dir != "" {
			d.file = newQueue(fileLimit, l.newFile(name).write)
		}
		l.daemons[name] = d
	}
	return d
}

// Write adds a remark about a daemon. It never waits.
func (l *Logs) Write(daemon, text string) {
	l.publish(l.daemon(daemon), Remark, []string{Printable(l.mask(text))})
}

// SetMask replaces what hides secrets, also for daemons that run; nil hides nothing.
func (l *Logs) SetMask(mask func(string) string) {
	if mask == nil {
		mask = func(text string) string { return text }
	}
	l.masker.Store(&mask)
}

func (l *Logs) mask(text string) string { return (*l.masker.Load())(text) }

// Dropped is how many lines the console and the files have missed.
func (l *Logs) Dropped() (console, files uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.console != nil {
		console = l.console.lost()
	}
	for _, d := range l.daemons {
		if d.file != nil {
			files += d.file.lost()
		}
	}
	return console, files + l.trouble.lost()
}

// report says something about the logs themselves, on the console only.
func (l *Logs) report(text string) {
	if l.console != nil {
		l.console.put(l.consoleLine(text), 1)
	}
}

func (l *Logs) consoleLine(text string) []byte {
	line := Line{Time: l.now(), Daemon: "panteras", Stream: Remark, Text: Printable(text)}
	if l.json {
		return line.appendJSON(nil)
	}
	return append(append([]byte("panteras | "), line.Text...), '\n')
}

func (l *Logs) writeConsole(text []byte, _, dropped int) {
	if dropped > 0 {
		text = append(l.consoleLine(fmt.Sprintf("%d lines are left out here: the console did not take them", dropped)), text...)
	}
	// A console that went away misses the lines; there is nobody to tell.
	_, _ = l.options.Console.Write(text)
}

// Close ends the readers, writes what is left and closes the files. It waits for a
// writer that hangs for a moment only.
func (l *Logs) Close() {
	l.mu.Lock()
	pipes := l.pipes
	l.pipes = map[*pipe]bool{}
	daemons := maps.Clone(l.daemons)
	l.mu.Unlock()
	for p := range pipes {
		p.interrupt()
	}
	for p := range pipes {
		<-p.done
		l.end(p)
	}
	deadline := time.Now().Add(flushTimeout)
	for _, d := range daemons {
		if d.file != nil {
			d.file.close(time.Until(deadline))
		}
	}
	if l.console != nil {
		l.console.close(time.Until(deadline))
	}
}

// end publishes the line that a pipe has begun, and closes it.
func (l *Logs) end(p *pipe) {
	if len(p.split.pending) > 0 {
		var texts []string
		p.split.flush(func(text string) { texts = append(texts, text) })
		l.publish(p.daemon, p.stream, texts)
	}
	_ = p.file.Close()
}
