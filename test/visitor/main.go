// Command visitor is somebody at a desk who uses the platform without pause and writes
// down how that goes: one line for each attempt, when it is over,
//
//	KIND BEGAN TOOK ERROR
//
// with the times in milliseconds (since 1970, and taken), and without ERROR when all is
// well. Names are looked up by the system's resolv.conf, anew for each attempt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// patience is how long somebody waits before he calls it broken.
const patience = 2 * time.Second

func main() {
	page := flag.String("page", "", "`URL` to fetch, ten times a second")
	service := flag.String("srv", "", "`name` to look for SRV records of, five times a second")
	key := flag.String("put", "", "`URL` to write to, twice a second")
	flag.Parse()
	var all sync.WaitGroup
	for _, habit := range []struct {
		kind  string
		every time.Duration
		does  func(context.Context) error
	}{
		{"page", 100 * time.Millisecond, func(ctx context.Context) error { return fetch(ctx, http.MethodGet, *page) }},
		{"srv", 200 * time.Millisecond, func(ctx context.Context) error { return find(ctx, *service) }},
		{"put", 500 * time.Millisecond, func(ctx context.Context) error { return fetch(ctx, http.MethodPut, *key) }},
	} {
		all.Go(func() {
			for range time.Tick(habit.every) { // whether or not the last attempt is over
				go attempt(habit.kind, habit.does)
			}
		})
	}
	all.Wait()
}

func attempt(kind string, does func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	text := ""
	if err := does(ctx); err != nil {
		text = " " + strings.Join(strings.Fields(err.Error()), " ")
	}
	fmt.Printf("%s %d %d%s\n", kind, began.UnixMilli(), time.Since(began).Milliseconds(), text)
}

func fetch(ctx context.Context, method, url string) error {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(""))
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return err
}

func find(ctx context.Context, name string) error {
	_, list, err := net.DefaultResolver.LookupSRV(ctx, "", "", name)
	if err == nil && len(list) == 0 {
		err = errors.New("no records")
	}
	return err
}
