package page

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
	"panteras/launcher"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
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

	for says, state := range map[string]haproxy.Report{
		"What HAProxy serves is as it was before, because the last snapshot was refused, and is tried again: the disk is full": {Refused: "the disk is full", Pending: true},
		"HAProxy did not run or not answer when it was to be told of this":                                                     {Pending: true},
	} {
		w.set(func(w *world) {
			report := *w.served.Report
			report.Refused, report.Pending = state.Refused, state.Pending
			w.served = Balancer{Written: time.Now(), Report: &report}
		})
		b.until("what HAProxy was not told of", fmt.Sprintf("[...document.querySelectorAll('#balancer .trouble')].some((e) => e.innerText.trim().startsWith(%q))", says))
	}

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
	b.refusedAndHidden(s)

	// A launcher with another page: what is shown is loaded anew, and is not before.
	b.run("window.mine = true")
	s.stop()
	b.until("the launcher is gone again", "document.querySelector('#line.bad')")
	s = w.serve(t, s.address)
	b.live()
	if !js[bool](b, "window.mine === true") {
		t.Error("the page loads itself anew, and the launcher has the same one")
	}
	b.run("document.documentElement.dataset.edition = 'older'")
	s.stop()
	b.until("the launcher is gone once more", "document.querySelector('#line.bad')")
	s = w.serve(t, s.address)
	b.loaded("the other page is loaded", "window.mine === undefined && document.querySelector('#line.good')")
	s.stop()
	w.token = strings.Repeat("f", 64)
	w.serve(t, s.address)
	b.loaded("the old login is worth nothing", "document.querySelector('#token')")
}

// refusedAndHidden looks at a log while there are too many, and hides the tab.
func (b *tab) refusedAndHidden(s *servedPage) {
	b.t.Helper()
	taken := 0
	for free := true; free; {
		select {
		case s.page.follow <- struct{}{}:
			taken++
		default:
			free = false
		}
	}
	b.press("[aria-label='Log of consul']")
	b.until("the log is refused", "document.getElementById('log-line').innerText.includes('refused')")
	for range taken {
		<-s.page.follow
	}
	b.until("the log is let in later", "document.querySelector('#log-line.good')")
	hide := func(hidden bool) {
		b.run(fmt.Sprintf("Object.defineProperty(document, 'hidden', {value: %t, configurable: true}); document.dispatchEvent(new Event('visibilitychange'))", hidden))
	}
	hide(true)
	lab.Eventually(b.t, patient, "nothing is asked while the tab is hidden", func() bool { return len(s.page.follow) == 0 })
	hide(false)
	lab.Eventually(b.t, patient, "the page and the log go on", func() bool { return len(s.page.follow) == 2 })

	// One that is hidden while it asks what has become of the launcher leaves it at that.
	b.run("window.own = [fetch, setTimeout]; window.fetch = () => new Promise((done) => { window.answer = done }); source.onerror()")
	hide(true)
	b.run("window.setTimeout = (f) => { f(); return 0 }; answer({status: 200})")
	if js[bool](b, "([window.fetch, window.setTimeout] = own, !!source && source.readyState !== EventSource.CLOSED)") {
		b.t.Error("a hidden tab connects again")
	}
	hide(false)
	lab.Eventually(b.t, patient, "the page and the log go on once more", func() bool { return len(s.page.follow) == 2 })
	b.do(chromedp.KeyEvent(kb.Escape))
	lab.Eventually(b.t, patient, "the log has ended", func() bool { return len(s.page.follow) == 1 })
}

// run runs statements on the page.
func (b *tab) run(statements string) {
	b.t.Helper()
	js[bool](b, "(() => {"+statements+"; return true})()")
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
