package admin_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// What only the gateway says about a key can't be sent along with what people
// may say.
func TestNoCallSetsWhatOnlyTheGatewaySays(t *testing.T) {
	s := newSite(t)
	path := "/v1/keys/" + string(s.adminID)
	before := s.stored()
	for name, value := range map[string]string{
		"id": `"key_mine"`, "status": `"active"`, "legacy": "false", "created_at": `"2020-01-01T00:00:00Z"`, "updated_at": `"2020-01-01T00:00:00Z"`,
		"created_by": `"config"`, "last_used_at": "null", "rotation": `{"previous_prefix":"kw_00000000"}`, "digest": `"00"`, "usage": "{}",
		"Admin": `"write"`, "ADMIN": `"write"`, "is_admin": "true", "role": `"admin"`, "__proto__": `{"admin":"write"}`, "constructor": "{}", "$set": `{"admin":"write"}`,
	} {
		field := `, "` + name + `": ` + value
		create := `{"permissions": {"mode": "read_only"}` + field + "}"
		for _, call := range [][3]string{
			{"POST", "/v1/keys", create},
			{"PATCH", path, `{"name": "x"` + field + "}"},
			{"POST", "/v1/keys/import", `{"keys": [{"permissions": {"mode": "all"}, "secret": "a-secret-of-somebody-else-1234"` + field + `}]}`},
			{"POST", path + "/rotate", `{"grace_seconds": 0` + field + "}"},
		} {
			if faults := s.do(call[0], call[1], call[2]).problem(422, "invalid_request").faults(); len(faults) != 1 {
				t.Errorf("%s %s with %s: %v", call[0], call[1], name, faults)
			}
		}
	}
	for _, name := range []string{"secret", "prefix", "sha256"} { // an import says these
		s.do("POST", "/v1/keys", `{"permissions": {"mode": "all"}, "`+name+`": "kw_00000000"}`).problem(422, "invalid_request")
		s.do("PATCH", path, `{"`+name+`": "kw_00000000"}`).problem(422, "invalid_request")
	}
	if s.stored() != before {
		t.Error("something was stored")
	}
}

// injections are texts that mean something to SQL, to its LIKE and full-text
// search, to shells, logs, spreadsheets, pages and terminals.
var injections = []string{
	"'", `"`, "''", "' OR '1'='1", `" OR ""="`, "'; DROP TABLE keys; --", "x' UNION SELECT secret FROM keys --", "%", "_", `\`, `\'`, "%%%", "a%' ESCAPE '!", "*", "?", "[a-z]", "$1", ":name", "?1",
	`NEAR("a" "b")`, "a OR b", "a NOT", "^a", "-", "--", "/*", "(", `"unterminated`, "`id`", "$(id)", "=1+1", "+1", "@SUM(A1)", "<script>alert(1)</script>", "{{.}}", "${jndi:ldap://x}", "../../etc/passwd", "%0d%0aX: y", "%s%n",
	"NULL", "null", "0x00", "1e999", "\u202e", "\ufeff", "𝕏",
}

func TestHostileTextIsText(t *testing.T) {
	s := newSite(t)
	made := map[string]string{}
	for _, text := range injections {
		body, err := json.Marshal(map[string]any{"name": text, "owner": text, "permissions": map[string]any{"mode": "all"}, "metadata": map[string]string{"note": text}})
		if err != nil {
			t.Fatal(err)
		}
		answer := s.do("POST", "/v1/keys", string(body))
		if answer.status == http.StatusUnprocessableEntity {
			continue // nothing but white space and the like
		}
		answer.want(201)
		made[text] = answer.get("id")
		got := s.do("GET", answer.header.Get("Location"), "").want(200)
		if diff := cmp.Diff([]string{text, text}, []string{got.get("name"), got.get("owner")}); diff != "" {
			t.Errorf("%q came back differently (-want +got):\n%s", text, diff)
		}
	}
	if len(made) < len(injections)-1 {
		t.Errorf("only %d of %d texts could be stored", len(made), len(injections))
	}
	before := s.stored()
	for text, id := range made {
		escaped := url.QueryEscape(text)
		// The owner is compared whole; a search finds the text, and nothing that
		// lacks it.
		if got := s.ids("owner=" + escaped); !slices.Equal(got, []string{id}) {
			t.Errorf("owner=%q finds %v, want %s", text, got, id)
		}
		found := s.ids("q=" + escaped)
		if !slices.Contains(found, id) {
			t.Errorf("q=%q does not find %s", text, id)
		}
		for other, otherID := range made {
			holds := strings.Contains(strings.ToLower(other), strings.ToLower(text))
			if !holds && slices.Contains(found, otherID) && !strings.Contains(otherID+"kw_", strings.ToLower(text)) {
				t.Errorf("q=%q finds %q", text, other)
			}
		}
		for _, parameter := range []string{"status", "api", "cursor", "limit"} {
			if parameter == "limit" && text == "+1" {
				continue // is a number
			}
			if got := s.do("GET", "/v1/keys?"+parameter+"="+escaped, "").status; got != 422 {
				t.Errorf("%s=%q is answered %d", parameter, text, got)
			}
		}
		for _, path := range []string{"/v1/audit?key=" + escaped, "/v1/audit?actor=" + escaped} {
			s.do("GET", path, "").want(200)
		}
		for _, method := range []string{"GET", "PATCH", "DELETE"} {
			r := s.do(method, "/v1/keys/"+url.PathEscape(text), map[string]string{"PATCH": `{"name":"x"}`}[method])
			if r.status < 300 || r.status >= 500 {
				t.Errorf("%s of the key %q is answered %d", method, text, r.status)
			}
		}
	}
	if s.stored() != before {
		t.Error("reading changed something")
	}
}

// ids lists the ids of keys.
func (s *site) ids(query string) (ids []string) {
	s.t.Helper()
	data, _ := s.do("GET", "/v1/keys?limit=200&"+query, "").want(200).tree["data"].([]any)
	for _, item := range data {
		key, _ := item.(map[string]any)
		id, _ := key["id"].(string)
		ids = append(ids, id)
	}
	return ids
}

// Every call that the document describes, those of tomorrow included.
func TestAReaderCanNotMakeAnyDocumentedWrite(t *testing.T) {
	s := newSite(t)
	reader, readerID := s.seed("reader", permission.Set{}, permission.Read)
	replace := strings.NewReplacer("{id}", string(readerID), "{api}", "rest", "{endpoint}", "users")
	asks := map[string]bool{"/v1/keys/check": true, "/v1/keys/{id}/impact": true} // POSTs that change nothing
	before, tried := s.stored(), 0
	for path, item := range s.document.object("paths") {
		for method, operation := range item.(map[string]any) {
			if method == "get" {
				continue
			}
			if security, ok := operation.(map[string]any)["security"].([]any); ok && len(security) == 0 {
				continue // open to everybody: another test's matter
			}
			if asks[path] {
				s.do("POST", replace.Replace(path), "{}", "Authorization: Bearer "+reader).want(422)
				continue
			}
			tried++
			for _, body := range []string{"", "{}", `{"admin": "write"}`, "nonsense"} {
				s.do(strings.ToUpper(method), replace.Replace(path), body, "Authorization: Bearer "+reader, "Content-Type: application/json").problem(403, "insufficient_access")
			}
		}
	}
	if tried < 7 {
		t.Errorf("only %d writes are documented", tried)
	}
	if s.stored() != before {
		t.Error("a reader changed something")
	}
}

// Who may not see keys learns nothing about which there are.
func TestWhoMayNotAskLearnsNothingOfIDs(t *testing.T) {
	s := newSite(t)
	known := "/v1/keys/" + s.create(`{"permissions": {"mode": "all"}}`).get("id")
	guess := known[:len(known)-1] + map[bool]string{true: "1", false: "0"}[strings.HasSuffix(known, "0")]
	powerless, _ := s.seed("powerless", permission.Set{Mode: permission.All}, permission.None)
	for _, credential := range []string{noKey, "Authorization: Bearer " + powerless, "Authorization: Bearer nonsense"} {
		for _, call := range [][3]string{{"GET", "", ""}, {"PATCH", "", `{"name":"x"}`}, {"DELETE", "", ""}, {"POST", "/rotate", ""}} {
			a, b := s.do(call[0], known+call[1], call[2], credential), s.do(call[0], guess+call[1], call[2], credential)
			a.header.Del("Date")
			b.header.Del("Date")
			if diff := cmp.Diff([]any{a.status, a.text, a.header}, []any{b.status, b.text, b.header}); diff != "" {
				t.Errorf("%s %s tells them apart (-known +guess):\n%s", call[0], call[1], diff)
			}
		}
	}
	s.do("GET", guess, "").problem(404, "no_such_key")
}

// Nor does the answer of one that is not there say why it is not.
func TestEveryIDThatIsNoneIsAnsweredAlike(t *testing.T) {
	s := newSite(t)
	gone := s.create(`{"permissions": {"mode": "all"}}`).get("id")
	s.do("DELETE", "/v1/keys/"+gone, "").want(204)
	for _, call := range [][3]string{
		{"GET", "", ""},
		{"PATCH", "", `{"name":"x"}`},
		{"DELETE", "", ""},
		{"POST", "/rotate", ""},
		{"GET", "/usage", ""},
		{"GET", "/suggestion", ""},
		{"POST", "/impact", `{"delete":true}`},
	} {
		want := s.do(call[0], "/v1/keys/"+gone+call[1], call[2]).problem(404, "no_such_key").text
		for _, id := range []string{"key_0", "config", "bootstrap", "leak-report", "x", strings.ToUpper(string(s.adminID)), string(s.adminID) + "%20", "%00", "%27", strings.Repeat("k", 5000)} {
			if got := s.do(call[0], "/v1/keys/"+id+call[1], call[2]).problem(404, "no_such_key").text; got != want {
				t.Errorf("%s %s%s is answered %s, and a key that is gone %s", call[0], id, call[1], got, want)
			}
		}
	}
}

// Neither who has no admin access nor who may only read can make a key with
// more of it, or get hold of one that has: its secret, its state or its life.
func TestNobodyGivesAdminAccessThatTheyDoNotHold(t *testing.T) {
	s, sessions := newSessionSite(t)
	secrets := map[string]string{}
	ids := map[string]string{}
	for name, access := range map[string]permission.Access{"none": permission.None, "read": permission.Read} {
		secret, id := s.seed(name, permission.Set{Mode: permission.All}, access)
		secrets[name], ids[name] = "Authorization: Bearer "+secret, string(id)
	}
	secrets["session"], ids["session"] = s.signIn(sessions, strings.TrimPrefix(secrets["read"], "Authorization: Bearer ")), ids["read"]
	disabled := s.create(`{"permissions": {"mode": "all"}, "admin": "write", "enabled": false}`).get("id")
	expired := s.create(`{"permissions": {"mode": "all"}, "admin": "write", "expires_at": "2026-01-02T03:05:00Z"}`).get("id")
	s.pass(time.Minute)
	before := s.stored()
	for who, credential := range secrets {
		for _, call := range [][3]string{
			{"POST", "/v1/keys", `{"permissions": {"mode": "all"}, "admin": "write"}`},
			{"POST", "/v1/keys", `{"permissions": {"mode": "all"}, "admin": "read"}`},
			{"POST", "/v1/keys", `{"permissions": {"mode": "all"}}`},
			{"POST", "/v1/keys/import", `{"keys": [{"permissions": {"mode": "all"}, "admin": "write", "secret": "a-secret-of-my-own-making"}]}`},
			{"PATCH", "/v1/keys/" + ids[who], `{"admin": "write"}`},
			{"PATCH", "/v1/keys/" + ids[who], `{"expires_at": null}`},
			{"PATCH", "/v1/keys/" + disabled, `{"enabled": true}`},
			{"PATCH", "/v1/keys/" + expired, `{"expires_at": null}`},
			{"PATCH", "/v1/keys/" + string(s.adminID), `{"allowed_cidrs": ["203.0.113.0/24"]}`},
			{"POST", "/v1/keys/" + string(s.adminID) + "/rotate", ""},
			{"POST", "/v1/keys/" + disabled + "/rotate", ""},
			{"POST", "/v1/keys/" + ids[who] + "/rotate", ""},
			{"DELETE", "/v1/keys/" + string(s.adminID), ""},
		} {
			s.do(call[0], call[1], call[2], noKey, credential).problem(403, "insufficient_access")
		}
	}
	if s.stored() != before {
		t.Error("something was changed")
	}
}

func TestIDsAreNotCounted(t *testing.T) {
	s := newSite(t)
	const random = 12 // characters at the end, 48 bits of which none is a clock or a counter
	seen := map[string]bool{}
	for range 100 {
		id := s.create(`{"permissions": {"mode": "all"}}`).get("id")
		end := id[len(id)-random:]
		if seen[end] {
			t.Fatalf("%s resembles another id", id)
		}
		seen[end] = true
	}
}

// A cookie that an attacker planted is not the one that the victim signs in
// with, and a session of the attacker's is no longer the browser's.
func TestSigningInNeverTakesOverAPlantedSession(t *testing.T) {
	s, sessions := newSessionSite(t)
	attacker, _ := s.seed("attacker", permission.Set{}, permission.Read)
	for name, planted := range map[string]string{
		"made up":        "Cookie: keywarden_session=" + strings.Repeat("A", 43),
		"the attacker's": s.signIn(sessions, attacker),
	} {
		t.Run(name, func(t *testing.T) {
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/signin", nil)
			r.Header.Set("Cookie", strings.TrimPrefix(planted, "Cookie: "))
			if err := sessions.Open(w, r, s.admin, admin.Site{Path: "/"}, s.now()); err != nil {
				t.Fatal(err)
			}
			given := w.Result().Cookies()[0]
			if fresh := "Cookie: " + given.Name + "=" + given.Value; fresh == planted {
				t.Error("the planted session was taken over")
			} else if got := s.do("GET", "/v1/whoami", "", noKey, fresh).want(200).get("id"); got != string(s.adminID) {
				t.Errorf("the session is %q's", got)
			}
			s.do("GET", "/v1/whoami", "", noKey, planted).problem(401, "missing_key")
		})
	}
}

func TestOfAPatchARotationAndADeletionOfOneStateExactlyOneWins(t *testing.T) {
	s := newSite(t)
	for range 10 {
		created := s.create(`{"permissions": {"mode": "all"}}`)
		path, tag := created.header.Get("Location"), "If-Match: "+created.header.Get("ETag")
		var statuses [3]int
		var all sync.WaitGroup
		all.Go(func() { statuses[0] = s.do("PATCH", path, `{"enabled": false}`, tag).status })
		all.Go(func() { statuses[1] = s.do("POST", path+"/rotate", "", tag).status })
		all.Go(func() { statuses[2] = s.do("DELETE", path, "", tag).status })
		all.Wait()
		won := 0
		for _, status := range statuses {
			switch {
			case status == 200 || status == 204:
				won++
			case status != 412 && status != 404:
				t.Errorf("answered %d", status)
			}
		}
		if won != 1 {
			t.Fatalf("%d of the three won: %v", won, statuses)
		}
	}
}

// No page of another site can show the API or its documentation in a frame.
func TestNothingMayBeFramed(t *testing.T) {
	s := newSite(t)
	page := s.do("GET", "/docs", "", noKey).want(200)
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("the policy of /docs is %q", policy)
	}
	// What is no page must not become one.
	for _, path := range []string{"/v1/keys", "/v1/whoami", "/v1/nothing", "/v1/openapi.json"} {
		if got := s.do("GET", path, "").header.Get("Content-Type"); !strings.Contains(got, "json") {
			t.Errorf("%s is %q", path, got)
		}
	}
}
