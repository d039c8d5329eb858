package test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/launcher"
)

// TestUpgradeThatCannotBe asks for upgrades which would not come up, or would lose what
// runs.
func TestUpgradeThatCannotBe(t *testing.T) {
	t.Parallel()
	h := oneHost(t)
	h.misbehave(t, "marathon", "alone")
	// What the environment says, a file cannot change.
	h.env = slices.DeleteFunc(h.env, func(e string) bool {
		return strings.HasPrefix(e, "RUN_DIR=") || strings.HasPrefix(e, "STATE_DIR=")
	})
	base := strings.Join(only("marathon", "dns"), "\n") + "\nSTATE_DIR=" + h.path("state") + "\nRUN_DIR=" + h.path("run") + "\n"
	file := h.path("restricted", "host")
	put(t, file, base)
	h.up(t)
	h.ready(t, "marathon", "dns")
	before := h.pids()

	broken := h.path("broken")
	put(t, broken, "#!/bin/sh\nexit 1\n")
	if err := os.Chmod(broken, 0o755); err != nil {
		t.Fatal(err)
	}
	noProgram := h.path("text")
	put(t, noProgram, "text")
	for _, c := range []struct {
		what, settings, program string
		says                    []string
	}{
		{"wrong settings", base + "DNS_LISTEN=nonsense\n", "", []string{"the settings are wrong", "DNS_LISTEN", file}},
		{"another RUN_DIR", strings.Replace(base, h.path("run"), h.path("other"), 1), "", []string{"RUN_DIR is " + h.path("run") + " and cannot become " + h.path("other")}},
		{"another STATE_DIR", strings.Replace(base, h.path("state"), h.path("other"), 1), "", []string{"STATE_DIR is " + h.path("state")}},
		{"a program that fails", base, broken, []string{broken, "version --json"}},
		{"a file that is no program", base, noProgram, []string{noProgram}},
		{"no file", base, h.path("nothing"), []string{h.path("nothing")}},
	} {
		put(t, file, c.settings)
		args := []string{"upgrade", "--run-dir", h.path("run")}
		if c.program != "" {
			args = append(args, c.program)
		}
		output, code := h.run(t, args...)
		if code != 1 {
			t.Errorf("%s: exit code %d: %s", c.what, code, output)
		}
		wantText(t, c.what, output, c.says...)
	}
	if after := h.pids(); after["marathon"] != before["marathon"] || after["dns"] != before["dns"] {
		t.Errorf("pids were %v and are %v", before, after)
	}
	put(t, file, base)
	h.must(t, "upgrade", "--run-dir", h.path("run"))
	h.is(t, "dns", "a new process", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != before["dns"] })
	if after := h.pids(); after["marathon"] != before["marathon"] {
		t.Errorf("after an upgrade that could be, marathon has pid %d, before %d", after["marathon"], before["marathon"])
	}
}

// TestUpStoppedTwice signals a second time, as somebody does who will not wait for a
// daemon that does not end.
func TestUpStoppedTwice(t *testing.T) {
	t.Parallel()
	h := oneHost(t, only("marathon")...)
	h.misbehave(t, "marathon", "alone", "children", "stubborn")
	h.up(t)
	h.ready(t, "marathon")
	h.Signal(syscall.SIGTERM)
	h.state(t, "marathon", launcher.StateStopping)
	lab.Eventually(t, patience, "half a second after the first signal", later(time.Second))
	if h.ended() {
		t.Fatal("it did not wait for marathon")
	}
	h.Signal(syscall.SIGTERM)
	h.Wait(t, patience)
	if left := inNetwork(networkOf(t)); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	if log := h.Stderr(); !strings.Contains(log, "asked a second time to stop") || strings.Contains(log, "did not end in time") {
		t.Error("it waited until the grace of marathon was over")
	}
}

// later is true when a time has passed.
func later(d time.Duration) func() bool {
	begin := time.Now()
	return func() bool { return time.Since(begin) > d }
}

// TestUpAnotherTokenAndName reloads after the token was removed and the host got another
// name: what was let in before is not any more.
func TestUpAnotherTokenAndName(t *testing.T) {
	t.Parallel()
	h := oneHost(t, append(only("dns"), "STATUS_LISTEN=10.7.0.1:9000")...)
	h.env = slices.DeleteFunc(h.env, func(e string) bool { return strings.HasPrefix(e, "HOSTNAME=") })
	put(t, h.path("restricted", "host"), "HOSTNAME=node-1\n")
	h.up(t)
	h.ready(t, "dns")
	token := func() string {
		text, err := os.ReadFile(h.path("state", "token"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	ask := func(token, host string) int {
		request, err := http.NewRequest(http.MethodGet, "http://10.7.0.1:9000/api/v1/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		request.Host = host
		return do(t, request)
	}
	old := token()
	if got := ask(old, "node-1:9000"); got != http.StatusOK {
		t.Fatalf("before: %d", got)
	}
	if err := os.Remove(h.path("state", "token")); err != nil {
		t.Fatal(err)
	}
	put(t, h.path("restricted", "host"), "HOSTNAME=node-2\n")
	h.must(t, "reload")
	for _, c := range []struct {
		what, token, host string
		want              int
	}{
		{"the old token", old, "node-2:9000", http.StatusUnauthorized},
		{"the old name", token(), "node-1:9000", http.StatusMisdirectedRequest},
		{"the new ones", token(), "node-2:9000", http.StatusOK},
	} {
		if got := ask(c.token, c.host); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}
