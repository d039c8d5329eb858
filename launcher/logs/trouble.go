package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// trouble reports what is wrong with the log files: each reason once, however many
// files have it, and once that it is over.
type trouble struct {
	report func(text string)

	mu      sync.Mutex
	reasons map[string]string // by daemon
	missing int               // lines since the trouble began
	total   uint64
}

func newTrouble(report func(string)) *trouble {
	return &trouble{report: report, reasons: map[string]string{}}
}

// begin notes that the file of a daemon cannot be written.
func (t *trouble) begin(daemon string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	reason := err.Error()
	if at := (*fs.PathError)(nil); errors.As(err, &at) {
		reason = at.Err.Error()
	}
	for _, known := range t.reasons {
		if known == reason {
			t.reasons[daemon] = reason
			return
		}
	}
	t.reasons[daemon] = reason
	t.report(fmt.Sprintf("cannot write log files: %v; the daemons go on, and their output is here and in `panteras logs`; see to LOG_DIR", err))
}

// end notes that it can be written again.
func (t *trouble) end(daemon string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reasons[daemon] == "" {
		return
	}
	delete(t.reasons, daemon)
	if len(t.reasons) > 0 {
		return
	}
	t.report(fmt.Sprintf("log files are written again; they lack %d lines", t.missing))
	t.missing = 0
}

// miss counts lines that are in no file.
func (t *trouble) miss(lines int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.missing += lines
	t.total += uint64(lines)
}

func (t *trouble) lost() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}
