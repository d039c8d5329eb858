package page

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"panteras/internal/lab"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
)

// dayOnThePage does with the keyboard everything that the page can do.
func dayOnThePage(t *testing.T, chromium context.Context) {
	w := newWorld(t)
	s := w.serve(t, "")
	b := openPage(t, chromium, s.address)

	b.usable("the login")
	b.login(secret[:40])
	b.until("it says that the token is wrong", "document.querySelector('[role=alert]') && document.body.innerText.includes('not the token')")
	b.usable("a failed login")
	b.login(secret)
	b.live()
	if cookies := js[string](b, "document.cookie"); cookies != "" {
		t.Errorf("scripts can read the cookie: %q", cookies)
	}
	b.until("queries a second are known", "/[1-9]/.test(document.querySelector('#dns td').innerText)")
	b.usable("the page")
	b.pictures("page")
	b.escapes()

	// Daemons.
	b.press("[aria-label='Stop zookeeper']")
	b.confirm("Stop zookeeper?")
	b.says("zookeeper is stopped")
	b.badge("daemons", "zookeeper", "stopped")
	b.press("[aria-label='Start zookeeper']")
	b.says("zookeeper is started")
	b.badge("daemons", "zookeeper", "ready")
	b.press("[aria-label='Restart haproxy']")
	b.confirm("Restart haproxy?")
	b.says("haproxy has been restarted")
	b.press("[aria-label='Stop consul']")
	b.until("it asks", "document.querySelector('#confirm[open]')")
	b.usable("a question")
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until("nothing is asked", "!document.querySelector('#confirm[open]')")
	w.set(func(w *world) { w.supervisor.Err = errors.New("mesos-master has <no> memory") })
	b.press("[aria-label='Restart mesos-master']")
	b.confirm("Restart mesos-master?")
	b.says("mesos-master has <no> memory")
	w.set(func(w *world) { w.supervisor.Err = nil })
	want := []string{"stop zookeeper", "start zookeeper", "restart haproxy", "restart mesos-master"}
	if diff := cmp.Diff(want, w.supervisor.Calls()); diff != "" {
		t.Errorf("what was done:\n%s", diff)
	}

	b.logs(w)
	b.names()
	b.peers(w)

	b.press("#logout")
	b.until("it wants the token", "document.querySelector('#token')")
	b.do(chromedp.Navigate("http://" + s.address + "/page/"))
	b.until("it still wants the token", "document.querySelector('#token')")
}

// escapes looks for what a service called <script> may have done.
func (b *tab) escapes() {
	b.t.Helper()
	for _, part := range []string{"#balancer", "#daemons"} {
		if !strings.Contains(b.text(part), evil) {
			b.t.Errorf("%s does not show the name as it is: %s", part, b.text(part))
		}
	}
	if title := js[string](b, "document.title"); title != "node-1: panteras" {
		b.t.Errorf("the title is %q", title)
	}
	if n := js[int](b, "document.querySelectorAll('main script, main img').length"); n != 0 {
		b.t.Errorf("%d elements come from names", n)
	}
	// What is not escaped by mistake does nothing either.
	b.do(chromedp.Evaluate[chromedp.Void](`void document.getElementById('explained').insertAdjacentHTML('beforeend', '<img src="data:x" onerror="document.title=1"><p style="color:red" id="styled">x</p>')`))
	b.do(chromedp.Evaluate[chromedp.Void](`void document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title=2'}))`))
	b.until("it has no style", "document.getElementById('styled') && getComputedStyle(document.getElementById('styled')).color !== 'rgb(255, 0, 0)'")
	if title := js[string](b, "document.title"); title != "node-1: panteras" {
		b.t.Errorf("something inline ran: %q", title)
	}
}

func (b *tab) logs(w *world) {
	b.t.Helper()
	w.logs.Write("haproxy", "the first line")
	b.press("[aria-label='Log of haproxy']")
	b.until("the first line", "document.getElementById('log-text').innerText.includes('the first line')")
	w.logs.Write("haproxy", "and "+evil)
	b.until("what comes later", "document.getElementById('log-text').innerText.includes("+quoted("and "+evil)+")")
	b.usable("a log")
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until("the log is closed", "!document.querySelector('#log[open]')")
	b.until("the focus is where it was", "document.activeElement.dataset.log === 'haproxy'")
}

func (b *tab) names() {
	b.t.Helper()
	b.focus("#explain-name")
	b.do(chromedp.KeyEvent("python.service.consul"), chromedp.KeyEvent(kb.Enter))
	b.until("the explanation", "document.getElementById('explained').innerText.includes('knows 2 of python')")
	b.usable("an explanation")
	b.focus("#explain-name")
	b.do(chromedp.SetValue("#explain-name", "fail"), chromedp.KeyEvent(kb.Enter))
	b.until("why there is none", "document.getElementById('explained').innerText.includes('cannot be explained')")
}

func (b *tab) peers(w *world) {
	b.t.Helper()
	downloads := b.t.TempDir()
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
			Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: downloads, BrowserContextID: chromedp.FromContext(ctx).BrowserContextID,
		})
		return err
	}))
	b.press("#add-peer")
	b.until("the name has the focus", "document.activeElement.id === 'peer-name'")
	b.usable("a form")
	b.do(chromedp.KeyEvent("alice-laptop"), chromedp.KeyEvent(kb.Enter))
	b.until("why that cannot be", "document.getElementById('peer-problem').innerText.includes('there is a peer of that name')")
	b.focus("#peer-name")
	b.do(chromedp.SetValue("#peer-name", "dave-phone"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("Phone"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("30d"), chromedp.KeyEvent(kb.Enter))
	b.until("the QR code", "document.querySelector('#issued[open]') && document.getElementById('issued-qr').naturalWidth > 0")
	b.usable("a client file")
	for name, content := range map[string]string{"issued-file:dave-phone.conf": "[Interface]\nPrivateKey = of dave-phone\n", "issued-script:dave-phone-dns.sh": "#!/bin/sh\n"} {
		id, file, _ := strings.Cut(name, ":")
		b.press("#" + id)
		lab.Eventually(b.t, patient, file+" is downloaded", func() bool {
			text, _ := os.ReadFile(filepath.Join(downloads, file))
			return string(text) == content
		})
	}
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until("the private key is gone", "!document.documentElement.outerHTML.includes('PrivateKey') && !document.getElementById('issued-qr').src")
	b.badge("peers", "dave-phone", "enabled")
	b.press("[aria-label='Disable dave-phone']")
	b.confirm("Disable dave-phone?")
	b.badge("peers", "dave-phone", "disabled")
	b.press("[aria-label='Enable dave-phone']")
	b.badge("peers", "dave-phone", "enabled")
	b.press("[aria-label='Remove dave-phone']")
	b.confirm("Remove dave-phone?")
	b.until("it is gone", "!document.querySelector('[data-key=dave-phone]')")

	b.press("#add-peer")
	b.until("the name has the focus again", "document.activeElement.id === 'peer-name'")
	b.do(chromedp.KeyEvent("erin-desk"))
	b.press("#peer summary")
	for selector, text := range map[string]string{"#peer-allow": "10.1.0.0/24:tcp/443 10.2.0.0/24", "#peer-key": strings.Repeat("A", 43) + "="} {
		b.focus(selector)
		b.do(chromedp.KeyEvent(text))
	}
	b.focus("#peer [name=preshared]")
	b.do(chromedp.KeyEvent(" "))
	b.usable("a form with more")
	b.focus("#peer-name")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("erin's client file", "document.querySelector('#issued[open]')")
	b.do(chromedp.KeyEvent(kb.Escape))
	w.set(func(w *world) {
		by := " by status page at 127.0.0.1"
		want := []string{
			"add alice-laptop" + by + ": {Name:alice-laptop System:linux Expires: Allow: PublicKey: Preshared:false}",
			"add dave-phone" + by + ": {Name:dave-phone System:mobile Expires:30d Allow: PublicKey: Preshared:false}",
			"disable dave-phone" + by, "enable dave-phone" + by, "remove dave-phone" + by,
			"add erin-desk" + by + ": {Name:erin-desk System:linux Expires: Allow:10.1.0.0/24:tcp/443 10.2.0.0/24 PublicKey:" + strings.Repeat("A", 43) + "= Preshared:true}",
		}
		if diff := cmp.Diff(want, w.calls); diff != "" {
			b.t.Errorf("what was done:\n%s", diff)
		}
	})
}
