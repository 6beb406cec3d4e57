package admin_test

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// What a key's answer shows, and a request to make one may not say, may not be
// said in any body at all, at any depth.
func TestNoRowTakesAFieldThatIsOnlyShown(t *testing.T) {
	s := newSite(t, signedByTest)
	shown := s.document.object("components", "schemas", "KeyWithSecret", "properties")
	said := s.document.object("components", "schemas", "CreateRequest", "properties")
	var fields []string
	for field := range shown {
		if _, ok := said[field]; !ok {
			fields = append(fields, field)
		}
	}
	if len(fields) < 10 {
		t.Fatalf("only %v are shown and not said", fields)
	}
	fields = append(fields, "ID", "Admin", "is_admin", "digest", "version", "__proto__")
	before := s.stored()
	for _, r := range s.rows() {
		if r.body == "" || r.schema["type"] == "array" { // GitHub may add members to its alerts
			continue
		}
		for _, field := range fields {
			for _, body := range withMember(t, r.body, field) {
				takes := s.document.object("components", "schemas", "ImportKey", "properties")
				if _, ok := takes[field]; ok && r.id == "importKeys" {
					continue
				}
				if _, ok := r.schema["properties"].(map[string]any)[field]; ok {
					continue
				}
				answer := r.send(s, body)
				answer.problem(422, "invalid_request")
				if told := slices.Collect(maps.Keys(answer.faults())); len(told) != 1 || !strings.HasSuffix(told[0], field) {
					t.Errorf("%s of %s: the faults are %v", body, r.id, told)
				}
			}
		}
	}
	if s.stored() != before {
		t.Error("something was stored")
	}
}

// withMember returns a body with one more member, in each of its objects in
// turn.
func withMember(t *testing.T, body, member string) (all []string) {
	t.Helper()
	for place := 0; ; place++ {
		var tree any
		if err := json.Unmarshal([]byte(body), &tree); err != nil {
			t.Fatal(err)
		}
		left := place
		if !addMember(tree, member, &left) {
			return all
		}
		text, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
}

// addMember adds to the object in that place, and reports whether there is one.
func addMember(tree any, member string, left *int) bool {
	switch tree := tree.(type) {
	case map[string]any:
		if *left--; *left < 0 {
			tree[member] = "write"
			return true
		}
		for _, name := range slices.Sorted(maps.Keys(tree)) {
			if addMember(tree[name], member, left) {
				return true
			}
		}
	case []any:
		for _, item := range tree {
			if addMember(item, member, left) {
				return true
			}
		}
	}
	return false
}

// Which rows are open to everybody is decided here, and not by a slip.
func TestEveryRowNeedsAnAdminKeyButTheOpenOnes(t *testing.T) {
	s := newSite(t, signedByTest)
	powerless, _ := s.seed("powerless", permission.Set{Mode: permission.All}, permission.None)
	before := s.stored()
	var open []string
	for _, r := range s.rows() {
		if r.open {
			open = append(open, r.id)
			continue
		}
		for _, body := range []string{r.body, "", "nonsense"} {
			r.send(s, body, noKey).problem(401, "missing_key")
			r.send(s, body, "Authorization: Bearer config").problem(401, "unknown_key")
			r.send(s, body, "Authorization: Bearer "+powerless).problem(403, "insufficient_access")
		}
	}
	if want := []string{"healthz", "readyz", "reportGitHubAlert", "reportLeak"}; !slices.Equal(open, want) {
		t.Errorf("open to everybody are %v, want %v", open, want)
	}
	if s.stored() != before {
		t.Error("something was stored")
	}
}

func TestNoRowReadsABodyThatIsTooLargeOrTooDeep(t *testing.T) {
	s := newSite(t, signedByTest)
	before := s.stored()
	for _, r := range s.rows() {
		if r.body == "" {
			continue
		}
		r.send(s, r.body+strings.Repeat(" ", r.maxBody+1-len(r.body))).problem(413, "body_too_large")
		for _, deep := range []string{
			strings.Repeat("[", 7_000), // broken, too
			strings.Repeat(`{"":`, 2_000) + "1" + strings.Repeat("}", 2_000),
			`{"permissions": ` + strings.Repeat("[", 3_000) + strings.Repeat("]", 3_000) + "}",
			`[{"token": ` + strings.Repeat("[", 3_000) + strings.Repeat("]", 3_000) + "}]",
		} {
			if answer := r.send(s, deep); answer.status != 400 && answer.status != 422 || len(answer.text) > 4000 {
				t.Errorf("%s answers %d in %d bytes to %.40s…", r.id, answer.status, len(answer.text), deep)
			}
		}
	}
	if s.stored() != before {
		t.Error("something was stored")
	}
}

// A page in the browser of somebody who is signed in can't make it change
// anything, nor read what it was answered.
func TestNoRowIsForPagesOfOtherSites(t *testing.T) {
	s, sessions := newSessionSite(t, signedByTest)
	cookie := s.signIn(sessions, s.admin)
	before := s.stored()
	for _, r := range s.rows() {
		for _, page := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://other.example", "Origin: null"} {
			answer := r.send(s, r.body, noKey, cookie, page)
			if r.method != "GET" && !r.open {
				answer.problem(403, "cross_origin")
			}
			preflight := s.do("OPTIONS", r.path, "", noKey, cookie, page, "Access-Control-Request-Method: "+r.method).want(405)
			for _, a := range []response{answer, preflight} {
				for name := range a.header {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("%s lets pages of other sites in by %s", r.id, name)
					}
				}
			}
		}
	}
	if s.stored() != before {
		t.Error("something was stored")
	}
}

// Whatever stands in a parameter of a row that reads, it is text to the store:
// no fault of it, and no change.
func TestHostileTextInEveryParameterIsText(t *testing.T) {
	s := newSite(t)
	s.create(`{"name": "ci", "owner": "team-7", "permissions": {"mode": "all"}}`)
	hostile := []string{
		"'", `"`, "' OR '1'='1' --", "'; DROP TABLE keys; --", "x') UNION SELECT 1 --", "%", `\`, "*", `NEAR("a")`, "$1", "?1", "\x00", "\r\nX-Injected: 1", "\xff\xfe", "\u202e",
		"-name; --", "name DESC, id", "(SELECT 1)", "../../etc/passwd", "9223372036854775808", "1e999", "2026-01-02T03:04:05Z' --", strings.Repeat("a", 5000),
	}
	before, tried := s.stored(), 0
	for _, r := range s.rows() {
		if r.method != "GET" {
			continue
		}
		for _, p := range r.parameters {
			name, _ := p["name"].(string)
			for _, text := range hostile {
				path := r.path
				switch p["in"] {
				case "query":
					path += "?" + name + "=" + url.QueryEscape(text)
				case "path":
					path = strings.Replace(path, string(s.adminID), url.PathEscape(text), 1)
				default:
					t.Fatalf("%s has the parameter %s in a place that nobody attacks: %v", r.id, name, p["in"])
				}
				tried++
				if answer := s.do("GET", path, ""); answer.status >= 500 || answer.header.Get("X-Injected") != "" {
					t.Errorf("%s=%q of %s is answered %d %s", name, text, r.id, answer.status, answer.text)
				}
			}
		}
	}
	if tried < 400 {
		t.Errorf("only %d requests were tried", tried)
	}
	if s.stored() != before {
		t.Error("reading changed something")
	}
}
