package test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/launcher"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// reader is a person who reads a page in a browser.
type reader struct {
	t   *testing.T
	ctx context.Context
}

func (r *reader) do(actions ...chromedp.Action[chromedp.Void]) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, readyTime)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		r.t.Fatal(err)
	}
}

// text is what an element shows; nothing while there is none.
func (r *reader) text(selector string) string {
	ctx, cancel := context.WithTimeout(r.ctx, readyTime)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf("(document.querySelector(%q) || {innerText: ''}).innerText", selector)))
	if err != nil {
		return ""
	}
	return text
}

// reads waits until an element shows a text.
func (r *reader) reads(selector, want string) {
	r.t.Helper()
	deadline := time.Now().Add(readyTime)
	lab.Eventually(r.t, readyTime+patience, want, func() bool {
		got := r.text(selector)
		if time.Now().After(deadline) {
			r.t.Fatalf("%s never shows %q, but\n%s\nand the page\n%s", selector, want, got, r.text("body"))
		}
		return strings.Contains(got, want)
	})
}

// press presses a button, and what is asked then, if anything.
func (r *reader) press(selector string, asked bool) {
	r.t.Helper()
	r.do(chromedp.WaitVisible(selector), chromedp.Focus(selector), chromedp.KeyEvent(kb.Enter))
	if asked {
		r.do(chromedp.WaitVisible("#confirm-yes"), chromedp.Click("#confirm-yes"))
	}
}

// TestUpStatusPage uses the status page of a gateway, whose parts are all real, while it
// is upgraded and falls apart.
func TestUpStatusPage(t *testing.T) {
	t.Parallel()
	h := oneHost(t, append(only("consul", "consul-template", "dns"), "STATUS_LISTEN=10.7.0.1:9000", "TUNNEL_ENDPOINT=10.7.0.1", "TUNNEL_ROUTES=10.7.0.0/24", "REGISTER_CONSUL_UI=false")...)
	h.up(t)
	h.ready(t, "consul", "consul-template", "haproxy", "dns", "tunnel")
	token, err := os.ReadFile(h.path("state", "token"))
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{t, lab.Chromium(t)}
	r.do(chromedp.Navigate("http://10.7.0.1:9000/"), chromedp.WaitVisible("#token"), chromedp.Focus("#token"), chromedp.KeyEvent(strings.TrimSpace(string(token))), chromedp.KeyEvent(kb.Enter))
	r.reads("#line", "live")
	r.reads("#cards", "leader 10.7.0.1:8300")

	lab.RunDig(t, "@10.7.0.1", "consul.service.consul")
	r.reads("#dns", "consul")
	r.reads("#dns", "10.7.0.1:8600")
	r.do(chromedp.Focus("#explain-name"), chromedp.KeyEvent("consul"), chromedp.KeyEvent(kb.Enter))
	r.reads("#explained", "knows 1 of consul")
	r.do(chromedp.Focus("#explain-name"), chromedp.SetValue("#explain-name", "--help"), chromedp.KeyEvent(kb.Enter))
	r.reads("#explained", "knows no service --help")

	r.press("[aria-label='Stop dns']", true)
	h.state(t, "dns", launcher.StateStopped)
	r.reads("#daemons [data-key=dns]", "stopped")
	r.press("[aria-label='Start dns']", false)
	r.reads("#daemons [data-key=dns]", "ready")
	r.press("[aria-label='Log of consul']", false)
	r.reads("#log-text", "Starting Consul agent")
	r.do(chromedp.KeyEvent(kb.Escape))

	r.balances(h)
	r.addPeer(h)
	h.must(t, "upgrade")
	h.ready(t, "dns")
	r.reads("#line", "live")
	before := h.status()["dns"].Pid
	r.press("[aria-label='Restart dns']", true)
	lab.Eventually(t, readyTime, "the DNS server is another process", func() bool { d := h.status()["dns"]; return d.Ready && d.Pid != before })

	h.must(t, "stop", "tunnel")
	r.reads("#peers", "The gateway does not run")
	h.must(t, "stop", "haproxy")
	r.reads("#balancer", "HAProxy does not run")
	h.must(t, "stop", "consul")
	r.reads("#troubles", "Consul does not answer")
	r.reads("#peers", "cannot reach Consul at 10.7.0.1:8500")
	r.reads("#daemons [data-key=consul]", "stopped")
	lab.Screenshot(t, r.ctx, "status-page-up")

	p := h.Process
	p.Stop(t)
	r.reads("#line", "no connection since")
}

// balances looks at what is said of the balancer while services come, clash and go.
func (r *reader) balances(h *upHost) {
	t := r.t
	t.Helper()
	register := func(id, service string, port int, tags ...string) {
		t.Helper()
		body := jsonOf(t, map[string]any{
			"ID": id, "Name": service, "Address": "10.7.0.1", "Port": port, "Tags": append(tags, "haproxy"), "Weights": map[string]int{"Passing": 1, "Warning": 1},
		})
		if answer := httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/register", body); answer != "" {
			t.Fatal(answer)
		}
	}
	r.reads("#balancer", "No service of Consul has the tag haproxy")
	webServer(t, "10.7.0.1:31001", "one")
	register("web-1", "web", 31001, "haproxy_weight=30")
	register("web-2", "web", 31002, "haproxy_weight=70")
	r.reads("#balancer [data-key=backend_web] .entrances", "web.service.consul")
	r.reads("#balancer [data-key=backend_web] .servers", "10.7.0.1:31001 weight 30")
	r.reads("#balancer [data-key=backend_web] .servers", "10.7.0.1:31002 weight 70")
	r.reads("#balancer", "last reload")
	r.reads("#cards", "services, 2 servers")
	if page := fetch("web.service.consul", "/"); page != "one" { // the other one is not there, and HAProxy tries again
		t.Errorf("HAProxy serves %q", page)
	}
	register("a", "first", 31003, "haproxy_tcp=6000")
	register("b", "second", 31004, "haproxy_tcp=6000")
	r.reads("#balancer .findings", "second")
	r.reads("#balancer .findings", "6000")
	for _, id := range []string{"a", "b", "web-2"} {
		httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/deregister/"+id, "")
	}
	lab.Eventually(t, readyTime, "what has gone not to be shown", func() bool {
		text := r.text("#balancer")
		return strings.Contains(text, "31001") && !strings.Contains(text, "31002") && !strings.Contains(text, "6000")
	})
}

// addPeer adds a peer and takes its access away again.
func (r *reader) addPeer(h *upHost) {
	t := r.t
	t.Helper()
	r.reads("#peers", "There are no peers")
	downloads := t.TempDir()
	r.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
			Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: downloads, BrowserContextID: chromedp.FromContext(ctx).BrowserContextID,
		})
		return err
	}))
	r.press("#add-peer", false)
	r.do(chromedp.WaitVisible("#peer-name"), chromedp.KeyEvent("no blanks"), chromedp.KeyEvent(kb.Enter))
	r.reads("#peer-problem", "no blanks")
	r.do(chromedp.SetValue("#peer-name", "alice-laptop"), chromedp.Focus("#peer-name"), chromedp.KeyEvent(kb.Enter))
	r.reads("#issued-text", "alice-laptop has 10.99.")
	r.do(chromedp.WaitVisible("#issued-qr"))
	config, err := chromedp.Run(r.ctx, chromedp.Evaluate[string]("document.getElementById('issued-config').textContent"))
	if err != nil || !strings.Contains(config, "PrivateKey = ") || !strings.Contains(config, "Endpoint = 10.7.0.1:51820") {
		t.Errorf("the client file is %v\n%s", err, config)
	}
	r.do(chromedp.Focus("#issued-file"), chromedp.KeyEvent(kb.Enter))
	lab.Eventually(t, readyTime, "the client file to be downloaded", func() bool {
		file, _ := os.ReadFile(filepath.Join(downloads, "alice-laptop.conf"))
		return string(file) == config
	})
	// The QR code as somebody sees it who holds a telephone to the screen.
	r.do(chromedp.EmulateViewport(1280, 1400)) // all of it is to be seen at once
	seen, err := chromedp.Run(r.ctx, chromedp.ScreenshotScale("#issued-qr", 2))
	if err != nil {
		t.Fatal(err)
	}
	picture := filepath.Join(t.TempDir(), "qr.png")
	put(t, picture, string(seen))
	if code, err := exec.Command("zbarimg", "--quiet", "--raw", "--oneshot", "-Sbinary", picture).Output(); err != nil || string(code) != config {
		t.Errorf("the QR code says %q (%v), the file %q", code, err, config)
	}
	r.do(chromedp.KeyEvent(kb.Escape))
	r.reads("#peers [data-key=alice-laptop]", "never")
	r.press("[aria-label='Disable alice-laptop']", true)
	r.reads("#peers [data-key=alice-laptop]", "disabled")
	var list []struct {
		Name    string
		Enabled bool
	}
	if err := json.Unmarshal([]byte(h.must(t, "peer", "list", "--json")), &list); err != nil || len(list) != 1 || list[0].Enabled {
		t.Errorf("peer list: %v %+v", err, list)
	}
	r.press("[aria-label='Remove alice-laptop']", true)
	r.reads("#peers", "There are no peers")
	audit, err := os.ReadFile(filepath.Join(h.path("log"), "tunnel-audit.log"))
	if err != nil || strings.Count(string(audit), `"by":"status page at 10.7.0.1 as root on node-1"`) != 3 {
		t.Errorf("the audit log: %v\n%s", err, audit)
	}
}
