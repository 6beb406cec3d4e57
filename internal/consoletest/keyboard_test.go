package consoletest

import (
	"strings"
	"testing"
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
	if got := b.focused(); strings.HasPrefix(got, "BODY") {
		t.Error("the focus is lost")
	}
}

func TestCopying(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#create")
	b.has("dialog[open]")
	b.click("dialog button.primary")
	b.has("#secret")
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
