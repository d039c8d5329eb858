package balancer

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"time"
)

// cli is a socket on which HAProxy takes commands.
type cli struct {
	path string
	// timeout is how long an answer may take.
	timeout time.Duration
}

const cliTimeout = 10 * time.Second

// ask sends one command and returns what HAProxy says.
func (c cli) ask(command string) (string, error) { return c.askWithin(c.timeout, command) }

func (c cli) askWithin(timeout time.Duration, command string) (string, error) {
	conn, err := net.DialTimeout("unix", c.path, timeout)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", err
	}
	// Or the master waits for the next command, where a worker ends the connection.
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return strings.TrimSpace(string(answer)), err
}

// do sends a command, or several with semicolons between them, which have nothing to say
// when they succeed, except for expected.
func (c cli) do(command string, expected ...string) error {
	answer, err := c.ask(command)
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	unexpected := answer
	for _, good := range expected {
		unexpected = strings.Replace(unexpected, good, "", 1)
	}
	if strings.TrimSpace(unexpected) != "" {
		return fmt.Errorf("%s: HAProxy says %q", command, answer)
	}
	return nil
}

func (b *Balancer) runtime() cli { return cli{b.Options.Socket, b.answerTime()} }

func (b *Balancer) answerTime() time.Duration { return cmp.Or(b.AnswerTime, cliTimeout) }

// unknown is what a HAProxy has loaded that runs and does not tell.
const unknown = "?"

// running is the description of the HAProxy that runs: "" if none does, [unknown] if it
// does not tell, or does not answer now.
func (b *Balancer) running() string { return b.runningWithin(b.answerTime()) }

func (b *Balancer) runningWithin(timeout time.Duration) string {
	info, err := b.runtime().askWithin(timeout, "show info")
	if absent(err) {
		return ""
	}
	for line := range strings.Lines(info) {
		if text, ok := strings.CutPrefix(line, "description: "); ok {
			return strings.TrimSpace(text)
		}
	}
	return unknown
}

// absent tells that nobody listens on a socket. One that does, and does not answer, is
// stopped or busy, and still has what it has loaded.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR)
}

// lookTimeout is how long HAProxy may take to tell that it runs.
const lookTimeout = 3 * time.Second

// Runs asks at a runtime socket whether HAProxy runs. An error says that it does not
// answer, or that this process must not ask it.
func Runs(socket string) (bool, error) {
	_, err := cli{path: socket}.askWithin(lookTimeout, "show info")
	if absent(err) {
		return false, nil
	}
	return err == nil, err
}
