package consoletest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// creates makes a key as the form stands when it opens, whose secret is shown.
func (b *tab) creates() {
	b.t.Helper()
	b.click("#create")
	b.has("dialog[open]")
	b.click("dialog button.primary")
	b.has("#secret")
}

// addsEndpoint adds a row for an endpoint of the serverless functions.
func (b *tab) addsEndpoint() {
	b.t.Helper()
	b.evaluate(`[...document.querySelectorAll(".api")].find(a => a.innerText.includes("Serverless")).querySelector("[data-add-endpoint]").click(); 1`)
}

// created makes the key of the open form and returns what the API says of it.
func (b *tab) created(g *e2e.Gateway) e2e.Answer {
	b.t.Helper()
	b.click("dialog button.primary")
	b.has("#secret")
	secret := b.text(".secret-text code")
	b.click("[data-saved]")
	list := g.Admin("GET", "/v1/keys?limit=1", nil)
	key := list.Field("data").([]any)[0].(map[string]any)
	if !strings.HasPrefix(secret, key["prefix"].(string)) {
		b.t.Errorf("the newest key is %v", key)
	}
	return g.Admin("GET", "/v1/keys/"+key["id"].(string), nil)
}

func TestCreateRestrictedKey(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#create")
	b.enter("#f-name", "worker")
	b.check("mode", "restricted")
	b.until(`[...document.querySelectorAll(".seg input:checked")].every(r => r.value === "none")`)
	b.check("api:graphql", "read")
	b.check("api:rest", "restricted")
	b.choose(`[name="access:rest"]`, "write")
	b.check("api:serverless", "restricted")
	b.addsEndpoint()
	b.focusOn("INPUT")
	b.press("abc123")
	if got := b.evaluate(`[...document.querySelectorAll("[name='access:serverless']")].map(e => e.value).join()`); got != "none" {
		b.t.Errorf("a new endpoint begins with access %v", got)
	}
	b.choose(`[name="access:serverless"]`, "read")
	b.state("create-restricted")
	b.click("dialog details summary")
	b.click("dialog details button")
	b.sees("keywarden keys create --allow=graphql=read --allow=rest/orders=write --allow=serverless/abc123=read -- worker")
	b.state("create-as")
	key := b.created(g)
	want := map[string]any{"mode": "restricted", "apis": map[string]any{
		"graphql": map[string]any{"access": "read"}, "rest": map[string]any{"access": "restricted", "endpoints": map[string]any{"orders": "write"}},
		"serverless": map[string]any{"access": "restricted", "endpoints": map[string]any{"abc123": "read"}},
	}}
	if diff := cmp.Diff(want, key.Field("permissions")); diff != "" {
		t.Error(diff)
	}
}

func TestEndpointWithAccessNeedsItsID(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#create")
	b.enter("#f-name", "worker")
	b.check("mode", "restricted")
	b.check("api:serverless", "restricted")
	b.addsEndpoint()
	b.choose(`[name="access:serverless"]`, "write")
	b.click("dialog button.primary")
	b.sees("An endpoint of serverless is given access and has no id")
	b.focusOn("P#e-permissions")
	b.state("create-endpoint-without-id")
	b.choose(`[name="access:serverless"]`, "none") // such a row says nothing
	b.created(g)
}

func TestCommandOfAKeyThatOpensNothing(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#create")
	b.enter("#f-name", "nothing yet")
	b.check("mode", "restricted")
	_, command := b.written()
	if diff := cmp.Diff([]string{"keys", "create", "--allow=none", "--", "nothing yet"}, command); diff != "" {
		t.Fatal(diff)
	}
	run := g.Command(command...)
	run.Env = append(run.Env, "KEYWARDEN_ADDRESS="+g.AdminURL, "KEYWARDEN_ADMIN_KEY="+g.AdminKey)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("the command says %s, %v", out, err)
	}
	b.enter("#f-name", "")
	b.click("dialog .as > button")
	_, command = b.written()
	if diff := cmp.Diff([]string{"keys", "create", "--allow=none", "--unnamed"}, command); diff != "" {
		t.Fatal(diff)
	}
	run = g.Command(append(command, "--json")...)
	run.Env = append(run.Env, "KEYWARDEN_ADDRESS="+g.AdminURL, "KEYWARDEN_ADMIN_KEY="+g.AdminKey)
	out, err := run.Output()
	if err != nil {
		t.Fatalf("the command for a key without a name: %v", err)
	}
	var unnamed struct{ Name, Prefix string }
	if err := json.Unmarshal(out, &unnamed); err != nil || unnamed.Name == "" || unnamed.Name != unnamed.Prefix {
		t.Errorf("made %s, %v", out, err)
	}
	b.press("\x1b")
	b.lacks("dialog")
	b.reload()
	b.sees("nothing yet")
	b.sees(unnamed.Prefix)
	b.sees("Restricted: nothing")
}

func TestSetAllTo(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#create")
	b.check("mode", "restricted")
	b.click("[data-set-all=read]")
	key := b.created(g)
	for _, api := range []string{"graphql", "serverless", "rest"} {
		if got := key.Text("permissions.apis." + api + ".access"); got != "read" {
			t.Errorf("access to %s is %q", api, got)
		}
	}
	if key.Text("name") != key.Text("prefix") {
		t.Errorf("a key without a name is called %q", key.Text("name"))
	}
}

func TestExpiryMenu(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	for word, after := range map[string]time.Duration{"30m": 30 * time.Minute, "1d": 24 * time.Hour, "1y": 365 * 24 * time.Hour} {
		b.click("#create")
		b.has("dialog[open]")
		b.choose("#f-expiry", word)
		ends, err := time.Parse(time.RFC3339, b.created(g).Text("expires_at"))
		if off := time.Until(ends) - after; err != nil || off > 0 || off < -time.Minute {
			t.Errorf("%s ends %s off, %v", word, off, err)
		}
	}
	b.click("#create")
	b.has("dialog[open]")
	b.choose("#f-expiry", "date")
	b.until("document.querySelector('#h-expiry').textContent === ''") // the field below says it
	b.choose("[name=date]", "2099-06-01T12:30")
	want, _ := b.evaluate(`new Date("2099-06-01T12:30").toISOString().replace(".000", "")`).(string)
	if got := b.created(g).Text("expires_at"); got != want {
		t.Errorf("it ends at %s, want %s", got, want)
	}
}

func TestExpiryIsSaidInTheVisitorsOwnTime(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci", "expires_at": "2099-06-01T12:30:00Z"})
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#create")
	b.has("dialog[open]")
	b.until("document.querySelector('#h-expiry').textContent === 'It works until somebody disables or deletes it'")
	const said = `new Intl.DateTimeFormat(undefined, {dateStyle: "full", timeStyle: "short"}).format(%s) === document.querySelector("#h-expiry").textContent`
	b.choose("#f-expiry", "30d")
	b.until(fmt.Sprintf(said, "Date.now() + 30*24*3600*1000") + " || " + fmt.Sprintf(said, "Date.now() + 30*24*3600*1000 - 60*1000"))
	b.click("dialog [data-close]")
	b.lacks("dialog")
	b.click("#edit-" + key.ID)
	b.has("dialog[open]")
	b.until(fmt.Sprintf(said, `new Date("2099-06-01T12:30:00Z")`))
}

func TestFaultsStandBesideTheirFields(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#create")
	b.enter("#f-name", strings.Repeat("n", 101))
	b.choose("#f-expiry", "date")
	b.choose("[name=date]", "2001-01-01T00:00")
	b.click("dialog button.primary")
	b.has("#e-name")
	b.has("#e-expiry")
	b.focusOn("INPUT#f-name")
	b.state("create-faults")
	b.enter("#f-name", "short")
	b.click("dialog button.primary")
	b.lacks("#e-name")
	b.focusOn("SELECT#f-expiry")
	b.click("dialog [data-close]")
	b.lacks("dialog")
	b.focusOn("BUTTON#create")
	if list := g.Admin("GET", "/v1/keys", nil); len(list.Field("data").([]any)) != 1 {
		t.Error("a key was made")
	}
}

func TestDoubleClickMakesOneKey(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#create")
	b.has("dialog[open]")
	b.evaluate(`{const b = document.querySelector("dialog button.primary"); b.click(); b.click(); b.form.requestSubmit(); 1}`)
	b.has("#secret")
	b.state("shown-only-one")
	if list := g.Admin("GET", "/v1/keys", nil); len(list.Field("data").([]any)) != 2 {
		t.Errorf("the keys are %s", list)
	}
	b.click("[data-saved]")
}

func TestSecretIsNowhereAfterwards(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	b.creates()
	secret := b.text(".secret-text code")
	b.click("[data-saved]")
	b.lacks("#secret")
	look := `document.documentElement.outerHTML + location.href + JSON.stringify(history.state) + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie`
	nowhere := func(when string) {
		t.Helper()
		text, _ := b.evaluate(look).(string)
		if text == "" || strings.Contains(text, secret) || strings.Contains(text, secret[12:]) {
			t.Errorf("%s the secret is still in the page", when)
		}
	}
	nowhere("closed,")
	b.visit("/audit")
	nowhere("in the audit")
	b.back()
	b.has("#create")
	nowhere("going back,")
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.requests {
		if strings.Contains(url, secret) {
			t.Errorf("a request went to %s", url)
		}
	}
	if strings.Contains(g.Output(), secret) {
		t.Error("the log has the secret")
	}
}

func TestLeavingThePageForgetsTheSecret(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	b.creates()
	b.evaluate(`dispatchEvent(new Event("pagehide")); 1`)
	b.lacks("#secret")
}

func TestEditChangesWhatIsChanged(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci", "owner": "team-7", "expires_at": in(time.Hour)})
	before := g.Admin("GET", "/v1/keys/"+key.ID, nil)
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#edit-" + key.ID)
	b.has("dialog[open]")
	b.state("edit")
	b.enter("#f-name", "changed")
	b.click("dialog [data-close]")
	b.lacks("dialog")
	if after := g.Admin("GET", "/v1/keys/"+key.ID, nil); after.Header.Get("ETag") != before.Header.Get("ETag") {
		t.Error("Cancel changed the key")
	}
	b.click("#edit-" + key.ID)
	b.has("dialog[open]")
	b.enter("#f-name", "changed")
	b.check("mode", "read_only")
	b.click("dialog button.primary")
	b.lacks("dialog")
	b.sees("changed")
	b.focusOn("BUTTON#edit-" + key.ID)
	after := g.Admin("GET", "/v1/keys/"+key.ID, nil)
	if after.Text("name") != "changed" || after.Text("owner") != "team-7" || after.Text("permissions.mode") != "read_only" || after.Text("expires_at") != before.Text("expires_at") {
		t.Errorf("the key is now %s", after)
	}
}

func TestEditShowsWhatSomebodyElseChanged(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#edit-" + key.ID)
	b.has("dialog[open]")
	b.enter("#f-name", "mine")
	g.Patch(key.ID, map[string]any{"name": "theirs", "owner": "team-9"})
	b.click("dialog button.primary")
	b.sees("Somebody changed this key")
	b.sees("“theirs” now; you had entered “mine”")
	b.state("edit-conflict")
	if got := g.Admin("GET", "/v1/keys/"+key.ID, nil).Text("name"); got != "theirs" {
		t.Errorf("the key is called %q", got)
	}
	b.enter("#f-name", "ours")
	b.click("dialog button.primary")
	b.lacks("dialog")
	if got := g.Admin("GET", "/v1/keys/"+key.ID, nil); got.Text("name") != "ours" || got.Text("owner") != "team-9" {
		t.Errorf("the key is %s", got)
	}
}
