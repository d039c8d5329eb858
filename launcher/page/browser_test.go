package page

import (
	"encoding/json"
	"context"
	"testing"
	"time"

	"panteras/internal/lab"

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

// openPage opens the page in a browser and logs in, with keys alone.
func openPage(t *testing.T, address string) *tab {
	t.Helper()
	b := &tab{t: t, ctx: lab.Chromium(t)}
	b.size(1280, 900, 1, "light")
	b.do(chromedp.Navigate("http://"+address+"/"), chromedp.WaitVisible("#token"))
	b.do(chromedp.KeyEvent(secret), chromedp.KeyEvent(kb.Enter))
	b.until("it is live", "document.querySelector('#line.good')")
	return b
}

func TestLook(t *testing.T) {
	w := newWorld(t)
	s := w.serve(t, "")
	b := openPage(t, s.address)
	time.Sleep(5 * time.Second)
	for _, scheme := range []string{"light", "dark"} {
		b.size(1280, 900, 1, scheme)
		lab.Screenshot(t, b.ctx, "desktop-"+scheme)
		b.size(390, 844, 2, scheme)
		lab.Screenshot(t, b.ctx, "phone-"+scheme)
	}
}

func quoted(text string) string {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}
