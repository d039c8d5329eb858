package test

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"panteras/launcher"
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
	operator := map[string]string{"Authorization": "Bearer " + token}
	for _, a := range []struct {
		what, method, path string
		header             map[string]string
		host               string
		want               int
	}{
		{"reads without a token", "GET", "/api/v1/status", nil, "", 401},
		{"reads the metrics", "GET", "/metrics", nil, "", 401},
		{"reads logs without a token", "GET", "/api/v1/daemons/dns/logs", nil, "", 401},
		{"stops without a token", "POST", "/api/v1/daemons/dns/stop", nil, "", 401},
		{"guesses", "POST", "/api/v1/daemons/dns/stop", map[string]string{"Authorization": "Bearer " + strings.Repeat("0", len(token))}, "", 401},
		{"puts the token where it is logged", "GET", "/api/v1/status?token=" + token, nil, "", 401},
		{"lets a browser come by another name", "GET", "/api/v1/status", map[string]string{"Authorization": "Bearer " + token}, "evil.example", 421},
		{"comes from another site", "POST", "/api/v1/daemons/dns/stop", map[string]string{"Authorization": "Bearer " + token, "Origin": "http://evil.example"}, "", 403},
		{"reloads without a token", "POST", "/api/v1/reload", nil, "", 401},
		{"upgrades without a token", "POST", "/api/v1/upgrade", nil, "", 401},
		{"is the operator", "GET", "/api/v1/status", operator, "", 200},
		{"is the operator at the logs", "GET", "/api/v1/daemons/dns/logs", operator, "", 200},
		{"is the operator at its metrics", "GET", "/metrics", operator, "", 200},
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
	// Who has it does everything that he asks for.
	actWith := func(what, body string, want int) {
		t.Helper()
		request, err := http.NewRequest("POST", "http://10.7.0.1:9000"+what, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		if code := do(t, request); code != want {
			t.Errorf("the operator's POST %s: %d, want %d", what, code, want)
		}
	}
	act := func(what string, want int) {
		t.Helper()
		actWith(what, "", want)
	}
	act("/api/v1/daemons/dns/stop", 200)
	if now := h.status()["dns"]; now.State != launcher.StateStopped {
		t.Errorf("the operator has stopped the DNS server, and it is %s", now.State)
	}
	act("/api/v1/daemons/dns/start", 200)
	if now := h.status()["dns"]; !now.Ready || now.Pid == pid {
		t.Errorf("the operator has started the DNS server, and it is %+v", now)
	}
	act("/api/v1/daemons/dns/restart", 200)
	act("/api/v1/daemons/none/restart", 404)
	act("/api/v1/reload", 200)
	before := h.status()["dns"].Pid
	actWith("/api/v1/upgrade", jsonOf(t, map[string]string{"path": filepath.Join(h.bin, "panteras")}), 202)
	h.is(t, "dns", "that of the next program", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != before })
	h.wantNowhere(t, token)
}

// wantNowhere looks for a secret in everything that the host prints and writes, but for the
// file that holds it.
func (h *upHost) wantNowhere(t *testing.T, secret string) {
	t.Helper()
	texts := map[string]string{"the output of panteras up": h.Stdout() + h.Stderr()}
	for _, args := range [][]string{
		{"status"},
		{"status", "--json"},
		{"plan"},
		{"plan", "--files"},
		{"plan", "--json"},
		{"settings"},
		{"doctor"},
		{"doctor", "--json"},
		{"export", "compose"},
		{"export", "systemd"},
		{"logs", "-n", "1000", "dns"},
	} {
		texts["panteras "+strings.Join(args, " ")], _ = h.run(t, args...)
	}
	for _, p := range inNetwork(networkOf(t)) {
		pid, args, _ := strings.Cut(p, " ")
		environ, _ := os.ReadFile("/proc/" + pid + "/environ")
		texts["process "+p] = args + string(environ)
	}
	files := 0
	for _, dir := range []string{"log", "run", "state"} {
		err := filepath.WalkDir(h.path(dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || path == h.path("state", "token") {
				return err
			}
			text, err := os.ReadFile(path)
			texts[path] = string(text)
			files++
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if files == 0 {
		t.Error("there are no files to look into")
	}
	for where, text := range texts {
		if text == "" {
			delete(texts, where)
		}
		if strings.Contains(text, secret) {
			t.Errorf("the token is in %s", where)
		}
	}
	if len(texts) < 10 {
		t.Errorf("there is little to look into: %d texts", len(texts))
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
