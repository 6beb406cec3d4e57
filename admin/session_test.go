package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// newSessionSite is a site with sessions, and one of them open.
func newSessionSite(t *testing.T, change ...func(*admin.Options)) (*site, *admin.Sessions) {
	t.Helper()
	sessions := admin.NewSessions()
	s := newSite(t, append(change, func(o *admin.Options) { o.Sessions = sessions })...)
	return s, sessions
}

// signIn opens a session and returns its cookie as a header.
func (s *site) signIn(sessions *admin.Sessions, secret string) string {
	s.t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/signin", nil)
	if err := sessions.Open(w, r, secret, admin.Site{Path: "/"}, s.now()); err != nil {
		s.t.Fatal(err)
	}
	c := w.Result().Cookies()[0]
	return "Cookie: " + c.Name + "=" + c.Value
}

const noKey = "Authorization: "

func TestSessionOpensTheAPILikeItsKey(t *testing.T) {
	s, sessions := newSessionSite(t)
	cookie := s.signIn(sessions, s.admin)
	if got := s.do("GET", "/v1/whoami", "", noKey, cookie).want(200).get("id"); got != string(s.adminID) {
		t.Errorf("the session is %q's", got)
	}
	made := s.do("POST", "/v1/keys", `{"permissions":{"mode":"all"}}`, noKey, cookie).want(201)
	if got := made.get("created_by"); got != string(s.adminID) {
		t.Errorf("the key was made by %q", got)
	}
	reader, _ := s.seed("reader", permission.Set{}, permission.Read)
	cookie = s.signIn(sessions, reader)
	s.do("GET", "/v1/keys", "", noKey, cookie).want(200)
	s.do("POST", "/v1/keys", `{"permissions":{"mode":"all"}}`, noKey, cookie).problem(403, "insufficient_access")
}

func TestPresentedKeyCountsAndNotTheSession(t *testing.T) {
	s, sessions := newSessionSite(t)
	cookie := s.signIn(sessions, s.admin)
	s.do("GET", "/v1/keys", "", "Authorization: Bearer wrong", cookie).problem(401, "unknown_key")
}

func TestMadeUpCookieIsNoSession(t *testing.T) {
	s, sessions := newSessionSite(t)
	cookie := s.signIn(sessions, s.admin)
	for _, wrong := range []string{
		"Cookie: keywarden_session=x", "Cookie: keywarden_session=", cookie + "x",
		cookie + "; keywarden_session=other", "Cookie: other=" + strings.TrimPrefix(cookie, "Cookie: keywarden_session="),
		"Cookie: keywarden_session=" + strings.Repeat("a", 5000),
	} {
		s.do("GET", "/v1/keys", "", noKey, wrong).problem(401, "missing_key")
	}
	s.do("GET", "/v1/keys", "", noKey, cookie).want(200)
}

func TestSessionEndsWhenIdleOrOld(t *testing.T) {
	s, sessions := newSessionSite(t)
	cookie := s.signIn(sessions, s.admin)
	s.pass(30*time.Minute - time.Second)
	s.do("GET", "/v1/whoami", "", noKey, cookie).want(200)
	s.pass(30 * time.Minute)
	s.do("GET", "/v1/whoami", "", noKey, cookie).problem(401, "missing_key")

	cookie = s.signIn(sessions, s.admin)
	for range 12*3 - 1 {
		s.pass(20 * time.Minute)
		s.do("GET", "/v1/whoami", "", noKey, cookie).want(200)
	}
	s.pass(20 * time.Minute)
	s.do("GET", "/v1/whoami", "", noKey, cookie).problem(401, "missing_key")
}

func TestSessionEndsAtOnceWithItsKey(t *testing.T) {
	for name, end := range map[string]string{
		"disabled": `{"enabled":false}`, "demoted": `{"admin":"none"}`, "expired": `{"expires_at":"2026-01-02T03:05:00Z"}`, "deleted": "", "rotated": "rotate",
	} {
		t.Run(name, func(t *testing.T) {
			s, sessions := newSessionSite(t)
			secret, id := s.seed("second", permission.Set{}, permission.Write)
			cookie := s.signIn(sessions, secret)
			s.do("GET", "/v1/whoami", "", noKey, cookie).want(200)
			path := "/v1/keys/" + string(id)
			switch end {
			case "":
				s.do("DELETE", path, "").want(204)
			case "rotate":
				s.do("POST", path+"/rotate", "").want(200)
			default:
				s.do("PATCH", path, end).want(200)
			}
			if name == "expired" {
				s.pass(time.Minute)
			}
			if got := s.do("GET", "/v1/whoami", "", noKey, cookie); got.status != 401 && got.status != 403 {
				t.Fatalf("the session still opens: %d %s", got.status, got.text)
			}
			// Nor does it come back with its key.
			if name == "disabled" {
				s.do("PATCH", path, `{"enabled":true}`).want(200)
				s.do("GET", "/v1/whoami", "", noKey, cookie).problem(401, "missing_key")
			}
		})
	}
}

func TestConfiguredAdminKeyOpensSessionsUntilItIsReplaced(t *testing.T) {
	sessions := admin.NewSessions()
	s := newSite(t, withConfigAdmin(t, "the-configured-admin-key"), func(o *admin.Options) { o.Sessions = sessions })
	cookie := s.signIn(sessions, "the-configured-admin-key")
	if got := s.do("GET", "/v1/whoami", "", noKey, cookie).want(200).get("id"); got != "config" {
		t.Errorf("the session is %q's", got)
	}
	other := newSite(t, withConfigAdmin(t, "another-configured-admin-key"), func(o *admin.Options) { o.Sessions = sessions })
	other.do("GET", "/v1/whoami", "", noKey, cookie).problem(401, "unknown_key")
}

func TestOtherOriginsCantUseASession(t *testing.T) {
	s, sessions := newSessionSite(t)
	cookie := s.signIn(sessions, s.admin)
	before := s.stored()
	for _, header := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://other.example", "Origin: null"} {
		s.do("POST", "/v1/keys", `{"permissions":{"mode":"all"}}`, noKey, cookie, header).problem(403, "cross_origin")
	}
	if s.stored() != before {
		t.Error("something was changed")
	}
	s.do("POST", "/v1/keys", `{"permissions":{"mode":"all"}}`, noKey, cookie, "Sec-Fetch-Site: same-origin").want(201)
	// An admin key is no cookie: nobody sends it unwittingly.
	s.do("POST", "/v1/keys", `{"permissions":{"mode":"all"}}`, "Sec-Fetch-Site: cross-site").want(201)
}

func TestSignedOutSessionIsOver(t *testing.T) {
	s, sessions := newSessionSite(t)
	cookie := s.signIn(sessions, s.admin)
	r := httptest.NewRequest("POST", "/signout", nil)
	r.Header.Set("Cookie", strings.TrimPrefix(cookie, "Cookie: "))
	w := httptest.NewRecorder()
	sessions.Close(w, r, admin.Site{Path: "/admin/", HTTPS: true})
	got := w.Result().Cookies()[0]
	if got.MaxAge >= 0 || got.Path != "/admin/" || !got.Secure || !got.HttpOnly || got.SameSite != http.SameSiteStrictMode {
		t.Errorf("the cookie is taken back as %v", got)
	}
	s.do("GET", "/v1/whoami", "", noKey, cookie).problem(401, "missing_key")
}

func TestMemoryOfSessionsIsBounded(t *testing.T) {
	sessions := admin.NewSessions()
	first := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/signin", nil)
	for i := range 10_050 {
		w := httptest.NewRecorder()
		if i == 0 {
			w = first
		}
		if err := sessions.Open(w, r, "secret", admin.Site{Path: "/"}, theTime.Add(time.Duration(i)*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	if n := admin.OpenSessions(sessions); n != 10_000 {
		t.Errorf("%d sessions are open", n)
	}
}

func TestWrongKeysAreThrottledByAddress(t *testing.T) {
	sessions := admin.NewSessions()
	now := theTime
	for range 5 {
		if wait := sessions.Wait("203.0.113.7", now); wait != 0 {
			t.Fatalf("must wait %s too early", wait)
		}
		sessions.Wrong("203.0.113.7", now)
	}
	if wait := sessions.Wait("203.0.113.7", now); wait <= 0 || wait > 10*time.Second {
		t.Errorf("must wait %s", wait)
	}
	if wait := sessions.Wait("203.0.113.8", now); wait != 0 {
		t.Errorf("another address must wait %s", wait)
	}
	if wait := sessions.Wait("203.0.113.7", now.Add(10*time.Second)); wait != 0 {
		t.Errorf("after 10 seconds it must wait %s more", wait)
	}
}

func TestOneIPv6NetworkIsOneAddress(t *testing.T) {
	sessions := admin.NewSessions()
	for i := range 5 {
		sessions.Wrong(fmt.Sprintf("2001:db8::%d", i), theTime)
	}
	if sessions.Wait("2001:db8::ffff", theTime) == 0 {
		t.Error("a neighbour in the same /64 need not wait")
	}
	if sessions.Wait("2001:db8:0:1::1", theTime) != 0 {
		t.Error("another network must wait")
	}
	for range 5 {
		sessions.Wrong("::ffff:203.0.113.7", theTime)
	}
	if sessions.Wait("203.0.113.7", theTime) == 0 {
		t.Error("the same IPv4 address in IPv6 spelling is another one")
	}
}

func TestManyAddressesShareOneAllowance(t *testing.T) {
	sessions := admin.NewSessions()
	for i := range 10_010 {
		sessions.Wrong(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), theTime)
	}
	if sessions.Wait("192.0.2.1", theTime) == 0 {
		t.Error("a new address has an allowance of its own, so memory is not bounded")
	}
	sessions.Wrong("192.0.2.2", theTime.Add(time.Minute))
	if wait := sessions.Wait("192.0.2.1", theTime.Add(time.Minute)); wait != 0 {
		t.Errorf("after a minute a new address must wait %s", wait)
	}
}

func TestInProcessClientHasTheRightsOfTheRequest(t *testing.T) {
	s, sessions := newSessionSite(t)
	handler := s.server.Config.Handler
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+s.admin) // not handed on: the session speaks
	client, err := admin.InProcess(handler, r, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.Whoami(context.Background()); err == nil {
		t.Error("a request without a session was let in")
	}
	r.Header.Set("Cookie", strings.TrimPrefix(s.signIn(sessions, s.admin), "Cookie: "))
	who, _, err := client.Whoami(context.Background())
	if err != nil || who.ID != string(s.adminID) {
		t.Errorf("the session is %v's, %v", who.ID, err)
	}
	if _, err := admin.InProcess(handler, r, "no key\n"); err == nil {
		t.Error("a text that can't be a secret was taken")
	}
}
