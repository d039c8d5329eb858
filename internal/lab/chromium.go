package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/sys/unix"
)

// chromiumTimeout is how long a browser may be used: far more than a test needs.
const chromiumTimeout = 5 * time.Minute

// Chromium starts a headless browser, in the network namespace that the caller is in, and
// returns the context of a tab, for chromedp.Run.
func Chromium(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), chromiumTimeout)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(here(t, system(t, "chromium"))),
		chromedp.NoSandbox, // its sandbox refuses root, and the pages are our own
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	// What this version of chromedp does not know of the browser's is no error.
	mute := func(string, ...any) {}
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithErrorf(mute), chromedp.WithLogf(mute))
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits until its processes have ended
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("cannot start Chromium: %v", err)
	}
	return ctx
}

// here is a program that runs another one in the network namespace of the caller's
// thread, wherever it is started from.
func here(t testing.TB, path string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "here")
	text := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\"\n", path)
	if network := fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid()); os.Geteuid() == 0 { // nobody else can have moved
		text = fmt.Sprintf("#!/bin/sh\nexec nsenter --net=%s %s \"$@\"\n", network, path)
	}
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
}

// Profile opens a tab in a browser that [Chromium] has started, with cookies of its own.
func Profile(t testing.TB, browser context.Context) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("cannot open a tab: %v", err)
	}
	return ctx
}

// Screenshot keeps a picture of all of the page that a tab shows, as name.png, where CI
// finds it: in $CI_ARTIFACTS, or test/artifacts.
func Screenshot(t testing.TB, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("CI_ARTIFACTS")
	if dir == "" {
		dir = filepath.Join(Root(t), "test", "artifacts")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const lossless = 100
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(lossless))
	if err != nil {
		t.Fatalf("cannot take a picture: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}
