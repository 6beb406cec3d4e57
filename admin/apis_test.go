package admin_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAPIsShowWhatIsDeclaredAndWhatIsRegistered(t *testing.T) {
	s := newSite(t)
	for path, title := range map[string]string{"serverless/endpoints/abc123": "Image resizer", "rest/endpoints/users": "Users", "rest/endpoints/a.b~c": ""} {
		answer := s.do("PUT", "/v1/apis/"+path, `{"title": "  `+title+` "}`).want(200)
		if answer.get("title") != title || !strings.HasSuffix(path, "/"+answer.get("id")) {
			t.Errorf("registered %s", answer.text)
		}
	}
	want := []any{
		map[string]any{"name": "graphql", "title": "GraphQL API", "patterns": []any{"/graphql"}, "endpoints": []any{}},
		map[string]any{"name": "rest", "title": "", "patterns": []any{"/rest/*", "/rest/users", "/rest/users/*"}, "endpoints": []any{
			map[string]any{"id": "a.b~c", "title": ""}, map[string]any{"id": "users", "title": "Users"},
		}},
		map[string]any{"name": "serverless", "title": "", "patterns": []any{"/v2/{endpoint}/*"}, "endpoints": []any{
			map[string]any{"id": "abc123", "title": "Image resizer"},
		}},
	}
	if diff := cmp.Diff(want, s.do("GET", "/v1/apis", "").want(200).tree["data"]); diff != "" {
		t.Errorf("the list differs (-want +got):\n%s", diff)
	}
	s.do("PUT", "/v1/apis/serverless/endpoints/abc123", `{"title": "Resizer"}`).want(200)
	s.do("DELETE", "/v1/apis/serverless/endpoints/abc123", "").want(204)
	s.do("DELETE", "/v1/apis/serverless/endpoints/abc123", "").problem(404, "no_such_endpoint")
	s.do("DELETE", "/v1/apis/nope/endpoints/%00", "").problem(404, "no_such_endpoint")
}

func TestEndpointsAreCheckedBeforeTheyAreRegistered(t *testing.T) {
	s := newSite(t)
	before := s.stored()
	s.do("PUT", "/v1/apis/nope/endpoints/e", `{"title": "x"}`).problem(404, "no_such_api")
	for id, status := range map[string]int{
		"a%2Fb": 422, "a%00b": 422, "a%0Ab": 422, "a%C2%85b": 422, strings.Repeat("x", 129): 422, "%ff": 404, "": 404,
	} {
		answer := s.do("PUT", "/v1/apis/rest/endpoints/"+id, `{"title": "x"}`).want(status)
		if status == 422 {
			if _, ok := answer.faults()["endpoint"]; !ok {
				t.Errorf("%q: %s", id, answer.text)
			}
		}
	}
	for _, body := range []string{`{}`, `{"title": 1}`, `{"title": null}`, `{"title": "a\nb"}`, `{"title": "` + strings.Repeat("x", 201) + `"}`, `{"title": "x", "name": "y"}`} {
		s.do("PUT", "/v1/apis/rest/endpoints/e", body).problem(422, "invalid_request")
	}
	if s.stored() != before {
		t.Error("something was stored")
	}
	for _, id := range []string{"é鍵", "a b", strings.Repeat("é", 128), "..", "a%b"} {
		if got := s.do("PUT", "/v1/apis/rest/endpoints/"+url.PathEscape(id), `{"title": "x"}`).want(200).get("id"); got != id {
			t.Errorf("registered %q as %q", id, got)
		}
	}
}

func TestTheAuditTellsEveryChangeOnce(t *testing.T) {
	s := newSite(t)
	made := s.create(`{"name": "ci", "permissions": {"mode": "all"}}`)
	path, id := made.header.Get("Location"), made.get("id")
	s.do("PATCH", path, `{"enabled": false}`).want(200)
	s.do("PATCH", path, `{"enabled": false}`).want(200) // changes nothing
	s.do("PATCH", path, `{"name": "cd", "enabled": true}`).want(200)
	s.do("POST", path+"/rotate", "").want(200)
	s.do("PUT", "/v1/apis/rest/endpoints/e", `{"title": "E"}`).want(200)
	s.do("DELETE", "/v1/apis/rest/endpoints/e", "").want(204)
	s.do("DELETE", path, "").want(204)
	s.do("POST", "/v1/keys/import", `{"keys": [{"permissions": {"mode": "all"}, "secret": "`+foreign+`"}]}`).want(201)

	var actions []string
	var list []map[string]any
	for cursor := ""; ; {
		page := s.do("GET", "/v1/audit?limit=2&actor="+string(s.adminID)+"&cursor="+url.QueryEscape(cursor), "").want(200)
		for _, item := range page.tree["data"].([]any) {
			entry := item.(map[string]any)
			actions = append(actions, entry["action"].(string))
			list = append(list, entry)
		}
		if page.tree["next_cursor"] == nil {
			break
		}
		cursor = page.get("next_cursor")
	}
	want := []string{"import", "delete", "delete_endpoint", "put_endpoint", "rotate", "update", "disable", "create"}
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Fatalf("the audit differs (-want +got):\n%s", diff)
	}
	created, updated, deleted, endpoint := list[7], list[5], list[1], list[3]
	if created["before"] != nil || created["key"] != id || created["ip"] != "203.0.113.7" || created["at"] != "2026-01-02T03:04:05.678Z" {
		t.Errorf("created: %v", created)
	}
	before, after := updated["before"].(map[string]any), updated["after"].(map[string]any)
	if before["name"] != "ci" || after["name"] != "cd" || deleted["after"] != nil || endpoint["key"] != nil {
		t.Errorf("updated: %v; deleted: %v; endpoint: %v", updated, deleted, endpoint)
	}
	if got := len(s.do("GET", "/v1/audit?key="+id, "").want(200).tree["data"].([]any)); got != 5 {
		t.Errorf("the key has %d entries, want 5", got)
	}
	if got := s.do("GET", "/v1/audit?key=nobody", "").want(200).text; got != `{"data":[],"next_cursor":null}` {
		t.Errorf("no entries are %s", got)
	}
	all := s.do("GET", "/v1/audit", "").text
	for _, secret := range []string{made.get("secret"), s.admin, foreign} {
		if strings.Contains(all, secret) {
			t.Error("the audit holds a secret")
		}
	}
	for _, query := range []string{"limit=0", "limit=201", "cursor=x", "keys=a", "key=a&key=b"} {
		s.do("GET", "/v1/audit?"+query, "").problem(422, "invalid_request")
	}
}
