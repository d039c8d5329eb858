package store

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
)

// likeConsul answers what is at an index: at once those who know another one that is lower,
// and never those who wait for a higher one.
func likeConsul(t *testing.T, index int, value string) (client *consul.Client, addr string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("index"), &known)
		if known >= index {
			<-r.Context().Done()
			return
		}
		w.Header().Set("X-Consul-Index", fmt.Sprint(index))
		fmt.Fprintf(w, `[{"Key":"panteras/tunnel/cluster","ModifyIndex":%d,"Value":%q}]`, index, value)
	}))
	t.Cleanup(server.Close)
	addr = strings.TrimPrefix(server.URL, "http://")
	client, err := consul.NewClient(&consul.Config{Address: addr, HttpClient: &http.Client{}})
	if err != nil {
		t.Fatal(err)
	}
	return client, addr
}

// Another Consul, whose index is lower, is asked for what it has when it comes between two
// questions, and not for what it will have.
func TestWatchAsksAnotherConsulAnew(t *testing.T) {
	t.Parallel()
	first, addr := likeConsul(t, 1000, "MQ==")
	second, addr2 := likeConsul(t, 10, "Mg==")
	s := NewConsul(first, addr)
	ctx, cancel := context.WithCancel(t.Context())
	seen, done := make(chan string, 10), make(chan struct{})
	go func() {
		defer close(done)
		s.kv.watch(ctx, clusterKey, func(v view, err error) {
			if err == nil && string(v.entries[clusterKey].value) == "1" {
				s.UseClient(second, addr2) // so that no question is on its way
			}
			seen <- fmt.Sprint(string(v.entries[clusterKey].value), err)
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	for _, want := range []string{"1<nil>", "2<nil>"} {
		select {
		case got := <-seen:
			if got != want {
				t.Errorf("seen %s, want %s", got, want)
			}
		case <-time.After(watchWait / 2):
			t.Fatalf("%s is not seen", want)
		}
	}
}
