package consoletest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	b.shows("what changed", ".diff bdi")
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

// Endpoints are named by whoever calls: they are a part of the path.
func TestHostileNamesOnPagesOfKeys(t *testing.T) {
	g := start(t)
	var endpoints []any
	for _, name := range []string{`<svg onload=window.hurt=1>`, "\u202egnp.exe", `"'><b>`, strings.Repeat("W", 128), "👩‍👩‍👧‍👦"} {
		endpoints = append(endpoints, name)
	}
	b := as(t, g.AdminURL, g.AdminKey)
	for i, name := range hostile {
		key := g.Create(map[string]any{"name": name, "owner": name, "metadata": map[string]any{"note": name}})
		for _, endpoint := range endpoints[:i%2*len(endpoints)] {
			uses(t, g, key, 1, "GET", "/v2/"+url.PathEscape(endpoint.(string))+"/x")
		}
		age(t, g, key, 40)
		b.visit("/key?id=" + key.ID)
		b.until(fmt.Sprintf(`document.title.includes(%q.trim().replace(/\s+/g, " ")) && document.querySelector("h1").textContent === %q`, name, name))
		b.until(fmt.Sprintf("[...document.querySelectorAll('#about bdi')].some(e => e.textContent === %q)", "note: "+name))
		b.unhurt("the page of a key")
		if i%2 == 0 {
			continue
		}
		for _, endpoint := range endpoints {
			b.until(fmt.Sprintf("[...document.querySelectorAll('.columns bdi')].some(e => e.textContent === %q)", "serverless/"+endpoint.(string)))
		}
		if i == 1 {
			b.state("hostile-key")
			b.click("#suggest")
			b.has("dialog[open]")
			b.check("mode", "restricted")
			b.check("api:serverless", "restricted")
			b.sees("stays allowed")
			b.until(`document.querySelectorAll("[name='endpoint:serverless']").length >= 5`)
			b.unhurt("a suggestion")
			b.check("mode", "restricted")
			b.check("api:serverless", "none")
			b.sees("5 of 5 requests of the last 30 days would have been refused")
			b.unhurt("what would be refused")
			b.state("hostile-lost")
		}
	}
	b.visit("/?unused=30")
	b.rows(len(hostile) / 2)
	for i := 0; i < len(hostile); i += 2 {
		b.until(fmt.Sprintf("[...document.querySelectorAll('tbody th bdi')].some(e => e.textContent === %q)", hostile[i]))
	}
	b.unhurt("keys that nobody uses")
}

// split runs a command as a shell does that somebody pasted it into, and
// returns its words. There is no other program for it to run.
func split(t *testing.T, text string) []string {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	words := `words() { for word; do printf '%s\0' "$word"; done; }; keywarden() { words "$@"; }; curl() { words "$@"; }` + "\n"
	cmd := exec.Command(sh, "-c", words+text)
	cmd.Dir, cmd.Env = t.TempDir(), []string{"PATH=/nowhere", "KEYWARDEN_ADMIN_KEY=admin"}
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("sh takes %q for something else: %v", text, err)
	}
	if left, err := os.ReadDir(cmd.Dir); err != nil || len(left) > 0 {
		t.Errorf("%q made files: %v, %v", text, left, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// written asks the open dialog for the change as curl and as command, and
// returns the words of both.
func (b *tab) written() (curl, command []string) {
	b.t.Helper()
	b.on("dialog .as", "e.open = true; e.querySelector('.as-out').replaceChildren()")
	b.click("dialog .as > button")
	b.has("dialog .as-out pre")
	read := func(what string) []string {
		text, _ := b.evaluate(fmt.Sprintf(`document.querySelector("dialog pre[aria-label=%s]").textContent`, what)).(string)
		return split(b.t, text)
	}
	return read("curl"), read("Command")
}

func TestHostileNamesAreOneWordOfTheShell(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	for _, dialog := range []string{"#create", "#edit-" + key.ID} {
		b.click(dialog)
		b.has("dialog[open]")
		for i, name := range hostile {
			if dialog != "#create" && i%3 > 0 { // the same words again
				continue
			}
			b.enter("#f-name", name)
			b.enter("#f-owner", name)
			curl, command := b.written()
			want := []string{"keys", "create", "--all", "--owner=" + name, "--", name}
			if dialog != "#create" {
				want = []string{"keys", "edit", key.ID, "--name=" + name, "--owner=" + name}
			}
			if diff := cmp.Diff(slices.DeleteFunc(want, func(word string) bool { return word == "" }), command); diff != "" {
				t.Errorf("the command for %q (-want +got):\n%s", name, diff)
			}
			var sent struct{ Name, Owner string }
			if err := json.Unmarshal([]byte(curl[len(curl)-1]), &sent); err != nil || sent.Name != name || sent.Owner != name {
				t.Errorf("curl for %q sends %q, %v", name, curl, err)
			}
		}
		b.press("\x1b")
		b.lacks("dialog")
	}
	b.visit("/apis")
	for i, name := range hostile {
		if strings.Contains(name, "/") || i%2 == 0 {
			continue
		}
		b.click("#add-serverless")
		b.enter("#f-endpoint", name)
		b.enter("#f-title", name)
		curl, command := b.written()
		if diff := cmp.Diff([]string{"apis", "register", "serverless/" + name, "--title=" + name}, command); diff != "" {
			t.Errorf("the command for %q (-want +got):\n%s", name, diff)
		}
		if want := "/v1/apis/serverless/endpoints/" + url.PathEscape(name); !slices.ContainsFunc(curl, func(word string) bool { return strings.HasSuffix(word, want) }) {
			t.Errorf("curl for %q goes to %q, want %q", name, curl, want)
		}
		b.click("dialog button.primary")
		b.lacks("dialog")
		b.unhurt("an endpoint")
		b.evaluate(fmt.Sprintf(`document.getElementById(%q).click(); 1`, "forget:serverless/"+name))
		b.has("dialog[open]")
		b.until(fmt.Sprintf(`document.querySelector("dialog h2 code").textContent === %q`, name))
		b.click("button.revoke")
		b.lacks("dialog")
	}
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
