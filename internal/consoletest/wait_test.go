package consoletest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// patience bounds how long a page may take to become what a test expects, on
// a machine that does much else. It is no measure: only what fails waits so
// long.
const patience = 90 * time.Second

// again is how often a page is asked.
const again = 15 * time.Millisecond

// still is what a page is when nothing of it is on its way: it is whole, its
// scripts have run, htmx (which begins a moment later) listens to all of it,
// and no answer is awaited or being put in place.
const still = `(document.readyState === "complete" && !document.querySelector(":is([hx-get], [hx-post]):not([data-htmx-powered])") && !document.querySelector(".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added"))`

// ask evaluates an expression again and again until done says so, or patience
// ends. A page that is being left can't be asked: then the next one is.
func (b *tab) ask(expression string, done func(any) bool) any {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		value, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](expression, chromedp.EvalAwaitPromise, chromedp.EvalAsValue))
		if err == nil && done(value) {
			return value
		}
		if err != nil && !passing(err) || time.Now().After(deadline) {
			text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
			b.t.Fatalf("never held: %s (now %v, %v)\n%s", expression, value, err, text)
		}
		<-time.After(again)
	}
}

// passing reports whether the error comes from leaving a page, and goes by.
// A script that fails is another thing, unless its page was going.
func passing(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	var thrown *chromedp.ExceptionError
	if errors.As(err, &thrown) {
		return strings.Contains(err.Error(), "of null") // the document has no body yet
	}
	return true
}

// evaluate returns the value of a script, in a page that is still.
func (b *tab) evaluate(script string) any {
	b.t.Helper()
	b.settled()
	return b.ask(script, func(any) bool { return true })
}

// until waits for a JavaScript expression to hold.
func (b *tab) until(expression string) {
	b.t.Helper()
	b.ask("Boolean("+expression+")", func(value any) bool { return value == true })
}

// settled waits until the page is whole and nothing of it is on its way.
func (b *tab) settled() { b.t.Helper(); b.until(still) }

// sees waits until the page, or the dialog in front of it, has the text.
func (b *tab) sees(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s && document.body.innerText.includes(%q)", still, text))
}

func (b *tab) seesNot(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s && !document.body.innerText.includes(%q)", still, text))
}

func (b *tab) has(selector string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s && document.querySelector(%q)", still, selector))
}

func (b *tab) lacks(selector string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s && !document.querySelector(%q)", still, selector))
}

// rows waits until the table has so many rows of keys.
func (b *tab) rows(n int) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s && document.querySelectorAll('tbody tr:not(.more)').length === %d", still, n))
}

// focusOn waits until the focus is on what has this tag, id and text.
func (b *tab) focusOn(what string) {
	b.t.Helper()
	b.ask(still+" ? "+focus+" : '(the page moves)'", func(value any) bool {
		text, ok := value.(string)
		return ok && strings.HasPrefix(text, what)
	})
}

// focus is what has the focus, as tag, id and text.
const focus = `(e => e.tagName + '#' + e.id + ' ' + e.innerText.slice(0, 40))(document.activeElement)`

func (b *tab) focused() string {
	b.t.Helper()
	text, _ := b.evaluate(focus).(string)
	return text
}

// on does something to the element e, once it is there and the page is still.
func (b *tab) on(selector, do string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s && (e => { if (!e) return false; %s; return true })(document.querySelector(%q))", still, do, selector))
}

// spot is where the element can be clicked: it does not move, and nothing
// lies over it.
const spot = `new Promise(done => {
	const e = %s && document.querySelector(%q);
	if (!e || e.disabled) return done(null);
	e.scrollIntoView({block: "nearest", inline: "nearest"});
	const box = () => { const r = e.getClientRects()[0]; return r ? [r.x + r.width / 2, r.y + r.height / 2] : [NaN, NaN] };
	const [x, y] = box();
	setTimeout(() => {
		const [x2, y2] = box();
		const hit = x === x2 && y === y2 && document.elementFromPoint(x, y);
		done(hit && (e.contains(hit) || hit.contains(e)) ? [x, y] : null);
	}, 10);
})`

// click clicks the middle of an element with the mouse.
func (b *tab) click(selector string) {
	b.t.Helper()
	at, _ := b.ask(fmt.Sprintf(spot, still, selector), func(value any) bool { return value != nil }).([]any)
	x, _ := at[0].(float64)
	y, _ := at[1].(float64)
	b.do(chromedp.MouseClickXY(math.Round(x), math.Round(y)))
}

// enter replaces what a field holds.
func (b *tab) enter(selector, text string) {
	b.t.Helper()
	b.on(selector, "e.focus(); e.select()")
	if text == "" {
		b.press("\b")
		return
	}
	_, err := chromedp.Call(b.ctx, input.InsertText, input.InsertTextParams{Text: text})
	b.must(err)
}

// choose takes an option of a menu.
func (b *tab) choose(selector, value string) {
	b.t.Helper()
	b.on(selector, fmt.Sprintf("e.value = %q; e.dispatchEvent(new Event('change', {bubbles: true}))", value))
}

// check takes a radio button of the dialog.
func (b *tab) check(name, value string) {
	b.t.Helper()
	b.on(fmt.Sprintf(`dialog [name="%s"][value="%s"]`, name, value), "e.click()")
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	text, _ := b.evaluate(fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector)).(string)
	return text
}

// press types keys, wherever the focus is.
func (b *tab) press(keys string) {
	b.t.Helper()
	b.settled()
	b.do(chromedp.KeyEvent(keys))
}
