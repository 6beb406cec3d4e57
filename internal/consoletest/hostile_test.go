package consoletest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// hostile are names that somebody could give a key to do harm with, or just
// to break a page.
var hostile = []string{
	`<script>window.hurt = 1</script>`,
	`"><img src=x onerror="window.hurt = 1">`,
	`' onmouseover='window.hurt=1`,
	`javascript:window.hurt=1`,
	`</title></textarea></script><svg onload=window.hurt=1>`,
	`{{.Secret}} ${window.hurt=1} {{constructor.constructor('window.hurt=1')()}}`,
	"\u202egnp.exe\u202c", // right to left override
	"\u2066\u2067\u2068 isolates left open",
	"مرحبا بالعالم, key",
	strings.Repeat("W", 100),
	strings.Repeat("👩‍👩‍👧‍👦", 14),
	"Z" + strings.Repeat("\u0301", 60), // one letter, sixty accents
	"<hx-partial hx-target=\"#keys\">gone</hx-partial>",
	`<div hx-get="/v1/keys" hx-trigger="load" hx-target="body">`,
	"&lt;b&gt; &amp;quot; %3Cscript%3E",
	"-rf --all $(reboot) `reboot` '; reboot #",
}

// hostileKeys makes a key and an endpoint of each name.
func hostileKeys(t *testing.T, g *e2e.Gateway) map[string]e2e.Key {
	t.Helper()
	made := map[string]e2e.Key{}
	for i, name := range hostile {
		made[name] = g.Create(map[string]any{"name": name, "owner": name})
		if answer := g.Admin("PUT", fmt.Sprintf("/v1/apis/serverless/endpoints/e%d", i), map[string]any{"title": name}); answer.Status != 200 {
			t.Fatal(answer)
		}
	}
	return made
}

// unhurt fails if a name did something, or became an element.
func (b *tab) unhurt(where string) {
	b.t.Helper()
	if b.evaluate("window.hurt ?? 0") != float64(0) {
		b.t.Fatalf("%s: a name was run", where)
	}
	if got := b.evaluate(`document.querySelectorAll("main :is(script, img, hx-partial, textarea), #dialog :is(script, img, hx-partial, textarea), [onmouseover], [onload], [hx-trigger=load]").length`); got != float64(0) {
		b.t.Errorf("%s: a name became %v elements", where, got)
	}
}

// shows fails unless each name is the text of one of the elements.
func (b *tab) shows(where, selector string) {
	b.t.Helper()
	texts, _ := b.evaluate(fmt.Sprintf("[...document.querySelectorAll(%q)].map(e => e.textContent)", selector)).([]any)
	for _, name := range hostile {
		if !slices.Contains(texts, any(name)) {
			b.t.Errorf("%s: does not show %q as it is", where, name)
		}
	}
}

func TestHostileNamesAreShownAsText(t *testing.T) {
	g := start(t)
	made := hostileKeys(t, g)
	b := as(t, g.AdminURL, g.AdminKey)
	b.shows("the list", "tbody th bdi")
	b.shows("the list's owners", "td.owner bdi")
	b.unhurt("the list")
	b.state("hostile-keys")
	for i, name := range hostile {
		for _, dialog := range []string{"edit", []string{"switch", "rotate", "delete"}[i%3]} {
			b.click("#" + dialog + "-" + made[name].ID)
			b.has("dialog[open]")
			b.unhurt(dialog)
			if dialog == "edit" {
				if got := b.evaluate("document.querySelector('#f-name').value"); got != name {
					t.Errorf("editing %q begins with %v", name, got)
				}
			} else if got := b.evaluate("document.querySelector('dialog h2 bdi').textContent"); got != name {
				t.Errorf("%s asks about %v, not %q", dialog, got, name)
			}
			if i == 9 || i == 11 { // the longest
				b.state("hostile-" + dialog)
			}
			b.click("dialog [data-close]")
			b.lacks("dialog")
		}
	}
}

func TestHostileNamesOnTheOtherPages(t *testing.T) {
	g := start(t)
	made := hostileKeys(t, g)
	b := as(t, g.AdminURL, g.AdminKey)
	b.visit("/audit")
	b.shows("the audit", "td.owner bdi")
	b.unhurt("the audit")
	b.state("hostile-audit")
	b.visit("/apis")
	b.shows("the APIs", "td bdi")
	b.unhurt("the APIs")
	b.state("hostile-apis")
	b.visit("/try")
	for _, name := range hostile {
		b.enter("#t-key", made[name].Prefix)
		b.enter("#t-path", "/rest/users")
		b.click("#try button.primary")
		b.until(fmt.Sprintf("document.querySelector('.verdict bdi')?.textContent === %q", name))
		b.unhurt("a decision")
	}
	b.state("hostile-try")
	b.visit("/")
	b.click("#create")
	b.check("mode", "restricted")
	b.check("api:serverless", "restricted")
	b.shows("the form", ".endpoint bdi")
	b.unhurt("the form")
	b.enter("#f-name", hostile[0])
	b.click("dialog details summary")
	b.click("dialog details button")
	b.sees(hostile[0])
	b.unhurt("the command")
	b.click("dialog button.primary")
	b.has("#secret")
	b.unhurt("the secret's panel")
	b.state("hostile-shown")
	b.click("[data-saved]")
}

// What comes back out of an address or a field is no better than a name.
func TestHostileTextsOfAddressesAndFields(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	for _, text := range hostile {
		for _, page := range []string{"/?q=X&owner=X", "/?api=X&sort=X&status=X", "/audit?key=X&actor=X", "/try?key=X", "/delete?id=X"} {
			b.visit(strings.ReplaceAll(page, "X", url.QueryEscape(text)))
			b.unhurt(page)
		}
	}
	b.visit("/")
	b.click("#edit-" + key.ID)
	b.enter("#f-owner", hostile[1])
	g.Patch(key.ID, map[string]any{"name": hostile[0]})
	b.click("dialog button.primary")
	b.sees("Somebody changed this key")
	b.sees(hostile[1])
	b.unhurt("a conflict")
}

func TestHostileNameOfWhoIsSignedIn(t *testing.T) {
	g := start(t)
	for _, name := range hostile[:3] {
		b := as(t, g.AdminURL, g.Create(map[string]any{"name": name, "admin": "write"}).Secret)
		if got := b.evaluate("document.querySelector('.me bdi').textContent"); got != name {
			t.Errorf("%q is said to be %v", name, got)
		}
		b.unhurt("the bar")
	}
}
