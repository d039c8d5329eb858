package page

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"panteras/launcher"
)

// TestEvents sends what differs, and nothing twice.
func TestEvents(t *testing.T) {
	t.Parallel()
	v, w := newVisitor(t)
	v.login()
	first, changed := map[string]int{}, false
	v.events("/page/events", func(event, data string) bool {
		var p part
		if event != "part" {
			return false
		}
		if err := json.Unmarshal([]byte(data), &p); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(p.HTML), evil) {
			t.Errorf("%s is not escaped", p.ID)
		}
		first[p.ID]++
		if len(first) == 7 && !changed {
			changed = true
			w.state("zookeeper", launcher.StateFailed)
		}
		return p.ID == "daemons" && strings.Contains(string(p.HTML), "failed")
	})
	if first["balancer"] != 1 || first["links"] != 1 {
		t.Errorf("parts came %v times", first)
	}
	w.logs.Write("consul", evil)
	v.events("/page/daemons/consul/log", func(event, data string) bool {
		return event == "line" && strings.Contains(data, `\u003cscript\u003e`)
	})
}

// TestManyStreams has more open than there is room for.
func TestManyStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve(t, "")
	v := &visitor{t: t, address: s.address}
	v.login()
	for range streams {
		s.page.follow <- struct{}{}
	}
	for _, path := range []string{"/page/events", "/page/daemons/consul/log"} {
		if answer, body := v.ask("GET", path, "", nil); answer.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%s is answered with %d %s", path, answer.StatusCode, body)
		}
	}
	for range streams {
		<-s.page.follow
	}
}

// TestSessionEnds is a week later.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(secret, time.Now)
		r := &http.Request{Header: http.Header{}}
		r.AddCookie(&http.Cookie{Name: cookieName, Value: "set by somebody else"})
		r.AddCookie(s.cookie(true))
		if one, ok := newSessions(secret, time.Now).of(r); !ok || time.Until(one.expires) != sessionTime {
			t.Errorf("a new launcher does not know the session: %v", one)
		}
		time.Sleep(sessionTime - time.Second)
		if _, ok := s.of(r); !ok {
			t.Error("it ends too early")
		}
		time.Sleep(time.Second)
		if _, ok := s.of(r); ok {
			t.Error("it does not end")
		}
	})
}

// TestSlowSource has a source that does not answer: the page comes all the same.
func TestSlowSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.options("1")
	block := make(chan struct{})
	o.Balancer = func(context.Context) (Balancer, error) { <-block; return Balancer{}, errors.New("gone") }
	p := New(o)
	parts, err := p.current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text := string(byID(parts)["balancer"]); !strings.Contains(text, "no answer yet") {
		t.Errorf("the balancer is shown as %s", text)
	}
	if text := string(byID(parts)["daemons"]); !strings.Contains(text, "zookeeper") {
		t.Errorf("the daemons are shown as %s", text)
	}
	close(block)
	p.Close()
}
