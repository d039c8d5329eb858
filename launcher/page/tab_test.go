package page

import (
	"context"
	_ "embed" // the checks of a page
	"encoding/json"
	"strings"
	"testing"

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

// loaded waits as until does, while the page loads itself anew: there is nothing to ask then.
func (b *tab) loaded(what, expression string) {
	b.t.Helper()
	lab.Eventually(b.t, patient, what, func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, patient)
		defer cancel()
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		return err == nil && ok
	})
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
