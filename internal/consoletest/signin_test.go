package consoletest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// adminKey creates an admin key and returns it.
func adminKey(g *e2e.Gateway, access string) e2e.Key {
	return g.Create(map[string]any{"name": "admin " + access, "admin": access, "permissions": e2e.Restricted(map[string]any{})})
}

func TestWrongKeysSayWhatIsWrongAndAreThrottled(t *testing.T) {
	g := start(t)
	disabled := adminKey(g, "write")
	g.Patch(disabled.ID, map[string]any{"enabled": false})
	ordinary := g.Create(nil)
	b := open(t, g.AdminURL)
	for _, try := range []struct{ key, says string }{
		{"kw_wrong", "not a key of this gateway"},
		{disabled.Secret, "is disabled"},
		{ordinary.Secret, "no admin key"},
		{"<script>alert(1)</script>", "not a key of this gateway"},
		{strings.Repeat("x", 600), "not a key of this gateway"},
	} {
		b.enter("#key", try.key)
		b.click(".door button.primary")
		b.until("document.querySelector('#key')?.value === ''") // the next page, which never gives the key back
		b.sees(try.says)
	}
	b.enter("#key", g.AdminKey)
	b.click(".door button.primary")
	b.sees("Too many wrong keys")
	b.state("signin-throttled")
}

func TestSessionIsInAStrictCookieAndEndsBySigningOut(t *testing.T) {
	g := start(t)
	b := open(t, g.AdminURL)
	b.visit("/audit")
	b.signInTo(g.AdminKey, "#audit")
	if got := b.evaluate("document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)"); got != "{}{}" {
		t.Errorf("scripts can read %v", got)
	}
	b.click(".who button")
	b.has("#key")
	b.visit("/")
	b.has("#key")
}

func TestDisabledAdminKeyEndsItsSessionsAtOnce(t *testing.T) {
	g := start(t)
	second := adminKey(g, "write")
	b := open(t, g.AdminURL)
	b.signIn(second.Secret)
	g.Patch(second.ID, map[string]any{"enabled": false})
	b.click("#create") // a script's request
	b.has("#key")
	b.sees("Your session has ended")
	b.state("signin-ended")
	g.Patch(second.ID, map[string]any{"enabled": true})
	b.visit("/") // nor does it come back
	b.has("#key")
}

func TestDeletedOrRotatedAdminKeyEndsItsSessionsAtOnce(t *testing.T) {
	g := start(t)
	for method, path := range map[string]string{"DELETE": "", "POST": "/rotate"} {
		second := adminKey(g, "write")
		b := as(t, g.AdminURL, second.Secret)
		if answer := g.Admin(method, "/v1/keys/"+second.ID+path, nil); answer.Status >= 300 {
			t.Fatal(answer)
		}
		b.click("#create")
		b.sees("Your session has ended")
	}
}

func TestReadOnlyAdminSeesAndChangesNothing(t *testing.T) {
	g := start(t)
	g.Create(map[string]any{"name": "ci"})
	b := open(t, g.AdminURL)
	b.signIn(adminKey(g, "read").Secret)
	b.sees("may look only")
	b.lacks("#create")
	b.lacks("[role=switch]")
	b.lacks(".icon-button")
	b.state("keys-read-only")
	got := b.evaluate(`fetch("new", {method: "POST", headers: {"HX-Request": "true"}, body: new URLSearchParams({mode: "all", name: "x"})}).then(r => r.status)`)
	if got != float64(http.StatusForbidden) {
		t.Errorf("creating answered %v", got)
	}
}

// form posts a form as a browser's script would, outside any browser.
func form(t *testing.T, g *e2e.Gateway, path, cookie string, fields url.Values, headers ...string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, g.AdminURL+path, strings.NewReader(fields.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err == nil {
		res.Body.Close()
	}
	return res, err
}

// session signs in outside any browser.
func session(t *testing.T, g *e2e.Gateway) *http.Cookie {
	t.Helper()
	res, err := form(t, g, "/signin", "", url.Values{"key": {g.AdminKey}})
	if err != nil || res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 1 {
		t.Fatalf("signing in answered %v, %v", res, err)
	}
	return res.Cookies()[0]
}

func TestOtherOriginsAreRefused(t *testing.T) {
	g := start(t)
	cookie := session(t, g)
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.MaxAge != 0 || len(cookie.Value) < 43 {
		t.Errorf("the cookie is %v", cookie)
	}
	for _, path := range []string{"/signin", "/signout", "/new", "/edit", "/switch", "/rotate", "/delete", "/endpoint", "/forget", "/try"} {
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://other.example"}} {
			res, err := form(t, g, path, cookie.String(), url.Values{"mode": {"all"}, "key": {g.AdminKey}}, header...)
			if err != nil || res.StatusCode != http.StatusForbidden || len(res.Cookies()) > 0 {
				t.Errorf("POST %s with %v answered %v, %v", path, header, res, err)
			}
		}
	}
	if got := g.Admin("GET", "/v1/keys", nil); len(got.Field("data").([]any)) != 1 {
		t.Errorf("there are keys more: %s", got)
	}
}

func TestPagesForbidWhatTheyDoNotNeed(t *testing.T) {
	g := start(t)
	cookie := session(t, g)
	for _, path := range []string{"/", "/signin", "/audit", "/apis", "/try", "/new", "/edit?id=x"} {
		r, err := http.NewRequest(http.MethodGet, g.AdminURL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(cookie)
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		policy := res.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none';") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %q", path, policy)
		}
		if got := res.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control is %q", path, got)
		}
	}
}

// What is compressed has a length that tells about its content; a secret
// shall not stand beside a name that somebody else chose.
func TestPagesAreCompressedAndSecretsAreNot(t *testing.T) {
	g := start(t)
	cookie := session(t, g).String()
	for path, want := range map[string]string{"/try": "gzip", "/new": ""} {
		res, err := form(t, g, path, cookie, url.Values{"mode": {"all"}, "key": {"x"}}, "Accept-Encoding", "br, gzip", "HX-Request", "true")
		if err != nil || res.Header.Get("Content-Encoding") != want {
			t.Errorf("POST %s answered %v, %v; want the encoding %q", path, res, err, want)
		}
	}
}

func TestNextPageAfterSigningInIsOurs(t *testing.T) {
	g := start(t)
	for _, next := range []string{"https://other.example", "//other.example", "/\\other.example", "javascript:alert(1)", "../x", "delete?id=1", "%2f%2fother.example"} {
		res, err := form(t, g, "/signin", "", url.Values{"key": {g.AdminKey}, "next": {next}})
		if err != nil || res.Header.Get("Location") != "./" {
			t.Errorf("next %q leads to %q, %v", next, res.Header.Get("Location"), err)
		}
	}
}

func TestConsoleUnderAPrefix(t *testing.T) {
	config := strings.Replace(caddyfile, "\tapi_key_admin\n", "\tredir /manage /manage/\n\thandle_path /manage/* {\n\t\tapi_key_admin\n\t}\n\thandle /readyz {\n\t\tapi_key_admin\n\t}\n", 1)
	g := e2e.Start(t, e2e.Options{Config: config})
	b := open(t, g.AdminURL)
	b.may = append(b.may, "favicon")
	b.visit("/manage/")
	b.signIn(g.AdminKey)
	b.click("#create")
	b.enter("#f-name", "under a prefix")
	b.click("dialog details summary")
	b.click("dialog details button")
	b.sees(fmt.Sprintf("curl -X POST %s/manage/v1/keys", g.AdminURL))
	b.click("dialog button.primary")
	b.has("#secret")
	b.click("[data-saved]")
	b.visit("/manage/audit")
	b.sees("under a prefix")
}

func TestSessionSurvivesAReload(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	g.WriteConfig(strings.Replace(caddyfile, "api rest {", "api rest {\n\t\t\ttitle \"The REST API\"", 1))
	if out, err := g.Reload(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.visit("/apis")
	b.sees("The REST API")
}
