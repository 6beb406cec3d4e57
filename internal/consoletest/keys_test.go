package consoletest

import (
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

func TestSignInCreateSeeOnceDelete(t *testing.T) {
	g := start(t)
	b := open(t, g.AdminURL)
	b.has("#key")
	b.state("signin")
	b.enter("#key", "kw_wrong")
	b.click(".door button.primary")
	b.sees("not a key of this gateway")
	b.state("signin-wrong")
	b.signIn(g.AdminKey)
	b.state("keys-first")

	b.click("#create")
	b.has("dialog[open]")
	b.focusOn("INPUT#f-name")
	b.state("create")
	b.enter("#f-name", "ci")
	b.enter("#f-owner", "team-7")
	b.click("dialog button.primary")
	b.has("#secret")
	b.focusOn("SECTION#secret")
	secret := b.text(".secret-text code")
	e2e.Expect(t, g.Call("GET", "/rest/users", "", e2e.Bearer(secret)), 502, "") // allowed: there is no upstream
	b.state("shown")
	b.press("\x1b")
	b.has("#secret")
	b.click("[data-saved]")
	b.lacks("#secret")
	b.sees("team-7")

	b.click("tbody tr:first-child .danger")
	b.sees("Are you sure you want to delete ci?")
	b.focusOn("BUTTON# Cancel")
	b.state("delete")
	b.click("button.revoke")
	b.lacks("dialog")
	b.seesNot("team-7")
	e2e.Expect(t, g.Call("GET", "/rest/users", "", e2e.Bearer(secret)), 401, "unknown_key")
}
