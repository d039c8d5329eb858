package test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
)

// longRequests sends n requests to the service web that stop in the middle, and returns
// what sends the rest of them and wants answers.
func longRequests(t *testing.T, n int) (ends func(want ...string)) {
	t.Helper()
	var conns []net.Conn
	for range n {
		conn, err := net.DialTimeout("tcp", "10.7.0.1:80", patience)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(readyTime))
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: web.service.consul\r\nContent-Length: 8\r\nConnection: close\r\n\r\nhalf")
		conns = append(conns, conn)
	}
	return func(want ...string) {
		t.Helper()
		var got []string
		for _, conn := range conns {
			fmt.Fprint(conn, "more")
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Errorf("a long request: %v", err)
				continue
			}
			body, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			got = append(got, string(body))
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("long requests were answered by %q, not %q", got, want)
		}
	}
}

// echo switches protocols as for a WebSocket, and says what it hears.
func echo(w http.ResponseWriter) {
	conn, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	_, _ = io.Copy(conn, buffer)
}

// webSocket opens one to the service web, and returns what says a line and wants to hear
// it again.
func webSocket(t *testing.T) (say func(line string)) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", "10.7.0.1:80", patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(readyTime))
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: web.service.consul\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("no WebSocket: %v %v", answer, err)
	}
	return func(line string) {
		t.Helper()
		fmt.Fprintln(conn, line)
		if got, err := reader.ReadString('\n'); err != nil || got != line+"\n" {
			t.Errorf("the WebSocket says %q, %v, not %q", got, err, line)
		}
	}
}

// stoppedHAProxy stops HAProxy, and starts it after a change: that is told of as pending,
// until HAProxy serves it, and the launcher has seen to that.
func stoppedHAProxy(t *testing.T, h *upHost, change, served func()) {
	t.Helper()
	const says = "HAProxy did not run or not answer when it was to be told of this"
	tells := func() bool { return strings.Contains(strings.Join(strings.Fields(h.must(t, "status")), " "), says) }
	h.must(t, "stop", "haproxy")
	change()
	lab.Eventually(t, readyTime, "a change that HAProxy was not told of", tells)
	if _, err := os.Stat(h.path("run", "haproxy", "pending.json")); err != nil {
		t.Errorf("nothing is pending: %v", err)
	}
	h.must(t, "start", "haproxy")
	served()
	lab.Eventually(t, readyTime, "the change to be no more pending", func() bool {
		_, err := os.Stat(h.path("run", "haproxy", "pending.json"))
		return errors.Is(err, os.ErrNotExist) && !tells()
	})
}

// maintenance is how many servers of HAProxy's take no requests any more.
func (h *upHost) maintenance(t *testing.T) (n int) {
	t.Helper()
	for line := range strings.Lines(h.askHAProxy(t, "admin.sock", "show servers state")) {
		const admin = 6
		if f := strings.Fields(line); len(f) > admin && f[0] != "#" && f[admin] != "0" {
			n++
		}
	}
	return n
}

// hostileTags registers a service with each hostile tag, all at once; beside them good is
// to hold. Then they are deregistered.
func hostileTags(t *testing.T, h *upHost, good func()) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(lab.Root(t), "configs", "haproxy", "testdata", "hostile.json"))
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	if err := json.Unmarshal(text, &tags); err != nil || len(tags) < 50 {
		t.Fatalf("%d tags, %v", len(tags), err)
	}
	names := map[string]bool{}
	for i, tag := range tags {
		name := fmt.Sprintf("stranger-%02d", i)
		names[name] = true
		body := jsonOf(t, map[string]any{"Name": name, "Address": "10.7.0.1", "Port": 31003, "Tags": []string{"haproxy", tag}})
		if answer := httpDo(http.MethodPut, "10.7.0.1:8500", "/v1/agent/service/register", body); answer != "" {
			t.Fatalf("Consul does not register %q: %s", tag, answer)
		}
	}
	var all haproxy.Report
	lab.Eventually(t, readyTime, "the hostile tags in the status", func() bool {
		var status struct{ Balancer haproxy.Report }
		err := json.Unmarshal([]byte(h.must(t, "status", "--json")), &status)
		all = status.Balancer
		n := 0
		for _, b := range all.Backends {
			if names[b.Service] {
				n++
			}
		}
		return err == nil && n == len(tags)
	})
	findings := map[string]int{}
	for _, f := range all.Findings {
		findings[f.Service]++
	}
	for i, tag := range tags {
		if n := findings[fmt.Sprintf("stranger-%02d", i)]; n != 1 {
			t.Errorf("%q has %d findings", tag, n)
		}
	}
	for _, b := range all.Backends {
		if names[b.Service] && (len(b.Paths) != 0 || b.Port != 0 || b.Check != "" || len(b.Servers) != 1 || b.Servers[0].Weight != 100) {
			t.Errorf("a hostile tag has an effect: %+v", b)
		}
	}
	good()
	if got := fetch("stranger-00.service.consul", "/"); got != "other" {
		t.Errorf("a service with a hostile tag answers %q", got)
	}
	for name := range names {
		if answer := httpDo(http.MethodPut, "10.7.0.1:8500", "/v1/agent/service/deregister/"+name, ""); answer != "" {
			t.Errorf("Consul does not let go of %s: %s", name, answer)
		}
	}
}

// smallDisk puts a file system of 1 MiB at a folder, which the test and what it starts
// see.
func smallDisk(t *testing.T, dir string) {
	t.Helper()
	ownMounts(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// fullDisk fills the file system of HAProxy's configuration until away is called.
func fullDisk(t *testing.T, h *upHost) (away func()) {
	t.Helper()
	path := h.path("state", "haproxy", "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<12)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// refusingHAProxy replaces the program, not the process that runs, by one that fails,
// until away is called.
func refusingHAProxy(t *testing.T, _ *upHost) (away func()) {
	t.Helper()
	const program = "/usr/sbin/haproxy"
	if err := unix.Mount("/bin/false", program, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Unmount(program, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}
}
