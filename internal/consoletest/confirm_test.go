package consoletest

import (
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

func TestSwitchAsksAndMovesOnlyWhenTheServerAgreed(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	toggle := "#switch-" + key.ID
	b.click(toggle)
	b.sees("Disable ci?")
	b.state("switch")
	b.until(`document.querySelector("` + toggle + `").getAttribute("aria-checked") === "true"`)
	b.press("\x1b")
	b.lacks("dialog")
	b.until(`document.querySelector("` + toggle + `").getAttribute("aria-checked") === "true"`)
	b.click(toggle)
	b.click("button.go")
	b.until(`document.querySelector("` + toggle + `").getAttribute("aria-checked") === "false"`)
	e2e.Expect(t, g.Call("GET", "/rest/users", "", e2e.Bearer(key.Secret)), 401, "disabled_key")
	b.lacks("dialog")
	b.focusOn("BUTTON" + toggle)
	b.click(toggle)
	b.sees("Enable ci?")
	b.click("button.go")
	b.until(`document.querySelector("` + toggle + `").getAttribute("aria-checked") === "true"`)
}

func TestLastAdminKeyStays(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("[role=switch]")
	b.click("button.go")
	b.sees("last enabled key with admin write")
	b.state("switch-refused")
	b.click("dialog [data-close]")
	b.until(`document.querySelector("[role=switch]").getAttribute("aria-checked") === "true"`)
}

func TestRotateShowsTheNewSecretOnce(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#rotate-" + key.ID)
	b.has("dialog[open]")
	b.state("rotate")
	b.choose("#f-grace", "7d")
	b.click("dialog button.primary")
	b.has("#secret")
	fresh := b.text(".secret-text code")
	b.sees(key.Prefix + " ends in 7 days")
	b.state("rotated")
	for _, secret := range []string{fresh, key.Secret} {
		e2e.Expect(t, g.Call("GET", "/rest/users", "", e2e.Bearer(secret)), 502, "")
	}
	b.click("[data-saved]")
	b.click("#rotate-" + key.ID)
	b.sees("ends at once")
	b.choose("#f-grace", "0")
	b.click("dialog button.primary")
	b.sees("The earlier secret has stopped working")
	e2e.Expect(t, g.Call("GET", "/rest/users", "", e2e.Bearer(fresh)), 401, "unknown_key")
	b.click("[data-saved]")
}

func TestDeleteSaysWhenTheKeyWasLastUsed(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	g.Call("GET", "/rest/users", "", e2e.Bearer(key.Secret))
	b := as(t, g.AdminURL, g.AdminKey)
	b.click("#delete-" + key.ID)
	b.sees("This key was used just now")
	b.sees("what uses it will stop working")
	g.Patch(key.ID, map[string]any{"owner": "someone"})
	b.click("button.revoke")
	b.sees("Somebody changed this key meanwhile")
	b.click("button.revoke")
	b.lacks("dialog")
	e2e.Expect(t, g.Admin("GET", "/v1/keys/"+key.ID, nil), 404, "no_such_key")
}

func TestKeyThatIsGoneIsSaidToBe(t *testing.T) {
	g := start(t)
	key := g.Create(map[string]any{"name": "ci"})
	b := as(t, g.AdminURL, g.AdminKey)
	e2e.Expect(t, g.Admin("DELETE", "/v1/keys/"+key.ID, nil), 204, "")
	b.click("#delete-" + key.ID)
	b.sees("No key has this id")
	b.state("gone")
}

func TestUnreachableGatewayIsSaidToBe(t *testing.T) {
	g := start(t)
	b := open(t, g.AdminURL)
	b.may = append(b.may, "htmx", "fetch", "TypeError")
	b.signIn(g.AdminKey)
	b.click("#create")
	b.has("dialog[open]")
	g.Stop()
	b.click("dialog button.primary")
	b.sees("The gateway can't be reached")
	b.shot("unreachable")
	b.until("!document.querySelector('dialog button.primary').disabled")
}
