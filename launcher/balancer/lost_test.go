package balancer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
)

// load sends requests until it is stopped: GET and POST, with and without keep-alive,
// on connections that never try again.
type load struct {
	sent, lost atomic.Int64
	first      atomic.Value // string
	stop       context.CancelFunc
	all        sync.WaitGroup
}

func (r *rig) load(host string) *load {
	ctx, cancel := context.WithCancel(r.t.Context())
	l := &load{stop: cancel}
	for i := range 8 {
		l.all.Go(func() {
			var conn net.Conn
			var reader *bufio.Reader
			for ctx.Err() == nil {
				if conn == nil {
					var err error
					if conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.Options.HTTPPort)); err != nil {
						l.lose(err)
						return
					}
					reader = bufio.NewReader(conn)
				}
				l.sent.Add(1)
				if !l.ask(conn, reader, host, i) {
					_ = conn.Close()
					conn = nil
				}
			}
			if conn != nil {
				_ = conn.Close()
			}
		})
	}
	r.t.Cleanup(func() { cancel(); l.all.Wait() })
	return l
}

func (l *load) lose(err error) {
	l.lost.Add(1)
	l.first.CompareAndSwap(nil, err.Error())
}

// ask tells whether the connection can be used again.
func (l *load) ask(conn net.Conn, reader *bufio.Reader, host string, kind int) bool {
	method, body := http.MethodGet, ""
	if kind%2 == 1 {
		method, body = http.MethodPost, "0123456789"
	}
	request, _ := http.NewRequest(method, "http://"+host+"/", strings.NewReader(body))
	request.Close = kind%4 >= 2
	_ = conn.SetDeadline(time.Now().Add(patience))
	if err := request.Write(conn); err != nil {
		l.lose(err)
		return false
	}
	answer, err := http.ReadResponse(reader, request)
	if err != nil {
		l.lose(err)
		return false
	}
	_, err = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK {
		l.lose(fmt.Errorf("%d: %w", answer.StatusCode, err))
		return false
	}
	return !answer.Close
}

// end stops the load; none may be lost.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.all.Wait()
	t.Logf("%d requests", l.sent.Load())
	if n := l.lost.Load(); n != 0 || l.sent.Load() == 0 {
		t.Errorf("%d of %d requests lost, the first: %v", n, l.sent.Load(), l.first.Load())
	}
}

// tunnel opens a WebSocket-like connection to a service that echoes, and returns what
// says a line and hears it again, and what ends it.
func (r *rig) tunnel(host string) (echo func(string) error, hangUp func()) {
	r.t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.Options.HTTPPort))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	reader := bufio.NewReader(conn)
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		r.t.Fatalf("no tunnel: %v %v", answer, err)
	}
	echo = func(line string) error {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, line+"\n"); err != nil {
			return err
		}
		got, err := reader.ReadString('\n')
		if err == nil && got != line+"\n" {
			err = fmt.Errorf("heard %q", got)
		}
		return err
	}
	return echo, func() { _ = conn.Close() }
}

// echo answers requests, and echoes lines of those that upgrade.
func echo(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.Header.Get("Upgrade") == "" {
		return
	}
	conn, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	_, _ = io.Copy(conn, buffer)
}

// TestReloadsLoseNothing reloads 20 times under load; WebSockets live on.
func TestReloadsLoseNothing(t *testing.T) {
	t.Parallel()
	web1 := serve(t, "web", "web", http.HandlerFunc(echo), "haproxy")
	r := startedRig(t, web1)
	say, _ := r.tunnel("web.service.consul")
	if err := say("before"); err != nil {
		t.Fatal(err)
	}
	l := r.load("web.service.consul")
	for i := range 20 {
		const between = 50 // so that there is load at each reload
		sent := l.sent.Load()
		lab.Eventually(t, patience, "requests between reloads", func() bool { return l.sent.Load() >= sent+between })
		other := *web1
		other.Service = fmt.Sprintf("other%d", i)
		if result := r.apply(web1, &other); !result.Reloaded {
			t.Fatalf("reload %d was none", i)
		}
	}
	l.end(t)
	if err := say("after"); err != nil {
		t.Errorf("the WebSocket: %v", err)
	}
	if n := r.reloads.Load(); n != 20 {
		t.Errorf("%d reloads", n)
	}
}

// late tells that something that took so long until now had taken more than 5 s on a machine
// that does nothing else. At most 2 s of them are for what needs a processor.
func late(t *testing.T, took time.Duration) bool {
	t.Helper()
	slowdown := lab.Slowdown(t)
	t.Logf("it took %v on a machine on which everything takes %.1f times as long", took, slowdown)
	return took.Seconds() > 3+2*slowdown
}

// TestManyServices brings one more service into effect beside 2,000, with HAProxy's check
// of the configuration and the reload.
func TestManyServices(t *testing.T) {
	t.Parallel()
	web1 := serve(t, "web", "web", http.HandlerFunc(echo), "haproxy")
	list := services(web1, 2000)
	r := startedRig(t, list...)
	tooLate := true
	for i := 0; i < 3 && tooLate; i++ {
		fresh := *web1
		fresh.Service = fmt.Sprintf("fresh-%d", i)
		list = append(list, &fresh)
		began := time.Now()
		if result := r.apply(list...); !result.Reloaded {
			t.Fatal("a new service came without a reload")
		}
		tooLate = late(t, time.Since(began))
		if code, _ := r.get(fresh.Service+".service.consul", "/"); code != http.StatusOK {
			t.Errorf("the new service answers %d", code)
		}
	}
	if tooLate {
		t.Error("one more service beside 2,000 is never served within 5 s")
	}
	for _, i := range []int{0, 1000, 1999} {
		if code, _ := r.get(fmt.Sprintf("service-%04d.service.consul", i), "/"); code != http.StatusOK {
			t.Errorf("service %d answers %d", i, code)
		}
	}
}

// TestScale goes from 2 to 20 instances and back, twice, under load and with WebSockets
// that were opened before, without a reload. Servers that still have some when they leave
// come back, or go later.
func TestScale(t *testing.T) {
	t.Parallel()
	var all []*haproxy.Instance
	for i := range 20 {
		all = append(all, serve(t, "web", fmt.Sprintf("i%d", i), http.HandlerFunc(echo), "haproxy"))
	}
	r := startedRig(t, all[:2]...)
	var tunnels []func(string) error
	var hangUps []func()
	open := func(n int) {
		t.Helper()
		for range n {
			say, hangUp := r.tunnel("web.service.consul")
			tunnels, hangUps = append(tunnels, say), append(hangUps, hangUp)
		}
	}
	alive := func(when string) {
		t.Helper()
		for i, say := range tunnels {
			if err := say(when); err != nil {
				t.Errorf("WebSocket %d, %s: %v", i, when, err)
			}
		}
	}
	counts := func() (ready, leaving int) {
		t.Helper()
		servers, err := r.runtime().servers()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range servers["backend_web"] {
			if s.ready {
				ready++
			} else {
				leaving++
			}
		}
		return ready, leaving
	}
	open(4)
	l := r.load("web.service.consul")
	tooLate := true
	for i := 0; i < 2 || i < 5 && tooLate; i++ {
		began := time.Now()
		r.apply(all...)
		r.apply(all[:2]...)
		r.apply(all...)
		tooLate = late(t, time.Since(began)) && tooLate
		alive("after 2 -> 20 -> 2 -> 20")
		open(20)
		r.apply(all[:2]...)
		alive("after its server has left")
		if ready, leaving := counts(); ready != 2 || leaving == 0 {
			t.Errorf("%d servers take requests, and %d are left because of WebSockets", ready, leaving)
		}
	}
	r.apply(all...)
	alive("at the end")
	if ready, leaving := counts(); ready != 20 || leaving != 0 {
		t.Errorf("%d of 20 servers take requests, %d were not revived", ready, leaving)
	}
	r.apply(all[:2]...)
	l.end(t)
	if tooLate {
		t.Error("from 2 to 20 instances, to 2, and to 20 never takes less than 5 s")
	}
	for _, hangUp := range hangUps {
		hangUp()
	}
	lab.Eventually(t, patience, "servers without connections to go with a later snapshot", func() bool {
		r.apply(all[:2]...)
		ready, leaving := counts()
		return ready == 2 && leaving == 0
	})
	if n := r.reloads.Load(); n != 0 {
		t.Errorf("%d reloads", n)
	}
}
