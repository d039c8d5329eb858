package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/launcher/logs"

	"github.com/google/go-cmp/cmp"
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
