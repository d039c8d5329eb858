package store

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	consul "github.com/hashicorp/consul/api"
)

// Consul refuses connections beyond a number (http_max_conns_per_client): we do not bring
// that many, and who is refused for others' sake comes again.
func TestConsulIsNotCrowded(t *testing.T) {
	t.Parallel()
	var at, most, asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n := at.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer at.Add(-1)
		if asked.Add(1)%3 == 0 {
			http.Error(w, "Your IP is issuing too many concurrent connections, please rate limit your calls", http.StatusTooManyRequests)
			return
		}
		_, _ = w.Write([]byte("[]"))
	}))
	t.Cleanup(server.Close)
	client, err := consul.NewClient(&consul.Config{Address: strings.TrimPrefix(server.URL, "http://")})
	if err != nil {
		t.Fatal(err)
	}
	kv := NewConsul(client, "there").kv
	var all sync.WaitGroup
	for range 4 * requests {
		all.Go(func() {
			if _, err := kv.list(context.Background(), "peers/"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() > requests {
		t.Errorf("%d requests at once", most.Load())
	}
}
