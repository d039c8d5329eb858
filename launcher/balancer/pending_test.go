package balancer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
)

// textOf is a snapshot as consul-template renders it.
func textOf(t testing.TB, instances ...*haproxy.Instance) []byte {
	t.Helper()
	text, err := json.Marshal(snapshotOf(instances...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// serves asks for a service by its name.
func (r *rig) serves(what, service string, want int) {
	r.t.Helper()
	if code, body := r.get(service+".service.consul", "/"); code != want {
		r.t.Errorf("%s: %s answers %d %q, not %d", what, service, code, body, want)
	}
}

// retry tries what is pending again, which must succeed if anything is.
func (r *rig) retry() *Result {
	r.t.Helper()
	result, err := r.Retry(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// TestPending: what was refused for a reason that passes is served at the next try,
// without another change in Consul.
func TestPending(t *testing.T) {
	t.Parallel()
	a := web(t, "web", "a", "haproxy")
	r := startedRig(t, a)
	reloader := r.Reloader
	for name, reload := range map[string]func(context.Context, context.CancelFunc) error{
		"unreachable": func(context.Context, context.CancelFunc) error {
			return errors.New("nobody is there to reload HAProxy")
		},
		"slow": func(context.Context, context.CancelFunc) error { return nil }, // for Patience
		"killed": func(ctx context.Context, kill context.CancelFunc) error {
			kill()
			return ctx.Err()
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r.Patience = 200 * time.Millisecond
		r.Reloader = ReloadFunc(func(ctx ctxType) error { return reload(ctx, cancel) })
		_, err := r.Apply(ctx, textOf(t, a, web(t, name, name, "haproxy")))
		cancel()
		if err == nil {
			t.Fatalf("%s: applied", name)
		}
		r.serves("before", name, 503)
		r.serves("before", "web", 200)
		if report, _, err := ReadReport(r.RunDir); err != nil || report.Refused == "" || !report.Pending || !Pending(r.RunDir) {
			t.Errorf("%s: the report is %+v, %v", name, report, err)
		}
		// A snapshot that is broken does not take its place.
		if _, err := r.Apply(t.Context(), []byte("{")); err == nil {
			t.Error("a broken snapshot was applied")
		}
		if report, _, err := ReadReport(r.RunDir); err != nil || !report.Broken || !report.Pending {
			t.Errorf("%s: after a broken one the report is %+v, %v", name, report, err)
		}
		r.Patience, r.Reloader = 0, reloader
		if result := r.retry(); result == nil || !result.Reloaded {
			t.Errorf("%s: %+v", name, result)
		}
		r.serves("afterwards", name, 200)
		if report, _, err := ReadReport(r.RunDir); err != nil || report.Refused != "" || report.Pending || report.Applied.IsZero() || Pending(r.RunDir) {
			t.Errorf("%s: afterwards the report is %+v, %v", name, report, err)
		}
		if result := r.retry(); result != nil {
			t.Errorf("%s: tried once more: %+v", name, result)
		}
	}

	// One that was pending does not come back after another has come into effect.
	r.Reloader = ReloadFunc(func(ctxType) error { return errors.New("nobody is there") })
	if _, err := r.Apply(t.Context(), textOf(t, a, web(t, "old", "old", "haproxy"))); err == nil {
		t.Fatal("applied")
	}
	r.Reloader = reloader
	r.apply(a, web(t, "new", "new", "haproxy"))
	if result := r.retry(); result != nil {
		t.Errorf("tried after another one: %+v", result)
	}
	r.serves("afterwards", "new", 200)
	r.serves("afterwards", "old", 503)
}

// TestRefusedForLong: what HAProxy itself does not take stays pending, however often it was
// refused.
func TestRefusedForLong(t *testing.T) {
	t.Parallel()
	a := web(t, "web", "a", "haproxy")
	r := startedRig(t, a)
	good := r.Options
	r.Options.User = "no such user"
	if _, err := r.Apply(t.Context(), textOf(t, a, web(t, "other", "b", "haproxy"))); err == nil {
		t.Fatal("applied")
	}
	for i := range 6 {
		if _, err := r.Retry(t.Context()); err == nil {
			t.Fatalf("retry %d did nothing", i)
		}
	}
	if report, _, err := ReadReport(r.RunDir); err != nil || report.Refused == "" || !report.Pending || report.Broken || len(report.Backends) != 1 {
		t.Errorf("the report is %+v, %v", report, err)
	}
	r.Options = good
	r.retry()
	r.serves("afterwards", "other", 200)
}

// inPlace are the files of the configuration that is in place, with its report.
func (r *rig) inPlace() map[string]string {
	r.t.Helper()
	files := map[string]string{}
	for _, name := range []string{haproxy.ConfigFile, haproxy.HostsFile, haproxy.PathsFile, ReportFile} {
		text, err := os.ReadFile(filepath.Join(r.StateDir, name))
		if err != nil {
			r.t.Fatal(err)
		}
		files[name] = string(text)
	}
	return files
}

// TestStartedMeanwhile: a HAProxy that starts while a snapshot is applied, with the files
// before, is told as soon as these are in place. If it cannot be, the files before are put
// back.
func TestStartedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, reloads := range []bool{true, false} {
		t.Run(fmt.Sprint("reloads=", reloads), func(t *testing.T) {
			t.Parallel()
			startedMeanwhile(t, reloads)
		})
	}
}

func startedMeanwhile(t *testing.T, reloads bool) {
	a := web(t, "web", "a", "haproxy")
	r := newRig(t)
	r.apply(a)
	before, reloader := r.inPlace(), r.Reloader
	if !reloads {
		r.Reloader = ReloadFunc(func(ctxType) error { return errors.New("nobody is there") })
	}
	dir := t.TempDir()
	checking, release := filepath.Join(dir, "checking"), filepath.Join(dir, "release")
	r.Program = filepath.Join(dir, "haproxy")
	script := "#!/bin/sh\n[ -e " + release + " ] || { : > " + checking + "; until [ -e " + release + " ]; do sleep 0.05; done; }\nPATH=/usr/sbin:$PATH exec haproxy \"$@\"\n"
	if err := os.WriteFile(r.Program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	applied := make(chan *Result, 1)
	fresh := textOf(t, a, web(t, "fresh", "fresh", "haproxy"))
	go func() {
		result, err := r.Apply(t.Context(), fresh)
		if (err == nil) != reloads {
			t.Errorf("applied: %v", err)
		}
		applied <- result
	}()
	lab.Eventually(t, patience, "the check", func() bool { _, err := os.Stat(checking); return err == nil })
	r.startHAProxy()
	r.serves("before", "fresh", 503)
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	result := <-applied
	if !reloads {
		if got := r.inPlace(); !maps.Equal(got, before) {
			t.Errorf("in place are %v, not %v", got, before)
		}
		r.Reloader = reloader
		result = r.retry()
	}
	if result == nil || !result.Running || !result.Reloaded || !result.Changed {
		t.Errorf("%+v", result)
	}
	r.serves("afterwards", "fresh", 200)
}

// TestReadyWithOldFiles: a HAProxy that answers only after a snapshot was applied, and has
// read the files before, is told at the next try.
func TestReadyWithOldFiles(t *testing.T) {
	t.Parallel()
	port := servicePort(t)
	a := web(t, "web", "a", "haproxy")
	r := newRig(t)
	r.apply(a)
	before := r.inPlace()
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(r.StateDir)); err != nil {
		t.Fatal(err)
	}
	if result := r.apply(a, web(t, "fresh", "fresh", "haproxy", fmt.Sprint("haproxy_tcp=", port))); result.Running || !result.Pending || !result.Applied.IsZero() {
		t.Errorf("%+v", result)
	}
	// As one that has read its files and does not listen yet.
	state := r.StateDir
	current := state + ".current"
	for _, move := range [][2]string{{state, current}, {old, state}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	r.startHAProxy()
	for _, move := range [][2]string{{state, old}, {current, state}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	r.serves("before", "fresh", 503)
	// If it cannot be told, it starts anew with what it serves.
	reloader := r.Reloader
	r.Reloader = ReloadFunc(func(ctxType) error { return errors.New("nobody is there") })
	if _, err := r.Retry(t.Context()); err == nil {
		t.Error("applied without a reload")
	}
	if got := r.inPlace(); !maps.Equal(got, before) {
		t.Errorf("in place are %v, not %v", got, before)
	}
	r.Reloader = reloader
	if result := r.retry(); result == nil || !result.Reloaded || !result.Changed || result.Pending {
		t.Errorf("%+v", result)
	}
	r.serves("afterwards", "fresh", 200)
	if got := ask(port); got != "fresh" {
		t.Errorf("its port answers %q", got)
	}
}
