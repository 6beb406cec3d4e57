package consoletest

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite" // to make keys old

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// uses makes n requests with a key, which the gateway lets through: there is
// no upstream.
func uses(t *testing.T, g *e2e.Gateway, key e2e.Key, n int, method, path string) {
	t.Helper()
	for range n {
		e2e.Expect(t, g.Call(method, path, "", e2e.Bearer(key.Secret)), 502, "")
	}
}

func TestQuestionsSayHowMuchTheKeyWasUsed(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	uses(t, g, key, 3, "GET", "/rest/users") // which the key itself learns of within 30 seconds
	b := as(t, g.AdminURL, g.AdminKey)
	for _, dialog := range []string{"switch", "delete"} {
		b.click("#" + dialog + "-" + key.ID)
		b.sees("3 requests in the last 24 hours; what uses it will stop working")
		b.state(dialog + "-used")
		b.press("\x1b")
		b.lacks("dialog")
	}
}

func TestLoweringAccessShowsWhatItWouldHaveRefused(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	uses(t, g, key, 2, "POST", "/rest/users")
	uses(t, g, key, 1, "GET", "/rest/users")
	uses(t, g, key, 1, "DELETE", "/v2/abc123/x")
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#edit-" + key.ID)
	b.has("dialog[open]")
	b.check("mode", "read_only")
	b.sees("3 of 4 requests of the last 30 days would have been refused")
	b.sees("write on rest/users: 2 requests")
	b.sees("write on serverless/abc123: 1 request")
	b.state("edit-lowered")
	b.check("mode", "restricted")
	b.click("[data-set-all=write]")
	b.sees("Everything that this key did in the last 30 days stays allowed")
	b.check("api:serverless", "none")
	b.sees("1 of 4 requests")
	b.click("dialog button.primary") // it has been seen
	b.lacks("dialog")
	if got := g.Admin("GET", "/v1/keys/"+key.ID, nil).Text("permissions.apis.rest.access"); got != "write" {
		t.Errorf("access to rest is %q", got)
	}
}

// The question waits a moment, for who chooses on; the key may be updated by
// then.
func TestQuestionThatComesAfterTheUpdateIsNoConflict(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	before := g.Admin("GET", "/v1/keys/"+key.ID, nil).Header.Get("ETag")
	b := as(t, g.AdminURL, g.AdminKey)
	g.Patch(key.ID, map[string]any{"name": "changed"})
	ask := `fetch("edit", {method: "POST", headers: {"HX-Request": "true"}, body: new URLSearchParams({id: %q, etag: %q, mode: "read_only", %s})}).then(r => r.status)`
	if got := b.evaluate(fmt.Sprintf(ask, key.ID, before, `lost: "1"`)); got != float64(204) {
		t.Errorf("the question was answered with %v", got)
	}
	if got := b.evaluate(fmt.Sprintf(ask, key.ID, before, "")); got != float64(412) {
		t.Errorf("the update was answered with %v", got)
	}
}

// Whoever is faster than the answer, or has no script, is asked as well.
func TestUpdateThatNobodyWasWarnedOfAsksFirst(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	uses(t, g, key, 1, "POST", "/rest/users")
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#edit-" + key.ID)
	b.has("dialog[open]")
	b.on(`dialog [name=mode][value=read_only]`, "e.checked = true") // without a word to the page's script
	b.click("dialog button.primary")
	b.sees("1 of 1 request of the last 30 days would have been refused")
	b.sees("Update anyway")
	b.state("edit-asked")
	if got := g.Admin("GET", "/v1/keys/"+key.ID, nil).Text("permissions.mode"); got != "all" {
		t.Errorf("the key was changed to %q before anybody agreed", got)
	}
	b.click("dialog button.primary")
	b.lacks("dialog")
	if got := g.Admin("GET", "/v1/keys/"+key.ID, nil).Text("permissions.mode"); got != "read_only" {
		t.Errorf("the key's mode is %q", got)
	}
}

func TestPageOfAKeyShowsItsUse(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{
		"name": "worker", "owner": "team-7", "permissions": map[string]any{"mode": "read_only"},
		"allowed_cidrs": []string{"127.0.0.0/8", "::1/128"}, "metadata": map[string]any{"ticket": "OPS-17"},
	})
	uses(t, g, key, 12, "GET", "/rest/users")
	uses(t, g, key, 3, "GET", "/v2/abc123/status")
	e2e.Expect(t, g.Call("POST", "/rest/users", "", e2e.Bearer(key.Secret)), 403, "insufficient_access")
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#row-" + key.ID + " th a")
	b.until("location.pathname === '/key'")
	for _, text := range []string{
		key.ID, "from 2 networks", "127.0.0.0/8", "ticket: OPS-17", "16 requests, 1 of them refused", "at most 16 in an hour", "serverless/abc123", "rest/users", "insufficient_access", "By API", "What for",
	} {
		b.sees(text)
	}
	if got := b.text("#keys tbody [data-label=Used]"); !strings.Contains(got, "just now") && !strings.Contains(got, "minute") {
		t.Errorf("it was used %q", got)
	}
	if bars := b.evaluate("document.querySelectorAll('.chart g').length"); bars != float64(7*24+1) && bars != float64(7*24) {
		t.Errorf("there are %v bars", bars)
	}
	b.until("document.querySelectorAll('.chart .yes').length === 1 && document.querySelectorAll('.chart .no').length === 1")
	b.click(".chart summary") // the same for whoever sees no bars
	row := b.evaluate("[...document.querySelectorAll('.chart tbody td')].map(e => e.innerText)")
	if diff := cmp.Diff([]any{"15", "1"}, row); diff != "" {
		t.Errorf("the table (-want +got):\n%s", diff)
	}
	b.state("key")
	b.click(".periods a[href*='days=90']")
	b.sees("in a day")
	b.state("key-90-days")

	b.click("#switch-" + key.ID)
	b.click("button.go")
	b.until(`document.querySelector("[role=switch]").getAttribute("aria-checked") === "false"`)
	b.click("#delete-" + key.ID)
	b.click("button.revoke")
	b.until("location.pathname === '/'")
	b.seesNot("worker")
	b.visit("/key?id=" + key.ID)
	b.sees("No key has this id")
}

func TestPageOfAKeyThatWasNeverUsed(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "idle"})
	b := as(t, g.AdminURL, g.AdminKey)
	b.visit("/key?id=" + key.ID + "&days=30")
	b.sees("Not used in the last 30 days")
	b.lacks(".suggestion")
	b.state("key-unused")
}

func TestSuggestionFillsTheForm(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	uses(t, g, key, 2, "GET", "/rest/users")
	uses(t, g, key, 1, "POST", "/rest/orders")
	b := as(t, g.AdminURL, g.AdminKey)
	b.visit("/key?id=" + key.ID)
	b.sees("It could do with less")
	b.state("key-suggestion")
	b.click("#suggest")
	b.has("dialog[open]")
	b.sees("Everything that this key did in the last 30 days stays allowed")
	b.state("edit-suggested")
	b.enter("#f-name", "less")
	b.click("dialog button.primary")
	b.lacks("dialog")
	b.sees("Restricted: 1 API")
	b.sees("rest/orders: Read/Write") // not only for who points at it
	b.lacks(".suggestion")
	b.until("document.querySelector('h1').textContent === 'less'")
	want := map[string]any{"mode": "restricted", "apis": map[string]any{
		"rest": map[string]any{"access": "restricted", "endpoints": map[string]any{"orders": "write", "users": "read"}},
	}}
	if diff := cmp.Diff(want, g.Admin("GET", "/v1/keys/"+key.ID, nil).Field("permissions")); diff != "" {
		t.Error(diff)
	}
	uses(t, g, key, 1, "POST", "/rest/orders")
	b.reload()
	b.lacks(".suggestion")
}

func TestKeysThatNobodyUses(t *testing.T) {
	g := start(t)
	g.Create(map[string]any{"name": "fresh"})
	age(t, g, g.Create(map[string]any{"name": "old"}), 40)
	age(t, g, g.Create(map[string]any{"name": "older"}), 100)
	b := as(t, g.AdminURL, g.AdminKey)
	b.rows(4)
	b.choose("[name=unused]", "30")
	b.rows(2)
	b.until("location.search === '?unused=30' && document.querySelector('tbody th').innerText.includes('older')")
	b.choose("[name=unused]", "90")
	b.rows(1)
	b.reload()
	b.until("document.querySelector('[name=unused]').value === '90'")
	b.rows(1)
	b.state("keys-unused")
}

// age makes a key so many days older.
func age(t *testing.T, g *e2e.Gateway, key e2e.Key, days int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(g.Dir, "data", "keys.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	at := time.Now().AddDate(0, 0, -days).UnixMilli()
	if _, err := db.ExecContext(t.Context(), "UPDATE keys SET created_at = $1 WHERE id = $2", at, key.ID); err != nil {
		t.Fatal(err)
	}
}
