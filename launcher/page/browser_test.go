package page

import (
	"context"
	_ "embed" // the checks of a page
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"panteras/internal/lab"
	"panteras/launcher"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
)

// TestPage looks at the page in a real browser.
func TestPage(t *testing.T) {
	t.Parallel()
	chromium := lab.Chromium(t)
	for name, test := range map[string]func(*testing.T, context.Context){
		"ADay": dayOnThePage, "Truth": truthOnThePage, "ComesBack": pageComesBack, "ByTab": pageByTab,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, chromium)
		})
	}
}

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
	w.set(func(w *world) {
		by := " by status page at 127.0.0.1"
		want := []string{
			"add alice-laptop" + by + ": {Name:alice-laptop System:linux Expires: Allow: PublicKey: Preshared:false}",
			"add dave-phone" + by + ": {Name:dave-phone System:mobile Expires:30d Allow: PublicKey: Preshared:false}",
			"disable dave-phone" + by, "enable dave-phone" + by, "remove dave-phone" + by,
		}
		if diff := cmp.Diff(want, w.calls); diff != "" {
			b.t.Errorf("what was done:\n%s", diff)
		}
	})
}

// pictures keeps how it looks.
func (b *tab) pictures(name string) {
	b.t.Helper()
	b.size(390, 844, 1.5, "dark")
	lab.Screenshot(b.t, b.ctx, name+"-phone")
	b.size(1280, 900, 1, "light")
	lab.Screenshot(b.t, b.ctx, name+"-desktop")
}

// truthOnThePage takes away one thing after the other.
func truthOnThePage(t *testing.T, chromium context.Context) {
	w := newWorld(t)
	s := w.serve(t, "")
	b := openPage(t, chromium, s.address)
	b.login(secret)
	b.live()
	b.until("all is there", "document.querySelectorAll('.live .trouble').length === 0 && document.querySelector('#dns table')")

	b.focus("[aria-label='Stop mesos-master']")
	w.state("dns", launcher.StateBackoff)
	b.until("the DNS server is gone", "document.getElementById('dns').innerText.includes('does not run') && !document.querySelector('#dns table')")
	b.until("the card says so", "document.getElementById('cards').innerText.includes('the DNS server is backoff')")
	if !js[bool](b, "document.activeElement.getAttribute('aria-label') === 'Stop mesos-master'") {
		t.Error("news have taken the focus away")
	}
	w.state("dns", launcher.StateReady)
	w.set(func(w *world) { w.noDNS = errors.New("connection refused") })
	b.until("there are no figures", "document.getElementById('dns').innerText.includes('cannot be read: connection refused')")

	w.state("tunnel", launcher.StateFailed)
	b.until("the gateway is gone", "document.getElementById('peers').innerText.includes('The gateway does not run')")
	b.until("nobody is connected", "!document.querySelector('#peers .badge.good') && !document.getElementById('peers').innerText.includes('MiB')")

	w.set(func(w *world) {
		w.noConsul, w.noPeers = errors.New("connection refused"), errors.New("cannot reach Consul at 10.0.0.1:8500")
	})
	b.until("Consul is gone", "document.getElementById('troubles').innerText.includes('Consul does not answer')")
	b.until("peers are old", "document.getElementById('peers').innerText.includes('What is shown is from')")
	b.until("services are old", "document.getElementById('balancer').innerText.includes('what it said last')")
	b.usable("trouble")
	w.set(func(w *world) { w.noConsul, w.leader = nil, "" })
	b.until("Consul has no leader", "document.getElementById('troubles').innerText.includes('no leader')")

	w.state("haproxy", launcher.StateStopped)
	b.until("HAProxy is gone", "document.getElementById('balancer').innerText.includes('HAProxy does not run')")
	b.badge("links", "HAProxy", "stopped")
	b.pictures("trouble")
}

// pageComesBack restarts the launcher, also with another token.
func pageComesBack(t *testing.T, chromium context.Context) {
	w := newWorld(t)
	s := w.serve(t, "")
	b := openPage(t, chromium, s.address)
	b.login(secret)
	b.live()
	b.press("[aria-label='Log of consul']")
	b.until("the log is live", "document.querySelector('#log-line.good')")
	s.stop()
	b.until("it says that the launcher is gone", "document.querySelector('#line.bad') && document.getElementById('line').innerText.includes('no connection since')")
	b.until("and so does the log", "document.querySelector('#log-line.bad')")
	w.logs.Write("consul", "in between")
	w.state("zookeeper", launcher.StateFailed)
	s = w.serve(t, s.address)
	b.live()
	b.badge("daemons", "zookeeper", "failed")
	b.until("the log goes on", "document.querySelector('#log-line.good') && document.getElementById('log-text').innerText.includes('in between')")
	b.do(chromedp.KeyEvent(kb.Escape))
	b.press("[aria-label='Start zookeeper']")
	b.badge("daemons", "zookeeper", "ready")
	s.stop()
	w.token = strings.Repeat("f", 64)
	w.serve(t, s.address)
	b.until("the old login is worth nothing", "document.querySelector('#token')")
}

// pageByTab goes through everything that can be pressed, in order.
func pageByTab(t *testing.T, chromium context.Context) {
	w := newWorld(t)
	s := w.serve(t, "")
	b := openPage(t, chromium, s.address)
	b.login(secret)
	b.live()
	const list = `[...document.querySelectorAll('a[href],button,input,select,summary,[tabindex="0"]')].filter((e) => e.checkVisibility() && !e.closest('dialog'))`
	all := js[int](b, list+".length")
	b.do(chromedp.Evaluate[chromedp.Void]("void (window.seen = new Set(), document.activeElement.blur(), window.scrollTo(0, 0))"))
	seen := 0
	for range all {
		b.do(chromedp.KeyEvent(kb.Tab))
		if !js[bool](b, "document.activeElement !== document.body && !seen.has(document.activeElement) && getComputedStyle(document.activeElement).outlineStyle === 'solid' && !!seen.add(document.activeElement)") {
			t.Errorf("tab %d leads to %s", seen+1, js[string](b, "document.activeElement.outerHTML.slice(0, 100)"))
			break
		}
		seen++
	}
	if seen != all {
		t.Errorf("tab reaches %d of %d", seen, all)
	}
}
