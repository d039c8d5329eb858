package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"panteras/configs/haproxy"
	"panteras/launcher"
	"panteras/launcher/control"
	"panteras/launcher/control/controltest"
	"panteras/launcher/logs"
)

// serveControl answers at the control socket in runDir until the test is over.
func serveControl(t *testing.T, runDir, version string, s control.Supervisor, l *logs.Logs) (stop func()) {
	t.Helper()
	socket, err := control.Listen(runDir)
	if err != nil {
		t.Fatal(err)
	}
	server := control.New(control.Options{Supervisor: s, Logs: l, Build: control.Build{Version: version}, Log: slog.New(slog.DiscardHandler)})
	ended := make(chan error, 1)
	go func() { ended <- server.ServeSocket(socket) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		server.Close(ctx)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// shortDir is a temporary folder whose path leaves room for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cmd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestControlCommands(t *testing.T) {
	runDir, l := shortDir(t), logs.New(logs.Options{Console: io.Discard})
	defer l.Close()
	s := &controltest.Supervisor{}
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.Set(launcher.DaemonStatus{Name: "consul", State: launcher.StateReady, Ready: true, Pid: 4711, Since: since, WaitingFor: []string{}})
	serveControl(t, runDir, "v1", s, l)
	l.Write("consul", "one")
	l.Write("consul", "two")
	// Settings that are wrong are no reason not to control what runs.
	wrong := map[string]string{"host": "DNS_PORT=x\nRUN_DIR=" + runDir + "\n"}
	const status = `{"daemons":[{"name":"consul","state":"ready","pid":4711,"since":"2026-01-02T03:04:05Z","restarts":0,"ready":true,"waiting_for":[],"last_exit":""}]}` + "\n"
	for _, test := range []struct {
		args   string
		stdout string // a piece
		call   string
	}{
		{"status --json", status, ""},
		{"status", "consul  ready", ""},
		{"start consul", "consul: ready (pid 4711)\n", "start consul"},
		{"stop consul", "consul: ready", "stop consul"},
		{"restart consul", "consul: ready", "restart consul"},
		{"reload consul", "consul: ready", "reload consul"},
		{"reload", "consul  ready", "reload "},
		{"logs -n 1 consul", "panteras: two\n", ""},
		{"logs --json consul", `"text":"one"}` + "\n", ""},
	} {
		before := len(s.Calls())
		got := runIn(t, wrong, nil, strings.Fields(test.args)...)
		if got.code != 0 || !strings.Contains(got.stdout, test.stdout) || got.stderr != "" {
			t.Errorf("%s: exit code %d, stdout %s, stderr %s", test.args, got.code, got.stdout, got.stderr)
		}
		if calls := s.Calls()[before:]; strings.Join(calls, ",") != test.call {
			t.Errorf("%s has the launcher do %q", test.args, calls)
		}
	}
	if got := runIn(t, wrong, nil, "status", "--json"); got.stdout != status {
		t.Errorf("status --json prints %s, want %s", got.stdout, status)
	}
	s.Err = fmt.Errorf("%w: it is not installed", control.ErrRefused)
	for args, want := range map[string]string{
		"start consul":       "panteras: refused: it is not installed\n",
		"stop consull":       `panteras: there is no daemon "consull"; there are consul` + "\n",
		"logs -f consull":    `panteras: there is no daemon "consull"; there are consul` + "\n",
		"reload":             "panteras: refused: it is not installed\n",
		"upgrade /usr/bin/x": "panteras: refused: it is not installed\n",
	} {
		if got := runIn(t, nil, []string{"RUN_DIR=" + runDir}, strings.Fields(args)...); got.code != 1 || got.stderr != want || got.stdout != "" {
			t.Errorf("%s: exit code %d, stdout %s, stderr %s", args, got.code, got.stdout, got.stderr)
		}
	}
}

// What should run and does not makes the check fail; what is meant not to run does not.
func TestStatusCheck(t *testing.T) {
	runDir, l := shortDir(t), logs.New(logs.Options{Console: io.Discard})
	defer l.Close()
	s := &controltest.Supervisor{}
	serveControl(t, runDir, "v1", s, l)
	env := []string{"RUN_DIR=" + runDir}
	well := []launcher.DaemonStatus{
		{Name: "consul", State: launcher.StateReady, Ready: true},
		{Name: "marathon", State: launcher.StateAbsent},
		{Name: "chronos", State: launcher.StateDisabled},
		{Name: "registrator", State: launcher.StateStopped},
	}
	s.Set(well...)
	if got := runIn(t, nil, env, "status", "--check"); got.code != 0 || !strings.Contains(got.stdout, "consul") || got.stderr != "" {
		t.Errorf("all is well: exit code %d, stdout %s, stderr %s", got.code, got.stdout, got.stderr)
	}
	for _, state := range []launcher.State{
		launcher.StateWaiting, launcher.StateStarting, launcher.StateUnhealthy, launcher.StateBackoff, launcher.StateFailed, launcher.StateStopping,
	} {
		s.Set(append(slices.Clone(well), launcher.DaemonStatus{Name: "dns", State: state})...)
		want := "panteras: not ready: dns (" + string(state) + "); "
		for _, args := range [][]string{{"status", "--check"}, {"status", "--check", "--json"}} {
			if got := runIn(t, nil, env, args...); got.code != 1 || !strings.Contains(got.stdout, "consul") || !strings.HasPrefix(got.stderr, want) {
				t.Errorf("%s: %q: exit code %d, stdout %s, stderr %s", state, args, got.code, got.stdout, got.stderr)
			}
		}
		if got := runIn(t, nil, env, "status"); got.code != 0 {
			t.Errorf("%s: without --check exit code %d", state, got.code)
		}
	}
	if got := runIn(t, nil, env, "status", "--check", "--watch"); got.code != exitUsage || !strings.Contains(got.stderr, "--watch") {
		t.Errorf("both: exit code %d, stderr %s", got.code, got.stderr)
	}
}

func TestControlWithoutALauncher(t *testing.T) {
	for _, args := range []string{"status", "status --json", "status --watch", "status --check", "start consul", "stop consul", "restart consul", "reload", "reload dns", "logs -f dns", "upgrade"} {
		got := runIn(t, nil, nil, append(strings.Fields(args), "--run-dir", "/nowhere/run")...)
		want := "panteras: panteras is not running here: nothing answers at /nowhere/run/control.sock; start it with `panteras up`, or name its folder with --run-dir\n"
		if got.code != 1 || got.stderr != want || got.stdout != "" {
			t.Errorf("%s: exit code %d, stdout %s, stderr %s", args, got.code, got.stdout, got.stderr)
		}
	}
	for _, args := range []string{"start", "stop a b", "reload a b", "logs", "logs -n -1 consul", "logs -n x consul", "upgrade a b", "status x"} {
		if got := runIn(t, nil, nil, strings.Fields(args)...); got.code != 2 || !strings.HasPrefix(got.stderr, "panteras: ") {
			t.Errorf("%s: exit code %d, stderr %s", args, got.code, got.stderr)
		}
	}
}

func TestUpgradeWaitsForTheNewProgram(t *testing.T) {
	runDir, l := shortDir(t), logs.New(logs.Options{})
	defer l.Close()
	s := &controltest.Supervisor{}
	stop := serveControl(t, runDir, "v1", s, l)
	asked := make(chan string, 1)
	s.OnUpgrade = func(path string) { asked <- path }
	done := make(chan outcome)
	go func() {
		var stdout, stderr bytes.Buffer
		code := run([]string{"upgrade", "--run-dir", runDir, "/opt/x/../new"}, nil, &stdout, &stderr)
		done <- outcome{code, stdout.String(), stderr.String()}
	}()
	if path := <-asked; path != "/opt/new" {
		t.Errorf("the launcher is to become %s", path)
	}
	stop()
	serveControl(t, runDir, "v2", s, l)
	if got := <-done; got.code != 0 || got.stdout != fmt.Sprintf("upgraded from v1 to v2 (pid %d)\n", os.Getpid()) {
		t.Errorf("exit code %d, stdout %s, stderr %s", got.code, got.stdout, got.stderr)
	}
}

func TestUpgradeToAProgramThatEnds(t *testing.T) {
	runDir, l := shortDir(t), logs.New(logs.Options{})
	defer l.Close()
	stop := serveControl(t, runDir, "v1", &controltest.Supervisor{}, l)
	client := control.NewClient(runDir)
	before, err := client.Instance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if now, err := otherInstance(t.Context(), client, before); err == nil || !strings.Contains(err.Error(), "the launcher has ended") {
		t.Errorf("%+v, %v", now, err)
	}
}

func TestUpgradeToNothingNew(t *testing.T) {
	runDir, l := shortDir(t), logs.New(logs.Options{})
	defer l.Close()
	serveControl(t, runDir, "v1", &controltest.Supervisor{}, l)
	client := control.NewClient(runDir)
	before, err := client.Instance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if now, err := otherInstance(ctx, client, before); err == nil || !strings.Contains(err.Error(), "no new one answered") {
		t.Errorf("%+v, %v", now, err)
	}
}

func TestStatusTable(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	retry := now.Add(12300 * time.Millisecond)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	st := launcher.Status{Daemons: []launcher.DaemonStatus{
		{Name: "consul", State: launcher.StateReady, Pid: 4711, Since: ago(26 * time.Hour)},
		{Name: "zookeeper", State: launcher.StateBackoff, Since: ago(3 * time.Second), Restarts: 5, RetryAt: &retry, LastExit: "exit code 1", Reason: "exit\x1b code 1", Output: []string{"bind: address already in use", "\x1b[2Jgone " + strings.Repeat("x", 200)}},
		{Name: "mesos-master", State: launcher.StateWaiting, Since: ago(65 * time.Second), WaitingFor: []string{"zookeeper"}},
		{Name: "marathon", State: launcher.StateAbsent, Since: ago(time.Hour), Reason: "marathon is not in the PATH /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin; install it, or set START_MARATHON=false"},
		{Name: "chronos", State: launcher.StateDisabled},
		{Name: "dns", State: launcher.StateReady, Pid: 12, Since: ago(-time.Second), Restarts: 1, LastExit: "killed by SIGKILL"},
		{Name: "tunnel", State: launcher.StateDisabled},
	}}
	want := `DAEMON        STATE    SINCE  PID   RESTARTS
consul        ready    1d02h  4711  0
zookeeper     backoff  3s     -     5         starts again in 12 s; exit\x1b
                                              code 1; last exit: exit code 1
    | bind: address already in use
    | \x1b[2Jgone xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
mesos-master  waiting  1m05s  -     0         waits for zookeeper
marathon      absent   1h00m  -     0         marathon is not in the PATH
                                              /usr/local/sbin:/usr/local/bin:/us
                                              r/sbin:/usr/bin; install it, or
                                              set START_MARATHON=false
dns           ready    0s     12    1         last exit: killed by SIGKILL
not on this host: chronos, tunnel
`
	if got := statusTable(st, now, 80); got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
	for _, width := range []int{10, 30, 60, 200} {
		got := statusTable(st, now, width)
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("at width %d a line has %d: %s", width, n, line)
			}
		}
		for word := range strings.FieldsSeq("consul zookeeper backoff START_MARATHON=false tunnel") {
			if width > 40 && !strings.Contains(got, word) {
				t.Errorf("at width %d %s is missing:\n%s", width, word, got)
			}
		}
	}
}

func TestStatusJSONRoundTrip(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	whole := hostStatus{
		Status:   launcher.Status{Daemons: []launcher.DaemonStatus{{Name: "<x>", WaitingFor: []string{}}}},
		Balancer: &haproxy.Report{Findings: []haproxy.Finding{{Service: "web", Message: "why"}}},
	}
	if err := a.writeStatusJSON(whole); err != nil {
		t.Fatal(err)
	}
	var parsed hostStatus
	if err := json.Unmarshal(out.Bytes(), &parsed); err != nil || !strings.Contains(out.String(), "<x>") || strings.Contains(out.String(), "retry_at") {
		t.Errorf("%v: %s", err, out.String())
	}
	if parsed.Daemons[0].Name != "<x>" || parsed.Balancer == nil || parsed.Balancer.Findings[0].Message != "why" {
		t.Errorf("%+v", parsed)
	}
	if err := (&app{stdout: brokenWriter{}}).writeStatus(parsed); err == nil {
		t.Error("a broken output is no error")
	}
}

// The status tells of the load balancer in short, and of what strangers wrote harmlessly.
func TestBalancerText(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := &haproxy.Report{
		Refused: "the snapshot is empty", Applied: now.Add(-70 * time.Second), Reloaded: now.Add(-2 * time.Hour),
		Backends: []haproxy.Backend{
			{Service: "web", Servers: []haproxy.Server{{Address: "10.0.0.1:1"}, {Address: "10.0.0.2:1"}}},
			{Service: "web", Port: 7000, Servers: []haproxy.Server{{Address: "10.0.0.1:1"}}},
			{Service: "db", Port: 5432, Servers: []haproxy.Server{{Address: "10.0.0.3:1"}}},
		},
	}
	for i := range 12 {
		r.Findings = append(r.Findings, haproxy.Finding{Service: "ev\x1bil", Message: fmt.Sprint("reason ", i)})
	}
	got := balancerText(r, now, 80)
	want := "load balancer: 2 services with 3 instances, applied 1m10s ago, HAProxy reloaded\n               2h00m ago\n" +
		"    as it was before, because the last snapshot was refused: the snapshot is\n    empty\n"
	if !strings.HasPrefix(got, want) || strings.Contains(got, "\x1b") || !strings.Contains(got, "reason 9\n") || strings.Contains(got, "reason 10") ||
		!strings.HasSuffix(got, "    and 2 more: panteras haproxy report\n") {
		t.Errorf("%q", got)
	}
	for state, r := range map[string]*haproxy.Report{
		"was refused, and is tried again: full\n":                     {Refused: "full", Pending: true},
		"was refused: cut; the one before it is not in effect":        {Refused: "cut", Broken: true, Pending: true},
		"was refused: short\n":                                        {Refused: "short", Broken: true},
		"HAProxy did not run or not answer when it was to be told of": {Pending: true},
	} {
		if got := balancerText(r, now, 100); !strings.Contains(got, state) {
			t.Errorf("nothing says %q: %q", state, got)
		}
	}
	if got := balancerText(&haproxy.Report{}, now, 80); got != "load balancer: 0 services with 0 instances\n" {
		t.Errorf("%q", got)
	}
}

// What strangers wrote into a report does nothing to a terminal.
func TestHAProxyReportPrintable(t *testing.T) {
	run := t.TempDir()
	if err := os.Mkdir(filepath.Join(run, "haproxy"), 0o700); err != nil {
		t.Fatal(err)
	}
	report := `{"refused": "HAProxy says \u001b[2J", "backends": [{"service": "web", "servers": []}], "findings": [{"service": "web", "message": "a\u0007b"}]}`
	if err := os.WriteFile(filepath.Join(run, "haproxy", "report.json"), []byte(report), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"haproxy", "report"}, {"explain", "web"}} {
		got := runIn(t, nil, []string{"RUN_DIR=" + run, "CONSUL_HTTP_ADDR=127.0.0.1:1"}, args...)
		if got.code != 0 || strings.ContainsAny(got.stdout, "\x1b\x07") || !strings.Contains(got.stdout, `\x1b[2J`) || !strings.Contains(got.stdout, `web: a\x07b`+"\n") {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func TestExplainTakesNamesAsPeopleHaveThem(t *testing.T) {
	env := []string{"RUN_DIR=" + t.TempDir(), "CONSUL_HTTP_ADDR=127.0.0.1:1"}
	for what, host := range map[string]string{
		"web": "web.service.consul", "http://web.service.consul/x://y": "web.service.consul", "https://Web.service.consul:443": "Web.service.consul", "x.localhost": "x.localhost",
	} {
		if got := runIn(t, nil, env, "explain", what); got.code != 0 || !strings.HasPrefix(got.stdout, "DNS      "+host+" goes to ") {
			t.Errorf("%s: %+v", what, got)
		}
	}
	for _, what := range []string{"", "a b", "a\nb"} {
		if got := runIn(t, nil, env, "explain", what); got.code != 2 || got.stdout != "" || !strings.Contains(got.stderr, "write one such as") {
			t.Errorf("%q: %+v", what, got)
		}
	}
}

// TestExplainWithASilentConsul: one that takes connections and answers nothing, such as a process that was stopped, keeps
// nobody waiting, and what is known without it is told.
func TestExplainWithASilentConsul(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connections wait in its queue
	if err != nil {
		t.Fatal(err)
	}
	end := time.AfterFunc(time.Minute, func() { _ = silent.Close() })
	t.Cleanup(func() { end.Stop(); _ = silent.Close() })
	got := runIn(t, nil, []string{"DNS_MODE=lb", "RUN_DIR=" + t.TempDir(), "CONSUL_HTTP_ADDR=" + silent.Addr().String()}, "explain", "web")
	if got.code != 0 || !strings.HasPrefix(got.stdout, "DNS      web.service.consul goes to Consul") || !strings.Contains(got.stdout, "\nConsul   does not answer") ||
		strings.Count(got.stdout, "does not answer in time") != 2 || !strings.Contains(got.stdout, "\nHAProxy  ") {
		t.Errorf("%+v", got)
	}
}
