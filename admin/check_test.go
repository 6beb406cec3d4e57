package admin_test

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestCheckTellsWhatTheGatewayWouldDecide(t *testing.T) {
	s := newSite(t)
	made := s.create(`{"permissions": {"mode": "restricted", "apis": {
		"graphql": {"access": "read"}, "rest": {"access": "restricted", "endpoints": {"users": "read"}},
		"serverless": {"access": "restricted", "endpoints": {"abc123": "write", "def456": "read"}}}}}`)
	secret, id := made.get("secret"), made.get("id")
	for _, c := range []struct {
		method, path              string
		status                    int
		code                      string
		api, endpoint, needs, has string
	}{
		{"POST", "/v2/abc123/run", 200, "allowed", "serverless", "abc123", "write", "write"},
		{"POST", "/v2/def456/run", 403, "insufficient_access", "serverless", "def456", "write", "read"},
		{"POST", "/v2/def456/status/7", 200, "allowed", "serverless", "def456", "read", "read"},
		{"GET", "/v2/ghi789/run?x=1", 403, "insufficient_access", "serverless", "ghi789", "read", "none"},
		{"GET", "/rest/users", 200, "allowed", "rest", "users", "read", "read"},
		{"GET", "/rest/orders", 403, "insufficient_access", "rest", "", "read", "none"},
		{"GET", "/nowhere", 404, "no_such_api", "", "", "none", "none"},
		{"GET", "/healthz", 200, "allowed", "", "", "none", "none"},
		{"GET", "/rest//users", 400, "ambiguous_request", "", "", "none", "none"},
		{"GET", "/rest/%2e%2e/users", 400, "ambiguous_request", "", "", "none", "none"},
		{"TRACE", "/rest/users", 405, "method_not_allowed", "", "", "none", "none"},
		{"POST", "/graphql", 403, "insufficient_access", "graphql", "", "write", "read"},
	} {
		for _, who := range []string{`"secret": "` + secret + `"`, `"id": "` + id + `"`} {
			before := s.stored()
			answer := s.do("POST", "/v1/keys/check", `{`+who+`, "method": "`+c.method+`", "path": "`+c.path+`"}`).want(200)
			detail := answer.get("detail")
			want := map[string]any{
				"allowed": c.code == "allowed", "status": float64(c.status), "code": c.code, "detail": detail,
				"api": c.api, "endpoint": c.endpoint, "needs": c.needs, "has": c.has,
			}
			if diff := cmp.Diff(want, answer.tree); diff != "" || detail == "" {
				t.Errorf("%s %s by %.9s (-want +got):\n%s", c.method, c.path, who, diff)
			}
			if s.stored() != before {
				t.Errorf("checking %s %s changed something", c.method, c.path)
			}
		}
		if u, err := url.ParseRequestURI(c.path); c.path != "/graphql" && err == nil && u != nil {
			if d := s.decide(c.method, c.path, secret); d.Outcome.Code() != c.code {
				t.Errorf("%s %s: the gateway itself decides %s", c.method, c.path, d.Outcome)
			}
		}
	}
}

func TestCheckJudgesTheKeyAsItIsNow(t *testing.T) {
	s := newSite(t)
	made := s.create(`{"permissions": {"mode": "all"}, "expires_at": "2027-01-01T00:00:00Z"}`)
	path, secret, id := made.header.Get("Location"), made.get("secret"), made.get("id")
	unknown, err := keys.NewSecret(keys.DefaultPrefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	check := func(who string) string {
		return s.do("POST", "/v1/keys/check", `{`+who+`, "method": "GET", "path": "/rest/users"}`).want(200).get("code")
	}
	both := []string{`"secret": "` + secret + `"`, `"id": "` + id + `"`}
	expect := func(want string) {
		t.Helper()
		for _, who := range both {
			if got := check(who); got != want {
				t.Errorf("%.9s is %s, want %s", who, got, want)
			}
		}
	}
	expect("allowed")
	s.do("PATCH", path, `{"enabled": false}`).want(200)
	expect("disabled_key")
	s.do("PATCH", path, `{"enabled": true}`).want(200)
	s.clock.Store(theTime.AddDate(2, 0, 0).UnixMilli())
	expect("expired_key")
	s.do("DELETE", path, "").want(204)
	for _, text := range []string{secret, unknown.Reveal(), "short", "with space", "unprintable\\u0001", "naïve", ""} {
		if got := check(`"secret": "` + text + `"`); got != "unknown_key" {
			t.Errorf("%q is %s", text, got)
		}
	}
	s.do("POST", "/v1/keys/check", `{"id": "`+id+`", "method": "GET", "path": "/"}`).problem(404, "no_such_key")
}

func TestCheckRefusesWhatIsNoQuestion(t *testing.T) {
	s := newSite(t)
	for body, fields := range map[string][]string{
		`{}`: {"method", "path", "secret"},
		`{"secret": "a", "id": "b", "method": "GET", "path": "/"}`: {"secret"},
		`{"secret": 1, "method": "G T", "path": "x"}`:              {"method", "path", "secret"},
		`{"id": "é", "method": "", "path": null}`:                  {"id", "method", "path"},
		`{"secret": null, "method": "GET", "path": ""}`:            {"path", "secret"},
		`[]`: {""},
	} {
		answer := s.do("POST", "/v1/keys/check", body).problem(422, "invalid_request")
		got := answer.faults()
		for _, field := range fields {
			if _, ok := got[field]; !ok || len(got) != len(fields) {
				t.Errorf("%s: faults are %v, want %v", body, got, fields)
			}
		}
	}
}
