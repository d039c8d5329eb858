package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"panteras/configs"
	"panteras/internal/lab"
	"panteras/launcher"
	"panteras/launcher/logs"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClient(t *testing.T) {
	r := newRig(t, nil)
	c, ctx := NewClient(r.runDir), t.Context()
	st, err := c.Status(ctx)
	if diff := cmp.Diff(r.supervisor.Status(), st); err != nil || diff != "" {
		t.Errorf("status: %v\n%s", err, diff)
	}
	d, err := c.Do(ctx, "stop", "consul")
	if err != nil || d.Name != "consul" || d.Pid != 4711 {
		t.Errorf("stop: %+v, %v", d, err)
	}
	for _, action := range []string{"start", "restart", "reload"} {
		if _, err := c.Do(ctx, action, "haproxy"); err != nil {
			t.Error(err)
		}
	}
	if st, err := c.Reload(ctx); err != nil || len(st.Daemons) != 3 {
		t.Errorf("reload: %+v, %v", st, err)
	}
	if err := c.Upgrade(ctx, "/opt/panteras"); err != nil {
		t.Error(err)
	}
	want := []string{"stop consul", "start haproxy", "restart haproxy", "reload haproxy", "reload ", "upgrade /opt/panteras"}
	if diff := cmp.Diff(want, r.supervisor.Calls()); diff != "" {
		t.Errorf("what was done:\n%s", diff)
	}
	i, err := c.Instance(ctx)
	if err != nil || i.Version != "v1" || i.Pid != os.Getpid() || i.ID == "" || i.Started.IsZero() {
		t.Errorf("instance: %+v, %v", i, err)
	}
	if err := c.Upgrade(ctx, "panteras"); err == nil || !strings.Contains(err.Error(), "not a full path") {
		t.Errorf("upgrade to a name: %v", err)
	}
	if _, err := c.Do(ctx, "stop", "../../x"); err == nil {
		t.Error("a strange name is taken")
	}
	if _, err := c.Do(ctx, "stop", "consull"); err == nil || err.Error() != `there is no daemon "consull"; there are consul, haproxy, marathon` {
		t.Errorf("stop of nobody: %v", err)
	}
}

func TestWhatCannotBeDone(t *testing.T) {
	for _, test := range []struct {
		err  error
		code int
	}{
		{fmt.Errorf("%w: consul is not installed", ErrRefused), 409},
		{context.DeadlineExceeded, 504},
		{errors.New("consul does not want to"), 500},
	} {
		r := newRig(t, nil)
		r.supervisor.Err = test.err
		code, body, _ := r.request(t, "POST", "/api/v1/daemons/consul/start", nil)
		if code != test.code || !strings.Contains(body, test.err.Error()) {
			t.Errorf("%v: answered with %d %s", test.err, code, body)
		}
		for _, err := range []error{
			NewClient(r.runDir).Upgrade(t.Context(), "/x"),
			func() error { _, err := NewClient(r.runDir).Reload(t.Context()); return err }(),
		} {
			if err == nil || err.Error() != test.err.Error() {
				t.Errorf("the client says %v, want %v", err, test.err)
			}
		}
	}
}

func TestLogsOverTheAPI(t *testing.T) {
	r := newRig(t, nil)
	c := NewClient(r.runDir)
	var got []string
	note := func(line logs.Line) error { got = append(got, line.Text); return nil }
	if err := c.Logs(t.Context(), "consul", 10, false, note); err != nil || len(got) != 0 {
		t.Errorf("before it has run: %q, %v", got, err)
	}
	for i := range 5 {
		r.logs.Write("consul", fmt.Sprint(i))
	}
	if err := c.Logs(t.Context(), "consul", 2, false, note); err != nil || strings.Join(got, " ") != "3 4" {
		t.Errorf("the last two: %q, %v", got, err)
	}
	got = nil
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := c.Logs(ctx, "consul", 1, true, func(line logs.Line) error {
		got = append(got, line.Text)
		switch line.Text {
		case "4":
			r.logs.Write("consul", "new")
		case "new":
			cancel()
		}
		return nil
	})
	if err != nil || strings.Join(got, " ") != "4 new" {
		t.Errorf("followed: %q, %v", got, err)
	}
	if err := c.Logs(t.Context(), "nobody", 1, true, note); err == nil || !strings.Contains(err.Error(), "there is no daemon") {
		t.Errorf("logs of nobody: %v", err)
	}
	stop := errors.New("stop")
	if err := c.Logs(t.Context(), "consul", 1, true, func(logs.Line) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a reader that stops: %v", err)
	}
	// The launcher ends while somebody follows.
	ended := make(chan error)
	begun := make(chan struct{})
	go func() {
		ended <- c.Logs(context.Background(), "consul", 1, true, func(logs.Line) error { close(begun); return nil })
	}()
	<-begun
	r.close()
	if err := <-ended; !errors.Is(err, ErrEnded) {
		t.Errorf("when the launcher ends: %v", err)
	}
}

func TestOnlySoManyFollow(t *testing.T) {
	r := newRig(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	r.logs.Write("consul", "text")
	var wg sync.WaitGroup
	following := make(chan struct{})
	for range followers {
		wg.Go(func() {
			if err := NewClient(r.runDir).Logs(ctx, "consul", 1, true, func(logs.Line) error { following <- struct{}{}; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	for range followers {
		<-following
	}
	err := NewClient(r.runDir).Logs(ctx, "consul", 1, true, func(logs.Line) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "as many as can") {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	wg.Wait()
	lab.Eventually(t, 30*time.Second, "there is room again", func() bool { return len(r.follow) == 0 })
}

func TestNoLauncher(t *testing.T) {
	dir := t.TempDir()
	for what, prepare := range map[string]func(){
		"no socket": func() {},
		"a stale socket": func() {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, SocketName), Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			_ = l.Close()
		},
	} {
		prepare()
		_, err := NewClient(dir).Status(t.Context())
		if !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), filepath.Join(dir, SocketName)) || !strings.Contains(err.Error(), "`panteras up`") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	path := filepath.Join(dir, SocketName)
	first, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{dir: 0o700, path: 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	_, err = Listen(dir)
	running := (*RunningError)(nil)
	if !errors.As(err, &running) || running.Pid != os.Getpid() || !strings.Contains(err.Error(), fmt.Sprintf("panteras is already running (pid %d)", os.Getpid())) {
		t.Errorf("beside one that lives: %v", err)
	}
	_ = first.Close()
	second, err := Listen(dir)
	if err != nil {
		t.Fatalf("after one that died: %v", err)
	}
	_ = second.Close()
	if left, _ := filepath.Glob(dir + "/.s*"); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(dir); err == nil || !strings.Contains(err.Error(), "no socket lies there") {
		t.Errorf("where a file lies: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Error("the file is gone")
	}
	if _, err := Listen(filepath.Join(dir, strings.Repeat("x", 100))); err == nil || !strings.Contains(err.Error(), "give RUN_DIR a shorter one") {
		t.Errorf("a long path: %v", err)
	}
}

// TestOneOfManyGetsTheSocket starts many at once, where a dead one has been.
func TestOneOfManyGetsTheSocket(t *testing.T) {
	for range 30 {
		oneOfMany(t)
	}
}

func oneOfMany(t *testing.T) {
	dir := t.TempDir()
	dead, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []net.Listener
	for range 20 {
		wg.Go(func() {
			l, err := Listen(dir)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, l)
			} else if running := (*RunningError)(nil); !errors.As(err, &running) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d have the socket", len(won))
	}
	for _, l := range won {
		_ = l.Close()
	}
}

func TestToken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, TokenName)
	var wg sync.WaitGroup
	tokens := make([]string, 10)
	for i := range tokens {
		wg.Go(func() {
			var err error
			if tokens[i], err = Token(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, token := range tokens {
		if token != tokens[0] || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(token) {
			t.Errorf("the tokens are %q", tokens)
			break
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("the folder holds %v", names)
	}
	if other, err := Token(filepath.Join(t.TempDir(), TokenName)); err != nil || other == tokens[0] {
		t.Errorf("another host has the same, %v", err)
	}
	for _, test := range []struct {
		name, content string
		mode          fs.FileMode
		want          string
	}{
		{"readable by others", secret, 0o640, "others may know it"},
		{"empty", "", 0o600, "does not hold a token"},
		{"short", "abc\n", 0o600, "does not hold a token"},
		{"of two lines", secret + "\n" + secret, 0o600, "does not hold a token"},
	} {
		bad := filepath.Join(t.TempDir(), TokenName)
		if err := os.WriteFile(bad, []byte(test.content), test.mode); err != nil {
			t.Fatal(err)
		}
		if token, err := Token(bad); token != "" || err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), bad) || strings.Contains(err.Error(), secret) {
			t.Errorf("a file that is %s: %q, %v", test.name, token, err)
		}
	}
	link := filepath.Join(t.TempDir(), TokenName)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if token, err := Token(link); err == nil {
		t.Errorf("a link is followed: %q", token)
	}
}

func TestNames(t *testing.T) {
	s := &configs.Settings{Hostname: "node1", FQDN: "node1.example.com", ConsulDomain: "consul"}
	s.ConsulDC = "dc1"
	want := []string{"node1", "node1.example.com", "node1.node.consul", "node1.node.dc1.consul"}
	if diff := cmp.Diff(want, Names(s)); diff != "" {
		t.Error(diff)
	}
	if got := Names(&configs.Settings{}); len(got) != 0 {
		t.Errorf("without settings: %q", got)
	}
}

func TestHealth(t *testing.T) {
	now := time.Now()
	daemon := func(state launcher.State, delay time.Duration) launcher.DaemonStatus {
		d := launcher.DaemonStatus{Name: "consul", State: state, Since: now}
		if delay > 0 {
			at := now.Add(delay)
			d.RetryAt = &at
		}
		return d
	}
	h := newHealth()
	for i, step := range []struct {
		daemon launcher.DaemonStatus
		fails  bool
	}{
		{daemon(launcher.StateDisabled, 0), false},
		{daemon(launcher.StateAbsent, 0), false},
		{daemon(launcher.StateWaiting, 0), false},
		{daemon(launcher.StateStarting, 0), false},
		{daemon(launcher.StateReady, 0), false},
		{daemon(launcher.StateUnhealthy, 0), false},
		{daemon(launcher.StateBackoff, time.Second), false},
		{daemon(launcher.StateStarting, 0), false},
		{daemon(launcher.StateBackoff, longBackoff), true},
		{daemon(launcher.StateStarting, 0), true},
		{daemon(launcher.StateBackoff, time.Second), true}, // jitter
		{daemon(launcher.StateReady, 0), false},
		{daemon(launcher.StateStarting, 0), false},
		{daemon(launcher.StateFailed, 0), true},
		{daemon(launcher.StateStopped, 0), false},
	} {
		got := h.judge(launcher.Status{Daemons: []launcher.DaemonStatus{step.daemon}})
		if fails := got.Status == "failing" && len(got.Daemons) == 1 && got.Daemons[0] == "consul"; fails != step.fails || !fails && got.Status != "ok" {
			t.Errorf("step %d, %s: %+v", i, step.daemon.State, got)
		}
	}
}

func TestHealthOverTCP(t *testing.T) {
	r := newRig(t, nil)
	if code, body, _ := r.request(t, "GET", healthPath, without); code != 200 || body != `{"status":"ok","daemons":[]}`+"\n" {
		t.Errorf("answered with %d %s", code, body)
	}
	r.supervisor.Set(launcher.DaemonStatus{Name: "marathon", State: launcher.StateFailed, Reason: "secret plan"})
	if code, body, _ := r.request(t, "GET", healthPath, without); code != 503 || body != `{"status":"failing","daemons":["marathon"]}`+"\n" {
		t.Errorf("answered with %d %s", code, body)
	}
}

func TestALauncherThatHangs(t *testing.T) {
	r := newRig(t, nil)
	r.supervisor.Block = make(chan struct{})
	for range 2 {
		code, body, _ := r.request(t, "GET", healthPath, without)
		if code != 503 || !strings.Contains(body, "does not answer") {
			t.Errorf("answered with %d %s", code, body)
		}
	}
	close(r.supervisor.Block)
	lab.Eventually(t, 30*time.Second, "it answers again", func() bool {
		code, _, _ := r.request(t, "GET", healthPath, without)
		return code == 200
	})
}

// TestMetrics merges two children, one of which is no more.
func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	child, err := net.Listen("unix", dir+"/m.sock")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `# HELP panteras_dns_queries_total Answered queries.
# TYPE panteras_dns_queries_total counter
panteras_dns_queries_total{route="consul"} 7
# HELP go_goroutines Number of goroutines that currently exist.
# TYPE go_goroutines gauge
go_goroutines 42
# HELP panteras_daemon_up Something else.
# TYPE panteras_daemon_up counter
panteras_daemon_up 5
# HELP latency_seconds Time.
# TYPE latency_seconds histogram
latency_seconds_bucket{le="1"} 1
latency_seconds_bucket{le="+Inf"} 2
latency_seconds_sum 3
latency_seconds_count 2
`)
	})}
	go func() { _ = srv.Serve(child) }()
	defer func() { _ = srv.Close() }()
	second, err := net.Listen("unix", dir+"/n.sock")
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "# TYPE latency_seconds gauge\nlatency_seconds 1\n# TYPE go_goroutines gauge\ngo_goroutines 43\n")
	})}
	go func() { _ = other.Serve(second) }()
	defer func() { _ = other.Close() }()
	r := newRig(t, nil)
	r.SetChildren(map[string]string{"zoo": "unix:" + dir + "/n.sock", "dns": "unix:" + dir + "/m.sock", "tunnel": "unix:" + dir + "/nobody.sock"})
	code, body, _ := r.request(t, "GET", "/metrics", nil)
	for _, line := range []string{
		`panteras_daemon_up{daemon="consul"} 1`, `panteras_daemon_up{daemon="haproxy"} 0`,
		`panteras_daemon_ready{daemon="consul"} 1`, `panteras_daemon_restarts_total{daemon="consul"} 2`,
		`panteras_build_info{commit="abc",goversion="go1.26",version="v1"} 1`,
		`panteras_dns_queries_total{daemon="dns",route="consul"} 7`,
		`go_goroutines{daemon="dns"} 42`, `go_goroutines{daemon="zoo"} 43`,
		`latency_seconds_bucket{daemon="dns",le="1"} 1`, `latency_seconds_count{daemon="dns"} 2`,
		`panteras_daemon_metrics_up{daemon="dns"} 1`, `panteras_daemon_metrics_up{daemon="tunnel"} 0`,
		`panteras_log_dropped_lines_total{sink="console"} 0`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	for _, piece := range []string{`go_goroutines{daemon="launcher"} `, `process_open_fds{daemon="launcher"} `, `panteras_daemon_state_seconds{daemon="consul",state="ready"} 6`} {
		if !strings.Contains(body, "\n"+piece) {
			t.Errorf("%s… is missing", piece)
		}
	}
	if strings.Contains(body, `latency_seconds_count{daemon="zoo"}`) {
		t.Error("something of another type is mixed in")
	}
	if strings.Contains(body, `daemon="marathon"`) {
		t.Error("a daemon that is not for this host has metrics")
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if code != 200 || err != nil {
		t.Errorf("answered with %d, which is read with %v:\n%s", code, err, body)
	}
	for name := range families {
		if n := strings.Count(body, "# TYPE "+name+" "); n != 1 {
			t.Errorf("%s has %d types", name, n)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}

// TestDocumentedRoutes compares docs/api.md with what is served.
func TestDocumentedRoutes(t *testing.T) {
	page, err := os.ReadFile(lab.Root(t) + "/docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "<!-- routes:begin -->")
	table, _, ok2 := strings.Cut(rest, "<!-- routes:end -->")
	if !ok || !ok2 {
		t.Fatal("docs/api.md lacks the table of routes")
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z]+)` \\| `([^`]+)` \\| .").FindAllStringSubmatch(table, -1) {
		documented[row[1]+" "+row[2]] = true
	}
	served := map[string]bool{}
	for _, r := range routes {
		served[r.method+" "+r.path] = true
	}
	if diff := cmp.Diff(served, documented); diff != "" {
		t.Errorf("docs/api.md differs from what is served (-served +documented):\n%s", diff)
	}
	_, rest, _ = strings.Cut(string(page), "<!-- metrics:begin -->")
	metrics, _, _ := strings.Cut(rest, "<!-- metrics:end -->")
	told, exported := map[string]bool{}, map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(metrics, -1) {
		told[row[1]] = true
	}
	for _, d := range []fmt.Stringer{upDesc, readyDesc, restartsDesc, stateDesc, buildDesc, droppedDesc, scrapedDesc} {
		exported[regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	if diff := cmp.Diff(exported, told); diff != "" {
		t.Errorf("docs/api.md tells of other metrics than there are (-there +told):\n%s", diff)
	}
}
