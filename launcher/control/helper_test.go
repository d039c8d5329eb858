package control

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"panteras/launcher"
	"panteras/launcher/control/controltest"
	"panteras/launcher/logs"
)

const secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// rig is a Server with a supervisor that does nothing, on a socket and on TCP.
type rig struct {
	*Server
	supervisor *controltest.Supervisor
	logs       *logs.Logs
	runDir     string
	address    string
	log        *strings.Builder // what the server logged; look when it is closed
	close      func()
}

func newRig(t *testing.T, edit func(*Options)) *rig {
	t.Helper()
	r := &rig{supervisor: &controltest.Supervisor{}, log: &strings.Builder{}}
	r.supervisor.Set(
		launcher.DaemonStatus{Name: "consul", State: launcher.StateReady, Ready: true, Pid: 4711, Since: time.Now().Add(-time.Minute), Restarts: 2, WaitingFor: []string{}},
		launcher.DaemonStatus{Name: "haproxy", State: launcher.StateWaiting, Since: time.Now(), WaitingFor: []string{"consul"}},
		launcher.DaemonStatus{Name: "marathon", State: launcher.StateDisabled, Since: time.Now(), WaitingFor: []string{}},
	)
	r.logs = logs.New(logs.Options{Console: io.Discard})
	o := Options{
		Supervisor: r.supervisor, Logs: r.logs, Token: secret, Names: []string{"node1", "Node1.example.com"},
		Build: Build{Version: "v1", Commit: "abc", Go: "go1.26"},
		Log:   slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if edit != nil {
		edit(&o)
	}
	r.Server = New(o)
	// A socket's path must be short, and t.TempDir is not.
	dir, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r.runDir = dir + "/run"
	socket, err := Listen(r.runDir)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = tcp.Addr().String()
	ended := make(chan error, 2)
	go func() { ended <- r.ServeSocket(socket) }()
	go func() { ended <- r.ServeTCP(tcp) }()
	closed := false
	r.close = func() {
		if closed {
			return
		}
		closed = true
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		r.Close(ctx)
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("serving ended with %v", err)
			}
		}
		r.logs.Close()
	}
	t.Cleanup(r.close)
	return r
}

// request is one to the TCP side; the token is shown unless edit removes it.
func (r *rig) request(t *testing.T, method, path string, edit func(*http.Request)) (code int, body string, header http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+r.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	if edit != nil {
		edit(req)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       30 * time.Second,
	}
	answer, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Header
}

// raw sends bytes as they are and returns the answer's, until the other side closes.
func (r *rig) raw(t *testing.T, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil && len(answer) == 0 {
		t.Fatal(err)
	}
	return string(answer)
}
