package probe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"panteras/launcher"
	"panteras/launcher/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server listens on 127.0.0.1 and does one thing with every connection, which it then
// closes. It counts the bytes that it could get rid of.
type server struct {
	addr string
	sent atomic.Int64
}

func serve(t *testing.T, act func(s *server, conn net.Conn)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: l.Addr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { _ = conn.Close() })
			act(s, conn)
			stop()
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return s
}

// says answers every question with a text.
func says(text string) func(*server, net.Conn) {
	return func(_ *server, conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, text)
	}
}

// silent takes what comes and says nothing until the other side goes.
func silent(_ *server, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// endless sends a beginning, and then more and more of one text.
func endless(beginning, more string) func(*server, net.Conn) {
	return func(s *server, conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, beginning)
		for {
			n, err := io.WriteString(conn, more)
			s.sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
}

const ok = "HTTP/1.1 200 OK\r\n"

func TestScriptedHTTP(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what   string
		act    func(*server, net.Conn)
		expect string
		want   []string // pieces of the error; nil for ready
	}{
		{"ready", says(ok + "Content-Length: 6\r\n\r\nhello\n"), "", nil},
		{"ready with the text", says(ok + "Content-Length: 6\r\n\r\nhello\n"), "llo", nil},
		{"ready without a text", says("HTTP/1.1 204 No Content\r\n\r\n"), "", nil},
		{"another text", says(ok + "Content-Length: 6\r\n\r\nhello\n"), "bye", []string{"answers 200 OK", `"bye" is not in its text "hello"`}},
		{"refusal", says("HTTP/1.1 403 Forbidden\r\nContent-Length: 21\r\n\r\nACL\nsupport\tdisabled\n"), "", []string{"403 Forbidden", "ACL support disabled"}},
		{"failure", says("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), "", []string{"503"}},
		{"redirect", says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/login\r\nContent-Length: 0\r\n\r\n"), "", []string{"302 Found", "/login", "not followed"}},
		{"closing", func(*server, net.Conn) {}, "", []string{"cannot ask http://", "closed the connection"}},
		{"breaking off", says(ok + "Content-Length: 100\r\n\r\nhello"), "bye", []string{"breaks off"}},
		{"garbage", says("\x00\xff no HTTP\r\n\r\n"), "", []string{"cannot ask http://", "malformed HTTP"}},
		{"endless header", endless(ok, "X-More: more\r\n"), "", []string{"cannot ask http://", "header"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, test.act)
			err := probe.Check(t.Context(), launcher.Probe{Kind: launcher.ProbeHTTP, URL: "http://" + s.addr + "/health", Expect: test.expect})
			switch {
			case test.want != nil:
				wantError(t, err, test.want...)
			case err != nil:
				t.Error(err)
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	asked := atomic.Bool{}
	target := serve(t, func(s *server, conn net.Conn) {
		asked.Store(true)
		says(ok+"Content-Length: 0\r\n\r\n")(s, conn)
	})
	s := serve(t, says("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://"+target.addr+"/\r\nContent-Length: 0\r\n\r\n"))
	wantError(t, probe.Check(t.Context(), launcher.Probe{Kind: launcher.ProbeHTTP, URL: "http://" + s.addr + "/"}), "307")
	if asked.Load() {
		t.Error("the redirect was followed")
	}
}

func TestScriptedZooKeeper(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what string
		act  func(*server, net.Conn)
		want []string
	}{
		{"standalone", says("Zookeeper version: 3.8.0\nMode: standalone\nNode count: 5\n"), nil},
		{"follower", says("Mode: follower\n"), nil},
		{"read-only", says("Mode: read-only\n"), []string{"no ZooKeeper", "read-only"}},
		{"another server", says("HTTP/1.1 400 Bad Request\r\n\r\n"), []string{"no ZooKeeper", "400 Bad Request"}},
		{"closing", func(*server, net.Conn) {}, []string{"does not tell its mode", "closed the connection"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, test.act)
			err := probe.Check(t.Context(), launcher.Probe{Kind: launcher.ProbeZooKeeper, Address: s.addr})
			switch {
			case test.want != nil:
				wantError(t, err, test.want...)
			case err != nil:
				t.Error(err)
			}
		})
	}
}

// A daemon without end costs a bounded number of bytes; what the kernel buffers on
// both sides comes on top.
func TestEndlessAnswers(t *testing.T) {
	t.Parallel()
	const bound = 16 << 20
	more := strings.Repeat("x", 1<<10)
	body := endless(ok+"\r\n", more)
	for _, test := range []struct {
		what string
		act  func(*server, net.Conn)
		p    launcher.Probe
		want string
	}{
		{"body", body, launcher.Probe{Kind: launcher.ProbeHTTP, Expect: "leader"}, "not in the first 64 KiB"},
		{"body that nobody wants", body, launcher.Probe{Kind: launcher.ProbeHTTP}, ""},
		{"body of a refusal", endless("HTTP/1.1 500 Oops\r\n\r\n", more), launcher.Probe{Kind: launcher.ProbeHTTP}, "500 Oops"},
		{"srvr", endless("", more), launcher.Probe{Kind: launcher.ProbeZooKeeper}, "no ZooKeeper"},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, test.act)
			test.p.URL, test.p.Address = "http://"+s.addr+"/", s.addr
			err := probe.Check(t.Context(), test.p)
			if test.want != "" {
				wantError(t, err, test.want)
				if len(err.Error()) > 400 {
					t.Errorf("an error of %d bytes", len(err.Error()))
				}
			} else if err != nil {
				t.Error(err)
			}
			if sent := s.sent.Load(); sent > bound {
				t.Errorf("the server got rid of %d bytes", sent)
			}
		})
	}
}

// A daemon that says nothing costs no more time than the context or Timeout gives.
func TestSilentDaemons(t *testing.T) {
	t.Parallel()
	halfway := func(s *server, conn net.Conn) {
		says(ok+"Content-Length: 100\r\n\r\nhello")(s, conn)
		silent(s, conn)
	}
	for _, test := range []struct {
		what string
		act  func(*server, net.Conn)
		p    launcher.Probe
	}{
		{"http", silent, launcher.Probe{Kind: launcher.ProbeHTTP}},
		{"http halfway", halfway, launcher.Probe{Kind: launcher.ProbeHTTP, Expect: "bye"}},
		{"zookeeper", silent, launcher.Probe{Kind: launcher.ProbeZooKeeper}},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, test.act)
			test.p.URL, test.p.Address = "http://"+s.addr+"/", s.addr
			started := time.Now()
			err := probe.Check(t.Context(), test.p)
			wantError(t, err, "no answer in time")
			if took := time.Since(started); took < probe.Timeout || took > probe.Timeout+30*time.Second {
				t.Errorf("it took %v", took)
			}

			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			started = time.Now()
			wantError(t, probe.Check(ctx, test.p), "no answer in time")
			if took := time.Since(started); took >= probe.Timeout {
				t.Errorf("with a shorter deadline it took %v", took)
			}
		})
	}
}

func TestCalledOff(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{launcher.ProbeHTTP, launcher.ProbeZooKeeper} {
		ctx, cancel := context.WithCancel(t.Context())
		s := serve(t, func(s *server, conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096)) // it is asked, and not only connected to
			cancel()
			silent(s, conn)
		})
		started := time.Now()
		err := probe.Check(ctx, launcher.Probe{Kind: kind, URL: "http://" + s.addr + "/", Address: s.addr})
		wantError(t, err, "called off")
		if took := time.Since(started); took >= probe.Timeout {
			t.Errorf("%s: called off, it took %v", kind, took)
		}
		if err := probe.Check(ctx, launcher.Probe{Kind: kind}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestOtherKinds(t *testing.T) {
	if err := probe.Check(t.Context(), launcher.Probe{Kind: launcher.ProbeRunning}); err != nil {
		t.Error(err)
	}
	for _, kind := range []string{launcher.ProbeNotify, "", "nonsense"} {
		wantError(t, probe.Check(t.Context(), launcher.Probe{Kind: kind}), fmt.Sprintf("%q cannot be checked", kind))
	}
	wantError(t, probe.Check(t.Context(), launcher.Probe{Kind: launcher.ProbeTCP, Address: "nonsense"}), "cannot connect to nonsense")
	wantError(t, probe.Check(t.Context(), launcher.Probe{Kind: launcher.ProbeHTTP, URL: "http://[nonsense/"}), "nonsense")
}
