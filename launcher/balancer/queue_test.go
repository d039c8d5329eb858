package balancer

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// code is what HAProxy answers for a host; 0 is nothing. Any goroutine may ask.
func (r *rig) code(host string) int {
	request, err := http.NewRequest(http.MethodGet, r.url("/"), nil)
	if err != nil {
		return 0
	}
	request.Host, request.Close = host, true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// TestQueue: a request for which no server has a place waits for one longer than a
// connection may take.
func TestQueue(t *testing.T) {
	t.Parallel()
	const hold = 2 * time.Second
	a := serve(t, "web", "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(hold):
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "a")
	}), "haproxy")
	r := newRig(t)
	s := snapshotOf(a)
	s.Maxconn = map[string]string{"web/maxconn": "1"}
	r.applySnapshot(s)
	r.startHAProxy()
	codes := make(chan int)
	began := time.Now()
	for range 2 {
		go func() {
			codes <- r.code("web.service.consul")
		}()
	}
	for range 2 {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("one of two requests at once is answered %d", code)
		}
	}
	if took := time.Since(began); took < 2*hold {
		t.Errorf("both were served after %v, so not one after the other", took)
	}
}
