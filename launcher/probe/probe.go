// Package probe asks a daemon whether it is ready. [Check] does so once; how often, and
// what follows from the answer, is its caller's matter.
//
// A daemon that misbehaves costs no more than [Timeout] and 64 KiB. Its errors are
// sentences for an operator.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"panteras/launcher"
)

// Timeout is how long a daemon has for its whole answer, unless the context says less.
const Timeout = 5 * time.Second

// most is how many bytes of an answer are read.
const most = 64 << 10

// Check returns nil if the daemon is ready by the probe. A probe of kind
// [launcher.ProbeNotify] cannot be checked, because the daemon itself speaks up; it is
// an error, as is an unknown kind.
func Check(ctx context.Context, p launcher.Probe) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	switch p.Kind {
	case launcher.ProbeHTTP:
		return checkHTTP(within, p)
	case launcher.ProbeTCP:
		conn, err := dial(within, p.Address)
		if err == nil {
			_ = conn.Close()
		}
		return err
	case launcher.ProbeZooKeeper:
		return checkZooKeeper(within, p.Address)
	case launcher.ProbeRunning:
		return nil
	}
	return fmt.Errorf("a probe of kind %q cannot be checked", p.Kind)
}

// dial connects to a daemon of this host.
func dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s: %s", address, explain(err))
	}
	return conn, nil
}

// explain says in a few words why a network operation failed, without the addresses
// that the message around it names anyway.
func explain(err error) string {
	var timeout net.Error
	var number syscall.Errno
	switch {
	case errors.Is(err, context.Canceled):
		return "the check was called off"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there (connection refused)"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		strings.Contains(err.Error(), "server closed idle connection"): // net/http does not export that one
		return "it closed the connection without an answer"
	case errors.As(err, &number):
		return number.Error()
	}
	return err.Error()
}

// quote shows the beginning of what a daemon said, on one line.
func quote(text string) string {
	const longest = 100
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	return strconv.Quote(text)
}
