package test

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestUpAttackedThroughTheStatusPort is somebody who can reach STATUS_LISTEN, as everybody
// could at PanteraS, and has no token; and an operator who has it.
func TestUpAttackedThroughTheStatusPort(t *testing.T) {
	t.Parallel()
	h := oneHost(t, append(only("dns"), "STATUS_LISTEN=10.7.0.1:9000")...)
	h.up(t)
	h.ready(t, "dns")
	text, err := os.ReadFile(h.path("state", "token"))
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(text))
	if info, err := os.Stat(h.path("state", "token")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", info.Mode(), err)
	}
	pid := h.status()["dns"].Pid
	for _, a := range []struct {
		what, method, path string
		header             map[string]string
		host               string
		want               int
	}{
		{"reads without a token", "GET", "/api/v1/status", nil, "", 401},
		{"reads the metrics", "GET", "/metrics", nil, "", 401},
		{"stops without a token", "POST", "/api/v1/daemons/dns/stop", nil, "", 401},
		{"guesses", "POST", "/api/v1/daemons/dns/stop", map[string]string{"Authorization": "Bearer " + strings.Repeat("0", len(token))}, "", 401},
		{"puts the token where it is logged", "GET", "/api/v1/status?token=" + token, nil, "", 401},
		{"lets a browser come by another name", "GET", "/api/v1/status", map[string]string{"Authorization": "Bearer " + token}, "evil.example", 421},
		{"comes from another site", "POST", "/api/v1/daemons/dns/stop", map[string]string{"Authorization": "Bearer " + token, "Origin": "http://evil.example"}, "", 403},
		{"is the operator", "GET", "/api/v1/status", map[string]string{"Authorization": "Bearer " + token}, "", 200},
		{"asks whether all is well", "GET", "/healthz", nil, "", 200},
	} {
		request, err := http.NewRequest(a.method, "http://10.7.0.1:9000"+a.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range a.header {
			request.Header.Set(name, value)
		}
		request.Host = a.host
		if code := do(t, request); code != a.want {
			t.Errorf("who %s: %d, want %d", a.what, code, a.want)
		}
	}
	if now := h.status()["dns"]; !now.Ready || now.Pid != pid {
		t.Errorf("the DNS server is %+v, and had the pid %d", now, pid)
	}
	if strings.Contains(h.Stderr(), token) {
		t.Error("the token is in the log")
	}
}

// do answers a request with the status code, over a connection of its own that is made
// here, in the network of the test.
func do(t *testing.T, request *http.Request) int {
	t.Helper()
	conn, err := net.DialTimeout("tcp", request.URL.Host, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	request.Close = true
	if err := request.Write(conn); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}
