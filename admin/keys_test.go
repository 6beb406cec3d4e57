package admin_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

const restrictedBody = `{
	"name": "  ci  ", "owner": "team-7", "admin": "none", "enabled": true, "expires_at": "2026-01-02T05:04:05.1239+01:00",
	"permissions": {"mode": "restricted", "apis": {
		"graphql": {"access": "read"},
		"serverless": {"access": "restricted", "endpoints": {"abc.123": "write", "def456": "read"}}}},
	"metadata": {"ticket": "OPS-1"}}`

func TestCreateAnswersTheKeyAndItsSecretOnce(t *testing.T) {
	s := newSite(t)
	s.clock.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixMilli())
	created := s.create(restrictedBody)
	secret, id := created.get("secret"), created.get("id")
	if _, err := keys.ParseSecret(keys.DefaultPrefix, secret); err != nil {
		t.Fatalf("%q: %v", secret, err)
	}
	want := map[string]any{
		"id": id, "name": "ci", "owner": "team-7", "prefix": secret[:11], "secret": secret,
		"permissions": map[string]any{"mode": "restricted", "apis": map[string]any{
			"graphql":    map[string]any{"access": "read"},
			"serverless": map[string]any{"access": "restricted", "endpoints": map[string]any{"abc.123": "write", "def456": "read"}},
		}},
		"admin": "none", "enabled": true, "status": "active", "legacy": false,
		"expires_at": "2026-01-02T04:04:05.123Z", "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
		"created_by": string(s.adminID), "last_used_at": nil, "rotation": nil, "metadata": map[string]any{"ticket": "OPS-1"},
		"allowed_cidrs": []any{},
	}
	if diff := cmp.Diff(want, created.tree); diff != "" {
		t.Fatalf("the answer differs (-want +got):\n%s", diff)
	}
	if got := created.header.Get("Location"); got != "/v1/keys/"+id {
		t.Errorf("Location is %q", got)
	}
	delete(want, "secret")
	got := s.do("GET", created.header.Get("Location"), "").want(200)
	if diff := cmp.Diff(want, got.tree); diff != "" {
		t.Errorf("the stored key differs from the answer (-created +got):\n%s", diff)
	}
	if created.header.Get("ETag") == "" || created.header.Get("ETag") != got.header.Get("ETag") {
		t.Errorf("ETags are %q and %q", created.header.Get("ETag"), got.header.Get("ETag"))
	}
	if d := s.decide("POST", "/v2/abc.123/run", secret); !d.Allowed() {
		t.Errorf("the very next request is refused: %s", d.Detail())
	}
}

func TestCreateFillsInWhatIsLeftOut(t *testing.T) {
	s := newSite(t)
	created := s.create(`{"permissions": {"mode": "restricted"}}`)
	if created.get("name") != created.get("prefix") || created.get("owner") != "" || created.get("admin") != "none" ||
		created.tree["enabled"] != true || created.tree["expires_at"] != nil {
		t.Errorf("defaults are %s", created.text)
	}
	if diff := cmp.Diff(map[string]any{"mode": "restricted", "apis": map[string]any{}}, created.tree["permissions"]); diff != "" {
		t.Error(diff)
	}
	for _, mode := range []string{"all", "read_only"} {
		made := s.create(`{"name": "Ключ 鍵 🔑", "permissions": {"mode": "` + mode + `"}, "enabled": false, "expires_at": null, "admin": "read"}`)
		if diff := cmp.Diff(map[string]any{"mode": mode}, made.tree["permissions"]); diff != "" {
			t.Error(diff)
		}
		if made.get("status") != "disabled" || made.get("name") != "Ключ 鍵 🔑" || made.get("admin") != "read" {
			t.Errorf("made %s", made.text)
		}
	}
}

func TestListPagesAndFilters(t *testing.T) {
	s := newSite(t)
	for i := range 5 {
		s.create(fmt.Sprintf(`{"name": "key %d", "owner": "team-%d", "permissions": {"mode": "restricted", "apis": {"rest": {"access": "read"}}}}`, i, i%2))
	}
	s.create(`{"name": "Größe", "permissions": {"mode": "all"}, "enabled": false}`)
	s.create(`{"name": "short", "permissions": {"mode": "read_only"}, "expires_at": "2026-01-02T03:05:00Z"}`)
	s.pass(time.Minute)

	var seen []string
	for cursor, pages := "", 0; ; pages++ {
		page := s.do("GET", "/v1/keys?limit=3&cursor="+url.QueryEscape(cursor), "").want(200)
		for _, item := range page.tree["data"].([]any) {
			seen = append(seen, item.(map[string]any)["name"].(string))
		}
		if page.tree["next_cursor"] == nil {
			break
		}
		if cursor = page.get("next_cursor"); pages > 5 {
			t.Fatal("the list does not end")
		}
	}
	want := []string{"short", "Größe", "key 4", "key 3", "key 2", "key 1", "key 0", "root"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("newest first, each once (-want +got):\n%s", diff)
	}
	for query, count := range map[string]int{
		"": 8, "owner=&status=&q=&api=&limit=&cursor=": 8, "owner=team-1": 2, "owner=team": 0, "status=active": 6,
		"status=disabled": 1, "status=expired": 1, "q=KEY%203": 1, "q=gr%C3%B6%C3%9FE": 1, "q=team-0": 3, "api=rest": 7,
		"api=graphql": 2, "api=rest&status=active&owner=team-0": 3, "q=" + string(s.adminID): 1, "q=nothing": 0, "limit=200": 8, "limit=1": 1,
	} {
		page := s.do("GET", "/v1/keys?"+query, "").want(200)
		if got := len(page.tree["data"].([]any)); got != count {
			t.Errorf("?%s finds %d keys, want %d", query, got, count)
		}
	}
}

func TestListRefusesWhatIsOutOfRange(t *testing.T) {
	s := newSite(t)
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=201": "limit", "limit=-1": "limit", "limit=ten": "limit", "limit=1.5": "limit", "limit=99999999999999999999": "limit",
		"status=Active": "status", "status=deleted": "status", "cursor=nonsense": "cursor", "cursor=%00": "cursor", "api=nope": "api", "api=A": "api",
		"stat=active": "stat", "limit=1&limit=2": "limit", "q=%ff": "q", "q=%00": "q", "%zz": "", "a;b": "",
		"q=" + strings.Repeat("x", 201): "q",
	} {
		answer := s.do("GET", "/v1/keys?"+query, "").problem(422, "invalid_request")
		if _, ok := answer.faults()[field]; !ok {
			t.Errorf("?%s: faults are %v, want one of %q", query, answer.faults(), field)
		}
	}
	answer := s.do("GET", "/v1/keys?limit=0&status=x&nope=1&api=unknown", "").problem(422, "invalid_request")
	if got := len(answer.faults()); got != 4 {
		t.Errorf("of four faults %d were told: %s", got, answer.text)
	}
	s.create(`{"permissions": {"mode": "all"}}`)
	cursor := s.do("GET", "/v1/keys?limit=1", "").want(200).get("next_cursor")
	s.do("GET", "/v1/audit?cursor="+cursor, "").problem(422, "invalid_request")
}

func TestPatchChangesWhatItNames(t *testing.T) {
	s := newSite(t)
	created := s.create(restrictedBody)
	path := created.header.Get("Location")
	s.pass(time.Second)
	for _, c := range []struct {
		patch, field string
		want         any
	}{
		{`{"name": " deploy "}`, "name", "deploy"},
		{`{"owner": ""}`, "owner", ""},
		{
			`{"permissions": {"mode": "restricted", "apis": {"rest": {"access": "none"}}}}`, "permissions",
			map[string]any{"mode": "restricted", "apis": map[string]any{"rest": map[string]any{"access": "none"}}},
		},
		{`{"permissions": {"mode": "all"}}`, "permissions", map[string]any{"mode": "all"}},
		{`{"admin": "read"}`, "admin", "read"},
		{`{"enabled": false}`, "status", "disabled"},
		{`{"enabled": true}`, "enabled", true},
		{`{"expires_at": "2027-01-01T00:00:00Z"}`, "expires_at", "2027-01-01T00:00:00Z"},
		{`{"expires_at": null}`, "expires_at", nil},
		{`{"metadata": {"a": "1", "ticket": "OPS-2"}}`, "metadata", map[string]any{"a": "1", "ticket": "OPS-2"}},
		{`{"metadata": {"ticket": null, "b": ""}}`, "metadata", map[string]any{"a": "1", "b": ""}},
		{`{"metadata": {}}`, "metadata", map[string]any{"a": "1", "b": ""}},
		{`{"metadata": null}`, "metadata", map[string]any{}},
	} {
		before := s.do("GET", path, "").want(200)
		after := s.do("PATCH", path, c.patch, "Content-Type: application/merge-patch+json").want(200)
		if diff := cmp.Diff(c.want, after.tree[c.field]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.patch, diff)
		}
		for field, value := range before.tree {
			if field == "status" || field == "updated_at" || strings.Contains(c.patch, `"`+field+`"`) {
				continue
			}
			if diff := cmp.Diff(value, after.tree[field]); diff != "" {
				t.Errorf("%s changes %s too:\n%s", c.patch, field, diff)
			}
		}
		unchanged := cmp.Equal(before.tree, after.tree)
		if same := before.header.Get("ETag") == after.header.Get("ETag"); same != unchanged {
			t.Errorf("%s: same ETag is %t, same key is %t", c.patch, same, unchanged)
		}
		if _, told := after.tree["secret"]; told {
			t.Error("an edit shows the secret")
		}
	}
}

func TestThePatchedKeyIsJudgedAnewByTheVeryNextRequest(t *testing.T) {
	s := newSite(t)
	created := s.create(`{"permissions": {"mode": "all"}}`)
	path, secret := created.header.Get("Location"), created.get("secret")
	for _, c := range []struct {
		patch string
		want  gate.Outcome
	}{
		{`{}`, gate.Allowed},
		{`{"permissions": {"mode": "read_only"}}`, gate.InsufficientAccess},
		{`{"permissions": {"mode": "restricted", "apis": {"rest": {"access": "write"}}}}`, gate.Allowed},
		{`{"enabled": false}`, gate.DisabledKey},
		{`{"enabled": true}`, gate.Allowed},
	} {
		s.do("PATCH", path, c.patch).want(200)
		if d := s.decide("POST", "/rest/users", secret); d.Outcome != c.want {
			t.Errorf("after %s the decision is %s, want %s", c.patch, d.Outcome, c.want)
		}
	}
	s.do("PATCH", path, `{"expires_at": "2026-01-02T03:04:06Z"}`).want(200)
	s.clock.Store(time.Date(2026, 1, 2, 3, 4, 5, 999_000_000, time.UTC).UnixMilli())
	if d := s.decide("POST", "/rest/users", secret); !d.Allowed() {
		t.Errorf("a millisecond before its expiry: %s", d.Outcome)
	}
	s.pass(time.Millisecond)
	if d := s.decide("POST", "/rest/users", secret); d.Outcome != gate.ExpiredKey {
		t.Errorf("at its expiry: %s", d.Outcome)
	}
	if got := s.do("GET", path, "").want(200).get("status"); got != "expired" {
		t.Errorf("its status is %s", got)
	}
}

func TestMetadataIsBoundedAfterTheMerge(t *testing.T) {
	s := newSite(t)
	var pairs []string
	for i := range 16 {
		pairs = append(pairs, fmt.Sprintf(`"k%d": "v"`, i))
	}
	path := s.create(`{"permissions": {"mode": "all"}, "metadata": {` + strings.Join(pairs, ",") + `}}`).header.Get("Location")
	before := s.stored()
	answer := s.do("PATCH", path, `{"metadata": {"one more": "v"}}`).problem(422, "invalid_request")
	if _, ok := answer.faults()["metadata"]; !ok || s.stored() != before {
		t.Errorf("a seventeenth pair: %s", answer.text)
	}
	s.do("PATCH", path, `{"metadata": {"one more": "v", "k3": null}}`).want(200)
}

func TestDeleteRefusesTheSecretFromThenOn(t *testing.T) {
	s := newSite(t)
	created := s.create(`{"permissions": {"mode": "all"}}`)
	path, secret := created.header.Get("Location"), created.get("secret")
	if d := s.decide("GET", "/rest/users", secret); !d.Allowed() {
		t.Fatal(d.Detail())
	}
	if gone := s.do("DELETE", path, "").want(204); gone.text != "" {
		t.Errorf("a 204 has the body %q", gone.text)
	}
	if d := s.decide("GET", "/rest/users", secret); d.Outcome != gate.UnknownKey {
		t.Errorf("a deleted key is %s", d.Outcome)
	}
	for _, method := range []string{"GET", "DELETE"} {
		s.do(method, path, "").problem(404, "no_such_key")
	}
	s.do("PATCH", path, `{}`).problem(404, "no_such_key")
	s.do("POST", path+"/rotate", "").problem(404, "no_such_key")
}

func TestRotateKeepsTheIDAndGivesAGrace(t *testing.T) {
	s := newSite(t)
	created := s.create(`{"permissions": {"mode": "all"}}`)
	path, first := created.header.Get("Location"), created.get("secret")
	rotated := s.do("POST", path+"/rotate", `{"grace_seconds": 3600}`).want(200)
	second := rotated.get("secret")
	if rotated.get("id") != created.get("id") || second == first || rotated.get("prefix") != second[:11] {
		t.Errorf("rotated to %s", rotated.text)
	}
	want := map[string]any{"previous_prefix": first[:11], "previous_expires_at": "2026-01-02T04:04:05.678Z"}
	if diff := cmp.Diff(want, s.do("GET", path, "").want(200).tree["rotation"]); diff != "" {
		t.Errorf("rotation differs (-want +got):\n%s", diff)
	}
	for _, secret := range []string{first, second} {
		if d := s.decide("GET", "/rest/users", secret); !d.Allowed() {
			t.Errorf("in the grace: %s", d.Outcome)
		}
	}
	s.pass(time.Hour)
	if d := s.decide("GET", "/rest/users", first); d.Outcome != gate.UnknownKey {
		t.Errorf("after the grace: %s", d.Outcome)
	}
	if got := s.do("GET", path, "").want(200).tree["rotation"]; got != nil {
		t.Errorf("after the grace rotation is %v", got)
	}
	third := s.do("POST", path+"/rotate", "").want(200).get("secret") // no body, no Content-Type
	for secret, want := range map[string]gate.Outcome{first: gate.UnknownKey, second: gate.UnknownKey, third: gate.Allowed} {
		if d := s.decide("GET", "/rest/users", secret); d.Outcome != want {
			t.Errorf("%s is %s, want %s", secret[:11], d.Outcome, want)
		}
	}
}

func TestRotateRefusesABadGrace(t *testing.T) {
	s := newSite(t)
	path := s.create(`{"permissions": {"mode": "all"}}`).header.Get("Location") + "/rotate"
	for body, status := range map[string]int{
		`{"grace_seconds": -1}`: 422, `{"grace_seconds": 2592001}`: 422, `{"grace_seconds": 0.5}`: 422, `{"grace_seconds": "60"}`: 422,
		`{"grace_seconds": null}`: 422, `{"grace_seconds": 1e999}`: 422, `{"Grace_seconds": 1}`: 422, `[]`: 422, `null`: 422, ` `: 400,
		`{"grace_seconds": 2592000}`: 200, `{"grace_seconds": 1e3}`: 200, `{}`: 200,
	} {
		s.do("POST", path, body).want(status)
	}
	s.do("POST", path, `{}`, "Content-Type: ").problem(415, "unsupported_media_type")
}

func TestIfMatchGuardsAgainstLostUpdates(t *testing.T) {
	s := newSite(t)
	created := s.create(`{"permissions": {"mode": "all"}}`)
	path, old := created.header.Get("Location"), created.header.Get("ETag")
	current := s.do("PATCH", path, `{"name": "second"}`, "If-Match: "+old).want(200).header.Get("ETag")
	if current == old {
		t.Fatal("an edit leaves the ETag")
	}
	before := s.stored()
	for _, condition := range []string{old, "W/" + current, strings.Trim(current, `"`), `""`, "nonsense", old + ", " + `"99"`} {
		header := "If-Match: " + condition
		s.do("PATCH", path, `{"name": "third"}`, header).problem(412, "precondition_failed")
		s.do("DELETE", path, "", header).problem(412, "precondition_failed")
		s.do("POST", path+"/rotate", "", header).problem(412, "precondition_failed")
	}
	if s.stored() != before {
		t.Error("a refused change was stored")
	}
	s.do("PATCH", path, `{"name": "third"}`, "If-Match: "+old+" , "+current).want(200)
	s.do("POST", path+"/rotate", "", "If-Match: *").want(200)
	latest := s.do("GET", path, "").header.Get("ETag")
	s.do("POST", path+"/rotate", "", "If-Match: "+latest).want(200)
	s.do("DELETE", path, "", "If-Match: "+latest).problem(412, "precondition_failed")
	s.do("DELETE", path, "", "If-Match: "+s.do("GET", path, "").header.Get("ETag")).want(204)
	s.do("DELETE", path, "", "If-Match: *").problem(404, "no_such_key")
}

func TestOfTwoPatchesOfOneStateExactlyOneWins(t *testing.T) {
	s := newSite(t)
	created := s.create(`{"permissions": {"mode": "all"}}`)
	path, tag := created.header.Get("Location"), created.header.Get("ETag")
	const callers = 8
	statuses := make([]int, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			statuses[i] = s.do("PATCH", path, fmt.Sprintf(`{"name": "writer %d"}`, i), "If-Match: "+tag).status
		})
	}
	all.Wait()
	won := map[int]int{}
	for _, status := range statuses {
		won[status]++
	}
	if won[200] != 1 || won[412] != callers-1 {
		t.Errorf("of %d callers with one ETag: %v", callers, won)
	}
}

func TestTheLastAdminKeyStays(t *testing.T) {
	s := newSite(t)
	path := "/v1/keys/" + string(s.adminID)
	s.seed("reader", permission.Set{}, permission.Read)
	disabled := s.create(`{"permissions": {"mode": "all"}, "admin": "write", "enabled": false}`).header.Get("Location")
	before := s.stored()
	s.do("DELETE", path, "").problem(409, "last_admin_key")
	for _, patch := range []string{`{"enabled": false}`, `{"admin": "read"}`, `{"admin": "none"}`} {
		s.do("PATCH", path, patch).problem(409, "last_admin_key")
	}
	if s.stored() != before {
		t.Error("a refused change was stored")
	}
	s.do("PATCH", disabled, `{"enabled": true}`).want(200)
	s.do("DELETE", path, "").want(204)
}

func TestOfTwoAdminKeysDeletedAtOnceOneStays(t *testing.T) {
	s := newSite(t)
	_, other := s.seed("other", permission.Set{}, permission.Write)
	statuses := make([]int, 2)
	var all sync.WaitGroup
	for i, id := range []keys.ID{s.adminID, other} {
		all.Go(func() { statuses[i] = s.do("DELETE", "/v1/keys/"+string(id), "").status })
	}
	all.Wait()
	if got := [2]int{min(statuses[0], statuses[1]), max(statuses[0], statuses[1])}; got != [2]int{204, 409} && got != [2]int{204, 401} {
		t.Errorf("two deletes answered %v", statuses)
	}
}

func TestWithAConfiguredAdminKeyTheLastStoredOneMayGo(t *testing.T) {
	const configured = "a configured admin key, of no format"
	s := newSite(t, withConfigAdmin(t, configured))
	s.do("DELETE", "/v1/keys/"+string(s.adminID), "").want(204)
	s.do("GET", "/v1/keys", "").problem(401, "unknown_key")
	s.do("POST", "/v1/keys", `{"permissions": {"mode": "all"}}`, "Authorization: Bearer "+configured).want(201)
}

func withConfigAdmin(t testing.TB, secret string) func(*admin.Options) {
	t.Helper()
	digest := digestOf(secret)
	return func(o *admin.Options) { o.ConfigAdmin = &digest }
}
