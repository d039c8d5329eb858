package balancer

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"panteras/internal/lab"
)

// steady is how late all but one of a hundred answers are, when all ways get as many
// requests a second, so that none is slow because it is asked more.
const steady = "p99 ms, same load"

// steadyShare is how much of what the slowest way can do all are asked for.
const steadyShare = 0.5

const steadyTime = 4 * time.Second

// measureSteady asks each way in turn for half of what the slowest one did at its best.
func measureSteady(b *testing.B, ways []*way, size int) {
	b.Helper()
	perSecond := lab.Median(slices.MinFunc(ways, func(x, y *way) int {
		return int(lab.Median(x.figures[rate]) - lab.Median(y.figures[rate]))
	}).figures[rate]) * steadyShare
	for range benchRounds {
		for _, w := range ways {
			late := w.ask(b, perSecond, size)
			w.figures[steady] = append(w.figures[steady], late.Seconds()*1e3)
		}
	}
}

// ask sends requests at a steady rate over 32 connections, and returns the 99th percentile
// of the times from when each was due until it was answered.
func (w *way) ask(b *testing.B, perSecond float64, size int) time.Duration {
	b.Helper()
	const connections = 32
	n := int(perSecond * steadyTime.Seconds())
	due := make(chan time.Time, n)
	var all sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	for first := range connections {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", w.port))
		if err != nil {
			b.Fatal(err)
		}
		all.Go(func() {
			defer func() { _ = conn.Close() }()
			reader := bufio.NewReader(conn)
			for service := first; ; service += connections {
				when, more := <-due
				if !more {
					return
				}
				err := askOnce(conn, reader, service%size)
				mu.Lock()
				took = append(took, time.Since(when))
				mu.Unlock()
				if err != nil {
					b.Errorf("%s: %v", w.name, err)
					return
				}
			}
		})
	}
	began := time.Now()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for sent := 0; sent < n; <-ticker.C {
		for ; sent < n && float64(sent) <= time.Since(began).Seconds()*perSecond; sent++ {
			due <- began.Add(time.Duration(float64(sent) / perSecond * float64(time.Second)))
		}
	}
	close(due)
	all.Wait()
	slices.Sort(took)
	return took[len(took)*99/100]
}

// askOnce asks for one of the services, on a connection that is kept.
func askOnce(conn net.Conn, reader *bufio.Reader, service int) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: service-%04d.service.consul\r\n\r\n", service); err != nil {
		return err
	}
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %d", answer.StatusCode)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}
