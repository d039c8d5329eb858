package control

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func without(r *http.Request) { r.Header.Del("Authorization") }

// TestWithoutTheTokenNothing tries everything that the API can do, and what it cannot.
func TestWithoutTheTokenNothing(t *testing.T) {
	r := newRig(t, nil)
	type attack struct {
		name string
		edit func(*http.Request)
	}
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	attacks := []attack{
		{"no token", without},
		{"wrong token", header("Authorization", "Bearer "+strings.Repeat("0", len(secret)))},
		{"half a token", header("Authorization", "Bearer "+secret[:32])},
		{"a longer token", header("Authorization", "Bearer "+secret+"0")},
		{"empty token", header("Authorization", "Bearer ")},
		{"other scheme", header("Authorization", "Basic "+secret)},
		{"bare token", header("Authorization", secret)},
		{"two tokens", header("Authorization", "Bearer "+secret, "Bearer x")},
		{"in the query", func(r *http.Request) { without(r); r.URL.RawQuery = "token=" + secret }},
		{"in the query as OAuth has it", func(r *http.Request) { without(r); r.URL.RawQuery = "access_token=" + secret }},
		{"in the query beside the header", func(r *http.Request) { r.URL.RawQuery = "token=" + secret }},
		{"as a cookie", func(r *http.Request) { without(r); r.AddCookie(&http.Cookie{Name: "token", Value: secret}) }},
		{"as the user's password", func(r *http.Request) { r.SetBasicAuth("panteras", secret) }},
	}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "GARBAGE"}
	paths := []string{"/", "/x", "/healthz/", "/healthz/x", "/Healthz", "/%68ealthz", "/healthz%2f..%2fmetrics", "/api/v1/../../healthz"}
	for _, route := range routes {
		paths = append(paths, strings.ReplaceAll(route.path, "{name}", "consul"))
	}
	try := func(name, method, path string, edit func(*http.Request)) {
		code, body, _ := r.request(t, method, path, edit)
		if code != http.StatusUnauthorized {
			t.Errorf("%s: %s %s is answered with %d %s", name, method, path, code, body)
		}
	}
	for _, path := range paths {
		for _, method := range methods {
			if method == "CONNECT" {
				continue // has no path; see below
			}
			if path == healthPath && (method == "GET" || method == "HEAD") {
				continue
			}
			try("no token", method, path, without)
		}
	}
	for _, a := range attacks {
		try(a.name, "GET", "/api/v1/status", a.edit)
		try(a.name, "POST", "/api/v1/daemons/consul/stop", a.edit)
		try(a.name, "GET", "/metrics", a.edit)
	}
	for _, request := range []string{
		"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n",
		"GET //healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"GET /healthz/../api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"GET /healthz;/api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"GET http://127.0.0.1/api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
	} {
		if got := r.raw(t, request); !strings.HasPrefix(got, "HTTP/1.1 401 ") {
			t.Errorf("%q is answered with %q", request, got)
		}
	}
	if calls := r.supervisor.Calls(); len(calls) > 0 {
		t.Errorf("the attacker had the launcher do %q", calls)
	}
	if code, body, _ := r.request(t, "GET", healthPath, without); code != http.StatusOK || strings.Contains(body, "4711") {
		t.Errorf("%s is answered with %d %s", healthPath, code, body)
	}
}

// TestWebPagesOfOthersGetNothing has the token, as a browser might.
func TestWebPagesOfOthersGetNothing(t *testing.T) {
	r := newRig(t, nil)
	_, port, _ := net.SplitHostPort(r.address)
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	for _, test := range []struct {
		name string
		edit func(*http.Request)
		want int
	}{
		{"address", host("10.0.0.5:9000"), 200},
		{"address of IPv6", host("[fd00::5]:9000"), 200},
		{"address of IPv6 without a port", host("[fd00::5]"), 200},
		{"localhost", host("LocalHost:" + port), 200},
		{"HOSTNAME", host("node1:" + port), 200},
		{"FQDN", host("node1.EXAMPLE.com."), 200},
		{"a name that was rebound", host("evil.example:" + port), 421},
		{"a name that begins like ours", host("node1.evil.example"), 421},
		{"a name that ends like ours", host("evil-node1"), 421},
		{"an address as a part of a name", host("127.0.0.1.nip.io"), 421},
		{"a number, which is an address to some", host("2130706433"), 421},
		{"no name", host(":" + port), 421},
		{"same origin", header("Origin", "http://"+r.address), 200},
		{"another site", header("Origin", "http://evil.example"), 403},
		{"another port", header("Origin", "http://127.0.0.1:1"), 403},
		{"a sandboxed page", header("Origin", "null"), 403},
		{"an empty origin", header("Origin", ""), 403},
		{"a page of a file", header("Origin", "file://"), 403},
		{"two origins", header("Origin", "http://"+r.address, "http://evil.example"), 403},
		{"cross-site by the browser's word", header("Sec-Fetch-Site", "cross-site"), 403},
		{"same-site by the browser's word", header("Sec-Fetch-Site", "same-site"), 403},
		{"typed in", header("Sec-Fetch-Site", "none"), 200},
	} {
		for _, path := range []string{"/api/v1/status", healthPath} {
			code, body, h := r.request(t, "GET", path, test.edit)
			if code != test.want {
				t.Errorf("%s: %s is answered with %d %s, want %d", test.name, path, code, body, test.want)
			}
			for name := range h {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s: the answer has %s", test.name, name)
				}
			}
			if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: the answer may be cached or sniffed: %v", test.name, h)
			}
		}
		before := len(r.supervisor.Calls())
		r.request(t, "POST", "/api/v1/daemons/consul/stop", test.edit)
		if done := len(r.supervisor.Calls()) > before; done != (test.want == 200) {
			t.Errorf("%s: a daemon was stopped: %v", test.name, done)
		}
	}
	for request, want := range map[string]string{
		"GET /healthz HTTP/1.0\r\n\r\n":                                          "421",
		"GET /healthz HTTP/1.1\r\n\r\n":                                          "400",
		"GET http://evil.example/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n":    "421",
		"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n": "400",
	} {
		if got := r.raw(t, request); !strings.HasPrefix(got[min(len("HTTP/1.1 "), len(got)):], want) {
			t.Errorf("%q is answered with %q, want %s", request, got, want)
		}
	}
}

func TestTheTokenIsNeverLoggedOrSaid(t *testing.T) {
	r := newRig(t, nil)
	var said strings.Builder
	for _, path := range []string{"/api/v1/status", "/api/v1/version", "/metrics", healthPath, "/nowhere", "/api/v1/daemons/consul/logs"} {
		_, body, h := r.request(t, "GET", path, nil)
		said.WriteString(body)
		for name, values := range h {
			said.WriteString(name + strings.Join(values, ""))
		}
	}
	_, body, _ := r.request(t, "GET", "/api/v1/status?token="+secret, nil)
	said.WriteString(body)
	// Requests that the HTTP server itself complains about.
	r.raw(t, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "+secret+"\r\nbad header\r\n\r\n")
	said.WriteString(r.gate.Load().token.String() + r.gate.Load().token.GoString())
	r.close()
	if strings.Contains(said.String(), secret) {
		t.Error("an answer holds the token")
	}
	if strings.Contains(r.log.String(), secret) {
		t.Errorf("the log holds the token:\n%s", r.log)
	}
}

func TestWithTheTokenOnlyWhatThereIs(t *testing.T) {
	r := newRig(t, nil)
	for _, test := range []struct {
		method, path string
		code         int
		body         string
	}{
		{"OPTIONS", "/api/v1/status", 405, "takes GET, HEAD only"},
		{"TRACE", "/api/v1/status", 405, "takes GET, HEAD only"},
		{"POST", "/api/v1/status", 405, "takes GET, HEAD only"},
		{"GET", "/api/v1/daemons/consul/stop", 405, "takes POST only"},
		{"HEAD", "/api/v1/daemons/consul/stop", 405, ""},
		{"DELETE", "/api/v1/daemons/consul", 405, "takes GET, HEAD only"},
		{"GET", "/api/v1/upgrade", 405, "takes POST only"},
		{"POST", healthPath, 405, "takes GET, HEAD only"},
		{"GET", "/", 404, "no such path"},
		{"GET", "/api/v2/status", 404, "no such path"},
		{"GET", "/api/v1/status/", 404, "not written plainly"},
		{"GET", "/api/v1/daemons/nobody", 404, "there is no daemon"},
		{"POST", "/api/v1/daemons/nobody/stop", 404, "there are consul, haproxy, marathon"},
		{"POST", "/api/v1/daemons/..%2f..%2fetc/stop", 404, "not written plainly"},
		{"GET", "/api/v1/daemons/..%2f..%2fetc%2fpasswd/logs", 404, "not written plainly"},
		{"GET", "/api/v1/daemons/x%2fpasswd/logs", 404, "there is no daemon"},
		{"GET", "/api/v1/daemons/consul/logs?n=x", 400, "not a number"},
		{"GET", "/api/v1/daemons/consul/logs?n=-1", 400, "not a number"},
		{"GET", "/api/v1/daemons/consul/logs?follow=x", 400, "not true or false"},
	} {
		code, body, h := r.request(t, test.method, test.path, nil)
		if code != test.code || !strings.Contains(body, test.body) {
			t.Errorf("%s %s is answered with %d %s, want %d with %q", test.method, test.path, code, body, test.code, test.body)
		}
		var p Problem
		if test.method != "HEAD" && (json.Unmarshal([]byte(body), &p) != nil || p.Error == "") {
			t.Errorf("%s %s: the error is no JSON: %s", test.method, test.path, body)
		}
		if code == 405 && h.Get("Allow") == "" {
			t.Errorf("%s %s: the answer lacks Allow", test.method, test.path)
		}
	}
	if calls := r.supervisor.Calls(); len(calls) > 0 {
		t.Errorf("the launcher did %q", calls)
	}
}

// TestSlowAndLargeRequestsAreCutOff waits for the server's own limits.
func TestSlowAndLargeRequestsAreCutOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	t.Run("headers that do not end", func(t *testing.T) {
		t.Parallel()
		c, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		begun := time.Now()
		_ = c.SetReadDeadline(begun.Add(10 * headerTimeout))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, c)
		}()
		for {
			select {
			case <-ticker.C:
				_, _ = io.WriteString(c, "X-Slow: 1\r\n")
				continue
			case <-ended:
			}
			break
		}
		if took := time.Since(begun); took >= 10*headerTimeout {
			t.Errorf("after %v the connection is still open", took)
		}
	})
	t.Run("headers without measure", func(t *testing.T) {
		t.Parallel()
		got := r.raw(t, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "+strings.Repeat("x", 2*headerBytes)+"\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 431 ") {
			t.Errorf("answered with %q", got)
		}
	})
	t.Run("a body without measure", func(t *testing.T) {
		t.Parallel()
		code, body, _ := r.request(t, "POST", "/api/v1/upgrade", func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(`{"path":"/` + strings.Repeat("x", 2*bodyBytes) + `"}`))
			r.ContentLength = -1
		})
		if code != http.StatusBadRequest {
			t.Errorf("answered with %d %s", code, body)
		}
	})
	t.Run("more connections than there is room for do no harm to the socket", func(t *testing.T) {
		t.Parallel()
		crowd := newRig(t, nil)
		for range connections + 10 {
			c, err := net.Dial("tcp", crowd.address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
		}
		if _, err := NewClient(crowd.runDir).Status(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestNoTokenLetsNobodyIn is about a launcher that could not make one.
func TestNoTokenLetsNobodyIn(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Token = "" })
	for _, shown := range []string{"Bearer ", "Bearer", "Bearer " + secret} {
		c, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: "+shown+"\r\nConnection: close\r\n\r\n")
		line, _ := bufio.NewReader(c).ReadString('\n')
		_ = c.Close()
		if !strings.Contains(line, " 401 ") {
			t.Errorf("%q is answered with %q", shown, line)
		}
	}
}

// TestAnotherToken replaces the token while somebody is let in by the old one.
func TestAnotherToken(t *testing.T) {
	r := newRig(t, nil)
	show := func(token string) func(*http.Request) {
		return func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+token) }
	}
	r.logs.Write("consul", "text")
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, "GET /api/v1/daemons/consul/logs?follow=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+secret+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%+v, %v", answer, err)
	}
	lines := bufio.NewReader(answer.Body)
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "text") {
		t.Fatalf("the log begins with %q, %v", line, err)
	}
	r.SetAccess(secret, []string{"node2"}) // the same token: it goes on
	r.logs.Write("consul", "more")
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "more") {
		t.Fatalf("the log goes on with %q, %v", line, err)
	}
	for host, want := range map[string]int{"node2": http.StatusOK, "node1": http.StatusMisdirectedRequest} {
		if code, _, _ := r.request(t, "GET", "/api/v1/status", func(q *http.Request) { q.Host = host }); code != want {
			t.Errorf("Host %s: %d, want %d", host, code, want)
		}
	}
	other := strings.Repeat("1", len(secret))
	r.SetAccess(other, []string{"node2"})
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("who came with the old token reads %q (%v) on", rest, err)
	}
	for token, want := range map[string]int{secret: http.StatusUnauthorized, other: http.StatusOK} {
		if code, _, _ := r.request(t, "GET", "/api/v1/status", show(token)); code != want {
			t.Errorf("token %.4s…: %d, want %d", token, code, want)
		}
	}
}
