package page

import (
	"context"
	_ "embed" // the checks of a page
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"panteras/internal/lab"
	"panteras/launcher"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// tab is a browser that looks at the page.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patient)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("the browser: %v\n%s", err, b.text("body"))
	}
}

// js is what an expression is.
func js[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patient)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("the browser: %s: %v", expression, err)
	}
	return value
}

// text is what a person reads in the first element of a selector.
func (b *tab) text(selector string) string {
	ctx, cancel := context.WithTimeout(b.ctx, patient)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("(document.querySelector("+quoted(selector)+") || {innerText: ''}).innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

// until waits for an expression to become true.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	lab.Eventually(b.t, patient, what+"; the page says:\n"+b.text("body"), func() bool { return js[bool](b, "!!("+expression+")") })
}

// size makes the window of a computer or a telephone, light or dark.
func (b *tab) size(width, height int64, scale float64, scheme string) {
	b.t.Helper()
	b.do(
		chromedp.EmulateViewport(width, height, chromedp.EmulateScale(scale)),
		chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}})
			return err
		}),
	)
}

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

// openPage opens the login of a page.
func openPage(t *testing.T, chromium context.Context, address string) *tab {
	t.Helper()
	b := &tab{t: t, ctx: lab.Profile(t, chromium)}
	b.size(1280, 900, 1, "light")
	b.do(chromedp.Navigate("http://"+address+"/"), chromedp.WaitVisible("#token"))
	return b
}

// login types the token.
func (b *tab) login(token string) {
	b.t.Helper()
	b.do(chromedp.Focus("#token"), chromedp.KeyEvent(token), chromedp.KeyEvent(kb.Enter)) // a tab beside others may not have it yet
}

// live waits until the page follows the launcher.
func (b *tab) live() {
	b.t.Helper()
	b.until("it is live", "document.querySelector('#line.good')")
}

// focus puts the focus on a control, as a person does who has come there by tab.
func (b *tab) focus(selector string) {
	b.t.Helper()
	b.until(selector+" is there", "document.querySelector("+quoted(selector)+")")
	b.do(chromedp.Evaluate[chromedp.Void]("void document.querySelector(" + quoted(selector) + ").focus({focusVisible: true})"))
}

// press presses the key for a control that it has put the focus on.
func (b *tab) press(selector string) {
	b.t.Helper()
	b.focus(selector)
	b.do(chromedp.KeyEvent(kb.Enter))
}

// confirm says yes, with keys alone.
func (b *tab) confirm(text string) {
	b.t.Helper()
	b.until("it asks "+text, "document.querySelector('#confirm[open]')")
	if got := b.text("#confirm-text"); !strings.Contains(got, text) {
		b.t.Errorf("it asks %q, not %q", got, text)
	}
	b.do(chromedp.KeyEvent(kb.Tab))
	b.until("the answer has the focus", "document.activeElement.id === 'confirm-yes'")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("the question is gone", "!document.querySelector('#confirm[open]')")
}

// says waits for the notice.
func (b *tab) says(text string) {
	b.t.Helper()
	b.until("the notice "+text, "!document.getElementById('notice').hidden && document.getElementById('notice').innerText.includes("+quoted(text)+")")
}

// badge waits for the state of a row.
func (b *tab) badge(part, key, state string) {
	b.t.Helper()
	b.until(key+" is "+state, "(document.querySelector('#"+part+" [data-key="+quoted(key)+"] .badge') || {}).innerText === "+quoted(state))
}

//go:embed testdata/accessible.js
var accessible string

// usable checks what is shown, light and dark, on a computer and on a telephone.
func (b *tab) usable(what string) {
	b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 360} {
			b.size(width, 800, 1, scheme)
			for _, problem := range js[[]string](b, accessible) {
				b.t.Errorf("%s, %s, %d pixels: %s", what, scheme, width, problem)
			}
		}
	}
	b.size(1280, 900, 1, "light")
}

func quoted(text string) string {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(encoded)
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
