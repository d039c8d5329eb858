package page

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"time"
)

const (
	// streams is how many may be open at a time, for events and logs together.
	streams = 32
	// logLines is how many lines a log begins with.
	logLines = 200
	// heartbeat is how often something is said, so that both sides notice when the
	// other is gone.
	heartbeat = 10 * time.Second
)

// stream sends server-sent events.
type stream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

// open begins a stream; nil if there are too many. The caller calls end.
func (p *Page) open(w http.ResponseWriter) (s *stream, end func()) {
	select {
	case p.follow <- struct{}{}:
	default:
		fail(w, http.StatusTooManyRequests, fmt.Sprintf("%d pages and logs are open already, which is as many as can", streams))
		return nil, nil
	}
	w.Header().Set("Content-Type", "text/event-stream")
	s = &stream{w, http.NewResponseController(w)}
	_ = s.c.SetReadDeadline(time.Time{})
	return s, func() { <-p.follow }
}

// send sends one event; event "" is nothing but a sign of life.
func (s *stream) send(event string, data any) error {
	_ = s.c.SetWriteDeadline(time.Now().Add(writeTime))
	if event == "" {
		if _, err := fmt.Fprint(s.w, ": \n\n"); err != nil {
			return err
		}
		return s.c.Flush()
	}
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", event, text); err != nil {
		return err
	}
	return s.c.Flush()
}

// events sends every part of the page that differs from what was sent before. It ends
// with the session.
func (p *Page) events(w http.ResponseWriter, r *http.Request, one session) {
	s, end := p.open(w)
	if s == nil {
		return
	}
	defer end()
	if s.send("hello", map[string]string{"instance": p.o.Instance, "edition": edition}) != nil {
		return
	}
	ticker := time.NewTicker(renderEvery)
	defer ticker.Stop()
	sent := map[string]template.HTML{}
	quiet := time.Now()
	for p.o.Now().Before(one.expires) {
		news := p.nextNews()
		parts, err := p.current(r.Context())
		if err != nil {
			p.o.Log.Error("the status page cannot be rendered", "error", err)
			return
		}
		for _, one := range parts {
			if html, had := sent[one.ID]; had && html == one.HTML {
				continue
			}
			if s.send("part", one) != nil {
				return
			}
			sent[one.ID], quiet = one.HTML, time.Now()
		}
		if time.Since(quiet) >= heartbeat {
			if s.send("", nil) != nil {
				return
			}
			quiet = time.Now()
		}
		select {
		case <-ticker.C:
		case <-news:
		case <-r.Context().Done():
			return
		case <-one.ended:
			return
		case <-p.ctx.Done():
			return
		}
	}
}

// log follows the output of a daemon.
func (p *Page) log(w http.ResponseWriter, r *http.Request, one session) {
	name := r.PathValue("name")
	if !p.isDaemon(r.Context(), name) {
		fail(w, http.StatusNotFound, "there is no such daemon")
		return
	}
	s, end := p.open(w)
	if s == nil {
		return
	}
	defer end()
	if s.send("hello", nil) != nil {
		return
	}
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	lines := p.o.Logs.Follow(r.Context(), name, logLines)
	for p.o.Now().Before(one.expires) {
		select {
		case line, more := <-lines:
			if !more || s.send("line", line) != nil {
				return
			}
		case <-ticker.C:
			if s.send("", nil) != nil {
				return
			}
		case <-one.ended:
			return
		case <-p.ctx.Done():
			return
		}
	}
}
