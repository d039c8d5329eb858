package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// MasterSocket reloads through the socket of HAProxy's master itself.
type MasterSocket string

// Reload asks for a reload. HAProxy 2.6 says nothing, whether it succeeds or not, and
// leaves the connection open while it starts anew.
func (m MasterSocket) Reload(ctx context.Context) error {
	conn, err := m.dial(ctx)
	if err != nil {
		return fmt.Errorf("cannot reach HAProxy's master: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err = io.WriteString(conn, "reload\n"); err == nil {
		err = conn.(*net.UnixConn).CloseWrite()
	}
	if err != nil {
		return fmt.Errorf("cannot ask HAProxy's master for a reload: %w", err)
	}
	// Whoever closes too early is not heard.
	_ = conn.SetReadDeadline(time.Now().Add(answerTimeout))
	_, _ = io.Copy(io.Discard, conn)
	return nil
}

// dial connects to the master, which nobody reaches for a moment while it starts anew.
func (m MasterSocket) dial(ctx context.Context) (net.Conn, error) {
	ticker := time.NewTicker(reloadPoll)
	defer ticker.Stop()
	for range masterAttempts {
		conn, err := net.DialTimeout("unix", string(m), cliTimeout)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
	}
	return nil, syscall.ECONNREFUSED
}

// masterAttempts times reloadPoll is how long a master may take to start anew.
const masterAttempts = 250

// answerTimeout is how long the master may take to read a command.
const answerTimeout = 500 * time.Millisecond

// ReloadFunc makes a function a Reloader.
type ReloadFunc func(ctx context.Context) error

// Reload calls the function.
func (f ReloadFunc) Reload(ctx context.Context) error { return f(ctx) }

const (
	defaultPatience = 20 * time.Second
	reloadPoll      = 20 * time.Millisecond
	reloadAsk       = 100 * time.Millisecond
	mostReloadAsk   = time.Second
	// goneTime is how long HAProxy may seem not to run at all while it starts anew. Who
	// stops it and then consul-template waits for this.
	goneTime = 2 * time.Second
)

// reload reloads HAProxy and waits until it has the shape.
func (b *Balancer) reload(ctx context.Context, shape string) error {
	patience := b.Patience
	if patience == 0 {
		patience = defaultPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	failures := b.failures(time.Second)
	if err := b.Reloader.Reload(ctx); err != nil {
		return fmt.Errorf("HAProxy could not be reloaded, so it goes on with its last good configuration: %w", err)
	}
	ticker := time.NewTicker(reloadPoll)
	defer ticker.Stop()
	var away time.Time // since when neither a worker nor the master is there
	// A worker that is about to end may take a connection and never answer.
	for timeout := reloadAsk; ; timeout = min(2*timeout, mostReloadAsk) {
		running := b.runningWithin(timeout)
		switch {
		case running == shape:
			return nil
		case running != "" || !b.gone():
			away = time.Time{}
		case away.IsZero():
			away = time.Now()
		case time.Since(away) > goneTime:
			return errors.New("HAProxy was stopped while it was to read its new configuration")
		}
		if b.failures(timeout) > failures {
			return errors.New("HAProxy did not start with the new configuration, although it passed the check, and goes on with the last good one; its log says why")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("HAProxy does not have the new configuration %v after the reload; see its log", patience)
		case <-ticker.C:
		}
	}
}

var failed = regexp.MustCompile(`\[failed: ([0-9]+)\]`)

// failures counts the reloads that failed since the last one that did not: the master
// then waits with the workers that it had.
func (b *Balancer) failures(timeout time.Duration) int {
	processes, err := cli{path: b.Master}.askWithin(timeout, "show proc")
	if m := failed.FindStringSubmatch(processes); err == nil && m != nil {
		n, _ := strconv.Atoi(m[1]) // digits
		return n
	}
	return 0
}
