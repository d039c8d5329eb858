package control

import (
	"slices"
	"sync"
	"time"

	"panteras/launcher"
)

// longBackoff is the delay from which a daemon counts as one that does not stay up:
// it is reached when four starts in a row have failed, after about 15 s.
const longBackoff = 8 * time.Second

// statusTimeout is how long the supervisor may take to say how things are.
const statusTimeout = 5 * time.Second

// Health is the answer of /healthz.
type Health struct {
	// Status is "ok", or "failing" when Daemons is not empty.
	Status string `json:"status"`
	// Daemons are those that should run and do not stay up.
	Daemons []string `json:"daemons"`
}

// health judges statuses. A daemon fails from a backoff that is long, or from its
// failing for good, until it is ready or stopped: the moments in which it is started
// again in between do not make it well.
type health struct {
	mu      sync.Mutex
	failing map[string]bool
}

func newHealth() *health { return &health{failing: map[string]bool{}} }

func (h *health) judge(s launcher.Status) Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	failing := map[string]bool{}
	for _, d := range s.Daemons {
		switch d.State {
		case launcher.StateFailed:
			failing[d.Name] = true
		case launcher.StateBackoff:
			failing[d.Name] = h.failing[d.Name] || d.RetryAt != nil && d.RetryAt.Sub(d.Since) >= longBackoff
		case launcher.StateStarting, launcher.StateWaiting:
			failing[d.Name] = h.failing[d.Name]
		}
	}
	h.failing = failing
	result := Health{Status: "ok", Daemons: []string{}}
	for name, fails := range failing {
		if fails {
			result.Daemons = append(result.Daemons, name)
		}
	}
	slices.Sort(result.Daemons)
	if len(result.Daemons) > 0 {
		result.Status = "failing"
	}
	return result
}
