package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"panteras/launcher"
	"panteras/launcher/logs"

	"golang.org/x/sys/unix"
)

// ErrNotRunning is wrapped by errors that tell that no launcher runs.
var ErrNotRunning = errors.New("panteras is not running here")

// Client asks a launcher of this host over its control socket.
type Client struct {
	path string
	http *http.Client
	soon time.Duration // what needs no work is answered within
}

// soonTime is more than the launcher itself waits for its supervisor.
const soonTime = 2 * statusTimeout

// NewClient makes a Client for the launcher whose RUN_DIR is runDir.
func NewClient(runDir string) *Client {
	c := &Client{path: filepath.Join(runDir, SocketName), soon: soonTime}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			d := net.Dialer{Timeout: dialTimeout}
			return d.DialContext(ctx, "unix", c.path)
		},
		DisableKeepAlives: true,
	}}
	return c
}

// explain makes an error of the connection one that an operator understands.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w: nothing answers at %s; start it with `panteras up`, or name its folder with --run-dir", ErrNotRunning, c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to open %s: run this as the user of the launcher, usually root", c.path)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		return fmt.Errorf("%w before it answered; see `panteras status`, and ask again", ErrEnded)
	}
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		err = ue.Err // its URL is an invention of ours
	}
	return fmt.Errorf("cannot talk to the launcher at %s: %w", c.path, err)
}

// send returns the answer to a request, or its problem as an error.
func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, content)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, c.explain(err)
	}
	if answer.StatusCode < http.StatusBadRequest {
		return answer, nil
	}
	defer func() { _ = answer.Body.Close() }()
	var p Problem
	if json.NewDecoder(io.LimitReader(answer.Body, bodyBytes)).Decode(&p) != nil || p.Error == "" {
		return nil, fmt.Errorf("the launcher answers %s", answer.Status)
	}
	return nil, errors.New(p.Error)
}

// ask sends a request and reads the answer into result; nil leaves it.
func (c *Client) ask(ctx context.Context, method, path string, body, result any) error {
	answer, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if result == nil {
		return nil
	}
	if err := json.NewDecoder(answer.Body).Decode(result); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return c.explain(err)
	}
	return nil
}

// get reads what the launcher knows at once. One that is stopped accepts connections and never answers.
func (c *Client) get(ctx context.Context, path string, result any) error {
	limited, cancel := context.WithTimeout(ctx, c.soon)
	defer cancel()
	err := c.ask(limited, http.MethodGet, path, nil, result)
	if limited.Err() != nil && ctx.Err() == nil && err != nil {
		return fmt.Errorf("the launcher at %s has not answered within %v: it is stopped (state T in `ps`), or this host has no time for it", c.path, c.soon)
	}
	return err
}

// Status is what has become of all daemons.
func (c *Client) Status(ctx context.Context) (launcher.Status, error) {
	var st launcher.Status
	return st, c.get(ctx, "/api/v1/status", &st)
}

// Instance is which launcher it is.
func (c *Client) Instance(ctx context.Context) (Instance, error) {
	var i Instance
	return i, c.get(ctx, "/api/v1/version", &i)
}

// Do does an action to a daemon ("start", "stop", "restart", "reload"), waits until it
// is done, and returns the daemon's status then.
func (c *Client) Do(ctx context.Context, action, daemon string) (launcher.DaemonStatus, error) {
	var d launcher.DaemonStatus
	return d, c.ask(ctx, http.MethodPost, daemonPath(daemon)+"/"+action, nil, &d)
}

// Reload makes the launcher read all settings again, and waits until what differs is done.
func (c *Client) Reload(ctx context.Context) (launcher.Status, error) {
	var st launcher.Status
	return st, c.ask(ctx, http.MethodPost, "/api/v1/reload", nil, &st)
}

// Upgrade asks the launcher to go on as the program at path.
func (c *Client) Upgrade(ctx context.Context, path string) error {
	return c.ask(ctx, http.MethodPost, "/api/v1/upgrade", UpgradeRequest{path}, nil)
}

func daemonPath(daemon string) string { return "/api/v1/daemons/" + url.PathEscape(daemon) }

// ErrEnded tells that the launcher ended, or was upgraded, before all was answered.
var ErrEnded = errors.New("the launcher has ended or was upgraded")

// Logs passes on the last n lines of a daemon, and with follow every new one until ctx
// is done, which is no error.
func (c *Client) Logs(ctx context.Context, daemon string, n int, follow bool, each func(logs.Line) error) error {
	query := url.Values{"n": {strconv.Itoa(n)}, "follow": {strconv.FormatBool(follow)}}
	answer, err := c.send(ctx, http.MethodGet, daemonPath(daemon)+"/logs?"+query.Encode(), nil)
	if err != nil {
		if follow && ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	decoder := json.NewDecoder(bufio.NewReader(answer.Body))
	for {
		var line logs.Line
		err := decoder.Decode(&line)
		switch {
		case err == nil:
			if err := each(line); err != nil {
				return err
			}
		case follow && ctx.Err() != nil:
			return nil
		case follow:
			return ErrEnded
		case errors.Is(err, io.EOF):
			return nil
		default:
			return c.explain(err)
		}
	}
}
