// Command smooth-webapp is a web service that can be stopped while it is in use: on
// SIGTERM its health check begins to fail, it goes on serving until the load balancer has
// had the time to see that, and it ends when the last request is answered.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", ":8000", "`address` to listen on")
	name := flag.String("name", os.Getenv("MARATHON_APP_ID"), "what it calls itself")
	drain := flag.Duration("drain", 10*time.Second, "how `long` to go on serving after SIGTERM")
	last := flag.Duration("last", 20*time.Second, "how `long` the last requests may take after that")
	flag.Parse()

	// The second signal ends it at once.
	ctx, again := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	app := &webapp{name: *name}
	server := &http.Server{Addr: *listen, Handler: app.routes()}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		log.Fatal(err)
	case <-ctx.Done():
	}
	again()
	log.Printf("draining for %v", *drain)
	app.draining.Store(true)
	time.Sleep(*drain)
	ctx, cancel := context.WithTimeout(context.Background(), *last)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		log.Fatalf("requests were cut off after %v: %v", *last, err)
	}
}

// webapp is the service.
type webapp struct {
	name     string
	draining atomic.Bool
}

func (a *webapp) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if a.draining.Load() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "healthy")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		// Whoever keeps a connection open may just be about to use it when it is closed
		// at the end; so each is given back in good time.
		if a.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		fmt.Fprintf(w, "%s: %s %s\n", a.name, r.Method, r.URL.Path)
	})
	return mux
}
