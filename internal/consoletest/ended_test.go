package consoletest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/e2e"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// lapse ends the window's session where it is kept, as half an hour without
// use does: the browser has its cookie still.
func (b *tab) lapse(g *e2e.Gateway) {
	b.t.Helper()
	cookies, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{})
	b.must(err)
	for _, c := range cookies.Cookies {
		if c.Name != admin.SessionCookie {
			continue
		}
		res, err := form(b.t, g, "/signout", c.Name+"="+c.Value, nil)
		if err != nil || res.StatusCode != http.StatusSeeOther {
			b.t.Fatalf("signing out answered %v, %v", res, err)
		}
		return
	}
	b.t.Fatalf("the window has no session: %v", cookies.Cookies)
}

func TestEndedSessionAsksToSignInAndGoesOnWhereItWas(t *testing.T) {
	g := start(t)
	g.Create(map[string]any{"name": "ci", "owner": "team-7"})
	b := as(t, g.AdminURL, g.AdminKey)
	b.lapse(g)
	b.visit("/?owner=team-7")
	b.sees("Your session has ended")
	b.signIn(g.AdminKey)
	b.until("location.search === '?owner=team-7'")
	b.rows(1)
}

func TestSessionThatEndsUnderADialogChangesNothing(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	made := g.Admin("GET", "/v1/keys/"+key.ID, nil).Header.Get("ETag")
	for opener, sends := range map[string]string{
		"#create": "dialog button.primary", "#edit-" + key.ID: "dialog button.primary", "#switch-" + key.ID: "button.go",
		"#rotate-" + key.ID: "dialog button.primary", "#delete-" + key.ID: "button.revoke",
	} {
		b.click(opener)
		b.has("dialog[open]")
		if strings.HasPrefix(opener, "#edit") {
			b.enter("#f-name", "changed")
		}
		b.lapse(g)
		b.click(sends)
		b.sees("Your session has ended")
		b.signIn(g.AdminKey)
		b.rows(2)
		if now := g.Admin("GET", "/v1/keys/"+key.ID, nil).Header.Get("ETag"); now != made {
			t.Errorf("%s: the key was %s and is %s", opener, made, now)
		}
	}
}

func socketOf(s *pgtest.Server) string {
	_, path := s.Socket()
	return path
}

// withPostgres is a gateway whose store is behind the proxy.
func withPostgres(t *testing.T) (*e2e.Gateway, *pgtest.Proxy) {
	t.Helper()
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	way := pgtest.NewProxy(t, "unix", socketOf(server))
	// A slow database would be given its first admin key later.
	const key = "the-configured-admin-key"
	store := `store postgres "` + way.Address(pgtest.Name(server.Database(t))) + `"` + "\n\t\tadmin_key " + key
	return e2e.Start(t, e2e.Options{Config: strings.Replace(caddyfile, "store sqlite ./data/keys.db", store, 1), AdminKey: key}), way
}

// keysOf returns the keys' versions by their ids.
func keysOf(g *e2e.Gateway) map[string]string {
	versions := map[string]string{}
	for _, key := range g.Admin("GET", "/v1/keys", nil).Field("data").([]any) {
		id := key.(map[string]any)["id"].(string)
		versions[id] = g.Admin("GET", "/v1/keys/"+id, nil).Header.Get("ETag")
	}
	return versions
}

func TestStoreThatIsDownIsSaidToBe(t *testing.T) {
	g, way := withPostgres(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	toggle := "#switch-" + key.ID
	b.click(toggle)
	b.has("dialog[open]")
	unmet := adminKey(g, "write") // which the gateway has not cached
	sends := map[string]*tab{}
	for _, opener := range []string{"#create", "#edit-" + key.ID, "#rotate-" + key.ID, "#delete-" + key.ID} {
		other := as(t, g.AdminURL, g.AdminKey)
		other.click(opener)
		other.has("dialog[open]")
		if strings.HasPrefix(opener, "#edit") || opener == "#create" {
			other.enter("#f-name", "entered")
		}
		sends[opener] = other
	}
	before := keysOf(g)
	way.Refuse()
	way.Cut()

	for opener, other := range sends {
		other.click("dialog :is(.primary, .revoke)")
		other.sees("key store can't be asked")
		other.focusOn("DIV# Key store unavailable.")
		if opener == "#create" {
			other.state("store-down-create")
		}
	}
	door := open(t, g.AdminURL)
	door.enter("#key", unmet.Secret)
	door.click(".door button.primary")
	door.sees("The key can't be checked at the moment")
	door.state("store-down-signin")
	b.click("button.go")
	b.sees("key store can't be asked")
	b.state("store-down-dialog")
	b.click("dialog [data-close]")
	b.lacks("dialog")
	b.until(`document.querySelector("` + toggle + `").getAttribute("aria-checked") === "true"`)
	b.enter("[name=q]", "ci")
	b.has("#notice .alert")
	b.state("store-down-list")
	b.click("#create")
	b.has("dialog[open]")
	b.click("dialog button")
	b.visit("/audit")
	b.has("main [role=alert]")
	b.state("store-down-page")

	way.Accept(t)
	e2e.Eventually(t, patience, "the audit", func() bool {
		b.click("main .button")
		b.settled()
		return b.evaluate("Boolean(document.querySelector('#audit'))") == true
	})
	if diff := cmp.Diff(before, keysOf(g)); diff != "" {
		t.Errorf("what failed has changed keys (-before +after):\n%s", diff)
	}
	sends["#create"].click("dialog .primary") // what was entered needs no entering again
	sends["#create"].has("#secret")
	sends["#create"].sees("Key entered created")
	b.visit("/")
	b.click(toggle)
	b.click("button.go")
	b.until(`document.querySelector("` + toggle + `").getAttribute("aria-checked") === "false"`)
}
