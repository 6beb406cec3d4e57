package consoletest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// tabTo presses Tab until the focus is where expected.
func (b *tab) tabTo(what string) {
	b.t.Helper()
	for range 60 {
		if strings.Contains(b.focused(), what) {
			return
		}
		b.press("\t")
	}
	b.t.Fatalf("Tab never reaches %q; the focus is on %s", what, b.focused())
}

// tabBackTo presses Shift and Tab until the focus is where expected.
func (b *tab) tabBackTo(what string) {
	b.t.Helper()
	for range 60 {
		if strings.Contains(b.focused(), what) && b.evaluate("document.activeElement.type") == "radio" {
			return
		}
		b.do(chromedp.KeyEvent("\t", chromedp.KeyModifiers(chromedp.ModifierShift)))
	}
	b.t.Fatalf("Shift and Tab never reach %q; the focus is on %s", what, b.focused())
}

func TestEverythingByKeyboard(t *testing.T) {
	g := start(t)
	b := open(t, g.AdminURL)
	b.has("#key") // which has the focus
	b.press(g.AdminKey + "\r")
	b.has("#keys")
	b.tabTo("BUTTON#create")
	b.press("\r")
	b.has("dialog[open]")
	b.press("typed")
	b.press("\t\t")
	b.press(" ")
	b.until("document.activeElement.name === 'mode'")
	b.tabTo("SELECT#f-expiry")
	b.tabTo("BUTTON# Create")
	b.press("\r")
	b.has("#secret")
	b.tabTo("BUTTON# I have saved it")
	b.press("\r")
	b.lacks("#secret")
	b.tabTo("BUTTON#delete-")
	b.press("\r")
	b.has("dialog[open]")
	b.tabTo("BUTTON# Revoke key")
	b.press("\r")
	b.lacks("dialog")
	b.seesNot("typed")
	b.focusOn("H1#") // what was deleted can't have it
}

func TestSwitchingByKeyboard(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	for _, state := range []string{"false", "true"} {
		b.tabTo("BUTTON#switch-" + key.ID)
		b.press(" ")
		b.has("dialog[open]")
		b.focusOn("BUTTON# Cancel")
		b.press("\r") // whoever presses on without reading has changed nothing
		b.lacks("dialog")
		b.focusOn("BUTTON#switch-" + key.ID)
		b.press(" ")
		b.has("dialog[open]")
		b.press("\t")
		b.focusOn("BUTTON# Yes")
		b.press("\r")
		b.until(`document.querySelector("#switch-` + key.ID + `").getAttribute("aria-checked") === "` + state + `"`)
		b.focusOn("BUTTON#switch-" + key.ID)
	}
}

func TestOtherPagesByKeyboard(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	b.visit("/try")
	b.press("\t")
	b.focusOn("A# Skip to content")
	b.press("\r")
	b.tabTo("INPUT#t-key")
	b.press(key.Prefix + "\t")
	b.press("\t/rest/users\r") // the path replaces what is selected
	b.sees("Allowed")
	b.tabTo("BUTTON# Check")

	b.visit("/apis")
	b.tabTo("BUTTON#add-serverless")
	b.press("\r")
	b.has("dialog[open]")
	b.focusOn("INPUT#f-endpoint")
	b.press("abc123\r")
	b.lacks("dialog")
	b.focusOn("BUTTON#add-serverless")
	for _, opener := range []string{"title:serverless/abc123", "forget:serverless/abc123"} {
		b.tabTo("BUTTON#" + opener)
		b.press("\r")
		b.has("dialog[open]")
		b.press("\x1b")
		b.lacks("dialog")
		b.focusOn("BUTTON#" + opener)
	}
	b.press("\r")
	b.has("dialog[open]")
	b.focusOn("BUTTON# Cancel")
	b.tabTo("BUTTON# Remove")
	b.press("\r")
	b.lacks("dialog")
	b.focusOn("H1#")
}

func TestEditingAndRotatingByKeyboard(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	b.tabTo("BUTTON#edit-" + key.ID)
	b.press("\r")
	b.has("dialog[open]")
	b.focusOn("INPUT#f-name")
	b.press(kb.End + "-2")
	b.tabTo("SELECT#f-admin") // past the owner, the cards, the expiry
	b.tabBackTo("INPUT#")
	b.until(`document.activeElement.name === "mode"`)
	b.press(kb.ArrowDown + kb.ArrowDown) // from All to Read Only
	b.until(`document.querySelector("[name=mode]:checked").value === "read_only"`)
	b.press("\r")
	b.lacks("dialog")
	b.focusOn("BUTTON#edit-" + key.ID)
	changed := g.Admin("GET", "/v1/keys/"+key.ID, nil)
	if changed.Text("name") != "ci-2" || changed.Text("permissions.mode") != "read_only" {
		t.Errorf("the key is %s", changed)
	}

	b.press("\t")
	b.focusOn("BUTTON#rotate-" + key.ID)
	b.press(" ")
	b.has("dialog[open]")
	b.focusOn("SELECT#f-grace")
	b.press("7") // typing finds the option
	b.until(`document.querySelector("#f-grace").value === "7d"`)
	b.tabTo("BUTTON# Rotate")
	b.press("\r")
	b.has("#secret")
	b.focusOn("SECTION#secret")
	b.tabTo("BUTTON# I have saved it")
	b.press("\r")
	b.lacks("#secret")
	b.focusOn("H1#")
}

func TestDialogsKeepTheFocusAndGiveItBack(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	for _, opener := range []string{"#create", "#edit-" + key.ID, "#switch-" + key.ID, "#rotate-" + key.ID, "#delete-" + key.ID} {
		b.on(opener, "e.focus()")
		b.press("\r")
		b.has("dialog[open]")
		for range 40 { // around the dialog at least once, and never behind it
			b.press("\t")
			b.until(`document.activeElement === document.body || document.activeElement.closest("dialog")`)
		}
		b.press("\x1b")
		b.lacks("dialog")
		b.focusOn("BUTTON" + opener)
	}
}

func TestNothingMovesForWhoWantsItStill(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	moving := func() any {
		b.on("#create", "e.click()")
		b.has("dialog[open]")
		n := b.evaluate(`[...document.querySelectorAll("*")].flatMap(e => [null, "::before", "::after", "::backdrop"].map(p => getComputedStyle(e, p)))
			.filter(s => [...s.transitionDuration.split(","), ...s.animationDuration.split(",")].some(d => parseFloat(d) > 0) && s.transitionProperty !== "none").length`)
		b.press("\x1b")
		b.lacks("dialog")
		return n
	}
	if got := moving(); got != float64(0) {
		t.Errorf("%v parts of the page move", got)
	}
	b.media("light", "no-preference")
	if moving() == float64(0) {
		t.Error("nothing moves for anybody, so this test sees nothing")
	}
}

func TestCopying(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	b.creates()
	b.evaluate(`window.copied = []; navigator.clipboard.writeText = async text => { copied.push(text); }; 1`)
	b.click(".secret-text")
	b.sees("Copied to the clipboard.")
	if got := b.evaluate("copied[0]"); got != b.text(".secret-text code") {
		t.Errorf("copied %v", got)
	}
	b.state("copied")
	b.evaluate(`navigator.clipboard.writeText = async () => { throw new Error("no"); }; 1`)
	b.click(".secret .primary")
	b.sees("press Ctrl+C")
	if got := b.evaluate("getSelection().toString()"); got != b.text(".secret-text code") {
		t.Errorf("selected %v", got)
	}
	b.click("[data-saved]")
}

func TestCopyingCurlAndCommand(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	b.evaluate(`window.copied = []; navigator.clipboard.writeText = async text => { copied.push(text); }; 1`)
	for i, dialog := range []string{"delete", "switch"} {
		b.click("#" + dialog + "-" + key.ID)
		b.click("dialog details summary")
		for j, what := range []string{"Command", "curl"} {
			b.click(`pre[aria-label="` + what + `"] + [data-copy]`)
			b.until(fmt.Sprintf(`copied[%d] === document.querySelector("pre[aria-label=%s]").textContent`, 2*i+j, what))
			b.until(`document.querySelector("#says").textContent === "Copied."`)
		}
		b.press("\x1b")
		b.lacks("dialog")
	}
	if got, want := b.evaluate("copied[0]"), "keywarden keys delete "+key.ID; got != want {
		t.Errorf("copied %v, want %s", got, want)
	}
}
