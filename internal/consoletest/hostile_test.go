package consoletest

import (
	"fmt"
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

func TestHostileNamesAreShownAsText(t *testing.T) {
	g := start(t)
	ids := map[string]e2e.Key{}
	for _, name := range hostile {
		ids[name] = g.Create(map[string]any{"name": name, "owner": name})
		if answer := g.Admin("PUT", "/v1/apis/serverless/endpoints/e"+fmt.Sprint(len(ids)), map[string]any{"title": name}); answer.Status != 200 {
			t.Fatal(answer)
		}
	}
	b := as(t, g.AdminURL, g.AdminKey)
	unhurt := func(where string) {
		t.Helper()
		if b.evaluate("window.hurt ?? 0") != float64(0) {
			t.Fatalf("%s: a name was run", where)
		}
		if got := b.evaluate(`document.querySelectorAll("main :is(script, img, hx-partial, textarea), #dialog :is(script, img, hx-partial, textarea), [onmouseover], [onload], [hx-trigger=load]").length`); got != float64(0) {
			t.Errorf("%s: a name became %v elements", where, got)
		}
	}
	shown := func(where, selector string) {
		t.Helper()
		for _, name := range hostile {
			if b.evaluate(fmt.Sprintf("[...document.querySelectorAll(%q)].some(e => e.textContent === %q)", selector, name)) != true {
				t.Errorf("%s: does not show %q as it is", where, name)
			}
		}
	}
	shown("the list", "tbody th bdi")
	shown("the list's owners", "td.owner bdi")
	unhurt("the list")
	b.state("hostile-keys")
	for i, name := range hostile {
		for _, dialog := range []string{"edit", "switch", "rotate", "delete"} {
			b.click("#" + dialog + "-" + ids[name].ID)
			b.has("dialog[open]")
			unhurt(dialog)
			if dialog == "edit" && b.evaluate("document.querySelector('#f-name').value") != name {
				t.Errorf("editing %q begins with %v", name, b.evaluate("document.querySelector('#f-name').value"))
			}
			if i == 9 {
				b.state("hostile-" + dialog)
			}
			b.click("dialog [data-close]")
			b.lacks("dialog")
		}
	}
	b.visit("/audit")
	b.has("#audit")
	shown("the audit", "td.owner bdi")
	unhurt("the audit")
	b.state("hostile-audit")
	b.visit("/apis")
	shown("the APIs", "td bdi")
	unhurt("the APIs")
	b.state("hostile-apis")
	b.visit("/")
	b.click("#create")
	b.check("mode", "restricted")
	b.check("api:serverless", "restricted")
	shown("the form", ".endpoint bdi")
	unhurt("the form")
	b.enter("#f-name", hostile[0])
	b.click("dialog button.primary")
	b.has("#secret")
	unhurt("the secret's panel")
	b.state("hostile-shown")
	b.click("[data-saved]")
}
