package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/usage"
)

// counted is a site that counts how keys are used, and one key of it.
type counted struct {
	*site
	recorder *usage.Recorder
	id       string
}

func newCounted(t testing.TB, permissions string) *counted {
	t.Helper()
	c := &counted{}
	c.site = newSite(t, func(o *admin.Options) {
		c.recorder = usage.New(o.Store)
		o.Usage = c.recorder
	})
	c.id = c.create(`{"name": "ci", "owner": "team-7", "permissions": ` + permissions + `}`).get("id")
	return c
}

// used counts n requests, some time ago: "rest/users read".
func (c *counted) used(n int, what, outcome string, ago time.Duration) {
	c.t.Helper()
	target, word, _ := strings.Cut(what, " ")
	api, endpoint, _ := strings.Cut(target, "/")
	access, err := permission.ParseAccess(word)
	if err != nil {
		c.t.Fatal(err)
	}
	id := keys.NewIdentity(keys.Digest{}, keys.Names{ID: keys.ID(c.id)}, nil, 0)
	for range n {
		c.recorder.Count(id, keys.What{API: api, Endpoint: endpoint, Access: access, Outcome: outcome}, c.now().Add(-ago))
	}
}

const (
	everything = `{"mode": "all"}`
	aDay       = 24 * time.Hour
)

func TestUsageIsThereAtOnceOnTheNodeThatCounted(t *testing.T) {
	c := newCounted(t, everything)
	empty := c.do("GET", "/v1/keys/"+c.id+"/usage", "").want(200)
	if empty.tree["requests"] != 0.0 || len(empty.tree["series"].([]any)) != 25 || empty.tree["recording"] != true || empty.tree["recorded_since"] != nil {
		t.Errorf("before any use: %s", empty.text)
	}
	c.used(3, "rest/users read", "allowed", 0)
	c.used(2, "rest/users read", "allowed", 2*time.Hour)
	c.used(1, "graphql write", "insufficient_access", time.Hour)
	c.used(50, "rest read", "allowed", 3*aDay)
	got := c.do("GET", "/v1/keys/"+c.id+"/usage", "").want(200)
	delete(got.tree, "series")
	want := map[string]any{
		"from": "2026-01-01T03:00:00Z", "to": "2026-01-02T04:00:00Z", "step": "hour", "requests": 6.0, "allowed": 5.0, "refused": 1.0,
		"lately":    map[string]any{"requests_24h": 5.0, "requests_7d": 55.0, "last_used_at": "2026-01-02T03:04:05.678Z"},
		"recording": true, "recorded_since": "2025-12-30T00:00:00Z", "more_uses": 0.0,
		"uses": []any{
			map[string]any{"api": "rest", "endpoint": "users", "other_endpoints": false, "access": "read", "outcome": "allowed", "requests": 5.0, "last_at": "2026-01-02T03:04:05.678Z"},
			map[string]any{"api": "graphql", "endpoint": "", "other_endpoints": false, "access": "write", "outcome": "insufficient_access", "requests": 1.0, "last_at": "2026-01-02T02:04:05.678Z"},
		},
	}
	if diff := cmp.Diff(want, got.tree); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUsageFillsEveryBucket(t *testing.T) {
	c := newCounted(t, everything)
	c.used(3, "rest read", "allowed", 0)
	c.used(1, "rest write", "allowed", 90*time.Minute)
	for query, want := range map[string]string{
		"step=hour&from=2026-01-02T00:00:00Z":                             "0 1 0 3",
		"step=hour&from=2026-01-02T00:30:00Z&to=2026-01-02T02:00:00.001Z": "0 1 0",
		"step=day&from=2025-12-30T12:00:00%2B02:00":                       "0 0 0 4",
		"step=minute&from=2026-01-02T03:00:00Z&to=2026-01-02T03:05:00Z":   "0 0 0 0 3",
	} {
		got := c.do("GET", "/v1/keys/"+c.id+"/usage?"+query, "").want(200)
		var allowed []string
		for _, b := range got.tree["series"].([]any) {
			allowed = append(allowed, fmt.Sprint(b.(map[string]any)["allowed"]))
		}
		if text := strings.Join(allowed, " "); text != want {
			t.Errorf("%s: %s, want %s", query, text, want)
		}
	}
}

func TestFaultsOfUsageAreNamed(t *testing.T) {
	c := newCounted(t, everything)
	path := "/v1/keys/" + c.id
	for query, field := range map[string]string{
		"/usage?step=week": "step", "/usage?from=yesterday": "from", "/usage?to=2026-01-02": "to",
		"/usage?from=2026-01-02T05:00:00Z": "from", "/usage?from=2026-01-02T03:00:00Z&to=2026-01-02T03:00:00Z": "from",
		"/usage?step=minute&from=2025-12-01T00:00:00Z": "from", "/usage?step=day&from=0001-01-01T00:00:00Z": "from",
		"/usage?days=3": "days", "/suggestion?days=0": "days", "/suggestion?days=367": "days", "/suggestion?days=x": "days", "/suggestion?step=day": "step",
	} {
		answer := c.do("GET", path+query, "").problem(422, "invalid_request")
		if answer.faults()[field] == "" {
			t.Errorf("%s: the faults are %v, want one of %s", query, answer.faults(), field)
		}
	}
	for body, field := range map[string]string{
		`{}`: "", `{"days": 3}`: "", `{"delete": false}`: "", `{"days": 0, "delete": true}`: "days", `{"days": 9999, "delete": true}`: "days",
		`{"permissions": {"mode": "some"}}`: "permissions.mode", `{"permissions": null}`: "permissions", `{"enabled": "no"}`: "enabled",
		`{"permissions": {"mode": "restricted", "apis": {"nope": {"access": "read"}}}}`: "permissions.apis.nope", `{"expires_at": null}`: "expires_at",
	} {
		answer := c.do("POST", path+"/impact", body).problem(422, "invalid_request")
		if answer.faults()[field] == "" {
			t.Errorf("%s: the faults are %v, want one of %q", body, answer.faults(), field)
		}
	}
	for query, field := range map[string]string{"": "group_by", "?group_by=name": "group_by", "?group_by=api&limit=201": "limit", "?group_by=api&from=2026-01-03T00:00:00Z": "from"} {
		answer := c.do("GET", "/v1/usage"+query, "").problem(422, "invalid_request")
		if len(answer.faults()) != 1 || answer.faults()[field] == "" {
			t.Errorf("%s: the faults are %v, want one of %s", query, answer.faults(), field)
		}
	}
	for _, id := range []string{"key_x", strings.Repeat("x", 500), "%00", "é"} {
		c.do("GET", "/v1/keys/"+id+"/usage", "").problem(404, "no_such_key")
		c.do("GET", "/v1/keys/"+id+"/suggestion", "").problem(404, "no_such_key")
		c.do("POST", "/v1/keys/"+id+"/impact", `{"delete": true}`).problem(404, "no_such_key")
	}
}

func TestReadingUsageNeedsAdminRead(t *testing.T) {
	c := newCounted(t, everything)
	reader, _ := c.seed("reader", permission.Set{}, permission.Read)
	nobody, _ := c.seed("nobody", permission.Set{Mode: permission.All}, permission.None)
	before := c.stored()
	for _, r := range [][3]string{
		{"GET", "/v1/keys/" + c.id + "/usage"},
		{"GET", "/v1/keys/" + c.id + "/suggestion"},
		{"GET", "/v1/usage?group_by=api"},
		{"POST", "/v1/keys/" + c.id + "/impact", `{"delete": true}`},
	} {
		c.do(r[0], r[1], r[2], "Authorization: Bearer "+reader).want(200)
		c.do(r[0], r[1], r[2], "Authorization: Bearer "+nobody).problem(403, "insufficient_access")
		c.do(r[0], r[1], r[2], "Authorization: ").problem(401, "missing_key")
	}
	if c.stored() != before {
		t.Error("asking changed something")
	}
}

func TestImpactIsWhatTheChangeWouldHaveRefused(t *testing.T) {
	c := newCounted(t, everything)
	c.used(5, "rest/users read", "allowed", time.Hour)
	c.used(4, "rest/users write", "allowed", 2*aDay)
	c.used(3, "rest read", "allowed", 3*aDay)
	c.used(2, "serverless/abc123 write", "allowed", 29*aDay)
	c.used(9, "graphql write", "allowed", 40*aDay)                 // too long ago
	c.used(7, "graphql write", "insufficient_access", time.Hour)   // refused already
	c.used(6, "serverless/x read", "would_unknown_key", time.Hour) // and reported
	for _, x := range []struct {
		body     string
		refused  float64
		last     any
		on       []string
		requests float64
	}{
		{`{"delete": true}`, 14, "2026-01-02T02:04:05.678Z", []string{"rest/users read none unknown_key 5", "rest/users write none unknown_key 4", "rest/ read none unknown_key 3", "serverless/abc123 write none unknown_key 2"}, 14},
		{`{"enabled": false, "days": 1}`, 5, "2026-01-02T02:04:05.678Z", []string{"rest/users read none disabled_key 5"}, 5},
		{`{"enabled": true}`, 0, nil, nil, 14},
		{`{"permissions": {"mode": "all"}}`, 0, nil, nil, 14},
		{`{"permissions": {"mode": "read_only"}}`, 6, "2025-12-31T03:04:05.678Z", []string{"rest/users write read insufficient_access 4", "serverless/abc123 write read insufficient_access 2"}, 14},
		{
			`{"permissions": {"mode": "restricted", "apis": {"rest": {"access": "restricted", "endpoints": {"users": "write"}}}}}`,
			5, "2025-12-30T03:04:05.678Z",
			[]string{"rest/ read none insufficient_access 3", "serverless/abc123 write none insufficient_access 2"},
			14,
		},
		{`{"permissions": {"mode": "all"}, "delete": true, "days": 366}`, 23, "2026-01-02T02:04:05.678Z", nil, 23},
	} {
		got := c.do("POST", "/v1/keys/"+c.id+"/impact", x.body).want(200)
		if got.tree["refused"] != x.refused || got.tree["requests"] != x.requests || got.tree["last_refused_at"] != x.last {
			t.Errorf("%s: %v of %v refused, the last at %v; want %v of %v, %v", x.body,
				got.tree["refused"], got.tree["requests"], got.tree["last_refused_at"], x.refused, x.requests, x.last)
		}
		var on []string
		for _, item := range got.tree["uses"].([]any) {
			u := item.(map[string]any)
			on = append(on, fmt.Sprintf("%s/%s %s %s %s %v", u["api"], u["endpoint"], u["access"], u["has"], u["code"], u["requests"]))
		}
		if diff := cmp.Diff(x.on, on); x.on != nil && diff != "" {
			t.Errorf("%s (-want +got):\n%s", x.body, diff)
		}
	}
}

// What the gateway decides after the change is what was foretold.
func TestImpactForetellsWhatTheGatewayDecides(t *testing.T) {
	c := newCounted(t, everything)
	created := c.create(`{"permissions": {"mode": "all"}}`)
	c.id = created.get("id")
	requests := map[string][2]string{
		"rest/users read": {"GET", "/rest/users"}, "rest read": {"GET", "/rest/else"}, "rest write": {"POST", "/rest/else"},
		"serverless/a read": {"POST", "/v2/a/status/1"}, "serverless/b write": {"POST", "/v2/b/run"},
	}
	for what := range requests {
		c.used(1, what, "allowed", time.Hour)
	}
	for _, permissions := range []string{
		`{"mode": "read_only"}`, `{"mode": "restricted"}`, `{"mode": "restricted", "apis": {"rest": {"access": "read"}}}`,
		`{"mode": "restricted", "apis": {"rest": {"access": "restricted", "endpoints": {"users": "read"}}, "serverless": {"access": "write"}}}`,
		`{"mode": "restricted", "apis": {"serverless": {"access": "restricted", "endpoints": {"a": "read", "b": "read"}}, "rest": {"access": "none"}}}`,
	} {
		told := c.do("POST", "/v1/keys/"+c.id+"/impact", `{"permissions": `+permissions+`}`).want(200)
		foretold := map[string]bool{}
		for _, item := range told.tree["uses"].([]any) {
			u := item.(map[string]any)
			foretold[strings.TrimSuffix(fmt.Sprintf("%s/%s", u["api"], u["endpoint"]), "/")+" "+u["access"].(string)] = true
		}
		c.do("PATCH", "/v1/keys/"+c.id, `{"permissions": `+permissions+`}`).want(200)
		for what, r := range requests {
			if d := c.decide(r[0], r[1], created.get("secret")); d.Allowed() == foretold[what] {
				t.Errorf("%s: %s is %s, and was foretold to be refused: %t", permissions, what, d.Detail(), foretold[what])
			}
		}
	}
}

func TestManyUsesAreCutAndCounted(t *testing.T) {
	c := newCounted(t, everything)
	for i := range 1200 {
		c.used(1, fmt.Sprintf("serverless/e%d read", i), "allowed", 0)
	}
	got := c.do("GET", "/v1/keys/"+c.id+"/usage", "").want(200)
	if len(got.tree["uses"].([]any)) != 1000 || got.tree["more_uses"] != 200.0 || got.tree["requests"] != 1200.0 {
		t.Errorf("%d uses, %v more", len(got.tree["uses"].([]any)), got.tree["more_uses"])
	}
	got = c.do("POST", "/v1/keys/"+c.id+"/impact", `{"delete": true}`).want(200)
	if len(got.tree["uses"].([]any)) != 1000 || got.tree["more_uses"] != 200.0 || got.tree["refused"] != 1200.0 {
		t.Errorf("%d uses, %v more", len(got.tree["uses"].([]any)), got.tree["more_uses"])
	}
}

func TestSumsAreByAPIOwnerAndKey(t *testing.T) {
	c := newCounted(t, everything)
	c.used(3, "rest/users read", "allowed", 0)
	c.used(2, "graphql write", "insufficient_access", 0)
	c.used(90, "graphql read", "allowed", 20*aDay)
	for query, want := range map[string]string{
		"group_by=api":                           "rest <nil> 3/0, graphql <nil> 0/2",
		"group_by=owner":                         "team-7 <nil> 3/2",
		"group_by=key":                           "ci " + c.id + " 3/2",
		"group_by=api&limit=1":                   "rest <nil> 3/0",
		"group_by=api&from=2025-12-01T00:00:00Z": "graphql <nil> 90/2, rest <nil> 3/0",
		"group_by=key&from=2025-12-01T00:00:00Z": "ci " + c.id + " 93/2",
		"group_by=key&from=2024-01-01T00:00:00Z&to=2024-02-01T00:00:00Z": "",
	} {
		got := c.do("GET", "/v1/usage?"+query, "").want(200)
		var sums []string
		for _, item := range got.tree["data"].([]any) {
			sum := item.(map[string]any)
			sums = append(sums, fmt.Sprintf("%v %v %v/%v", sum["name"], sum["key"], sum["allowed"], sum["refused"]))
		}
		if text := strings.Join(sums, ", "); text != want {
			t.Errorf("%s: %s, want %s", query, text, want)
		}
	}
}

func TestUnusedKeysAreListedLongestUnusedFirst(t *testing.T) {
	c := newCounted(t, everything)
	c.pass(10 * aDay)
	c.create(`{"name": "new", "permissions": {"mode": "all"}}`)
	if err := c.store.Touch(t.Context(), map[keys.ID]time.Time{c.adminID: c.now().AddDate(0, 0, -5)}); err != nil {
		t.Fatal(err)
	}
	for since, want := range map[string][]string{
		"2026-01-02T23:00:00Z": nil, "2026-01-03T00:00:00Z": {"ci"}, "2026-01-08T00:00:00%2B01:00": {"ci"},
		"2026-01-09T00:00:00Z": {"ci", "root"}, "2027-01-01T00:00:00Z": {"ci", "root", "new"},
	} {
		// Calls of the API itself are uses of the admin key; they are not written down here.
		list := c.do("GET", "/v1/keys?unused_since="+since, "").want(200)
		var names []string
		for _, item := range list.tree["data"].([]any) {
			names = append(names, item.(map[string]any)["name"].(string))
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("since %s (-want +got):\n%s", since, diff)
		}
	}
	first := c.do("GET", "/v1/keys?unused_since=2027-01-01T00:00:00Z&limit=1", "").want(200)
	rest := c.do("GET", "/v1/keys?unused_since=2027-01-01T00:00:00Z&cursor="+first.get("next_cursor"), "").want(200)
	if len(rest.tree["data"].([]any)) != 2 {
		t.Errorf("the other page is %s", rest.text)
	}
	c.do("GET", "/v1/keys?cursor="+first.get("next_cursor"), "").problem(422, "invalid_request")
	c.do("GET", "/v1/keys?unused_since=30d", "").problem(422, "invalid_request")
}

// unwritable is a store that can't write usage down.
type unwritable struct{ keys.Store }

func (unwritable) AddUsage(context.Context, keys.UsageBatch) error { return errors.New("disk full") }

func TestWhatCanNotBeWrittenKeepsNobodyFromReading(t *testing.T) {
	var recorder *usage.Recorder
	s := newSite(t, func(o *admin.Options) {
		recorder = usage.New(unwritable{o.Store})
		o.Usage = recorder
	})
	recorder.Count(keys.NewIdentity(keys.Digest{}, keys.Names{ID: s.adminID}, nil, 0), keys.What{API: "rest", Outcome: keys.OutcomeAllowed}, s.now())
	got := s.do("GET", "/v1/keys/"+string(s.adminID)+"/usage", "").want(200)
	if got.tree["requests"] != 0.0 {
		t.Errorf("answered %s", got.text)
	}
}

func TestWithoutCountingTheAPISaysSo(t *testing.T) {
	s := newSite(t)
	path := "/v1/keys/" + string(s.adminID)
	for _, got := range []response{s.do("GET", path+"/usage", ""), s.do("GET", path+"/suggestion", ""), s.do("POST", path+"/impact", `{"delete": true}`)} {
		if got.want(200).tree["recording"] != false || got.tree["recorded_since"] != nil {
			t.Errorf("answered %s", got.text)
		}
	}
	c := newCounted(t, everything)
	c.recorder.Configure(0)
	c.used(1, "rest read", "allowed", 0)
	if got := c.do("GET", "/v1/keys/"+c.id+"/usage", "").want(200); got.tree["recording"] != false || got.tree["requests"] != 0.0 {
		t.Errorf("answered %s", got.text)
	}
}

func TestTheClientAsksForUsage(t *testing.T) {
	c := newCounted(t, everything)
	c.used(4, "rest/users read", "allowed", 0)
	client, err := admin.NewClient(c.server.URL, c.admin)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := client.Usage(t.Context(), c.id, admin.UsageFilter{Step: "minute", From: c.now().Add(-time.Minute), To: c.now()})
	if err != nil || got.Requests != 4 || len(got.Series) != 2 {
		t.Errorf("usage %+v, %v", got, err)
	}
	no := false
	impact, _, err := client.Impact(t.Context(), c.id, admin.ImpactRequest{Enabled: &no, Days: 2})
	if err != nil || impact.Refused != 4 || impact.Days != 2 {
		t.Errorf("impact %+v, %v", impact, err)
	}
	suggestion, _, err := client.Suggestion(t.Context(), c.id, 7)
	if err != nil || suggestion.Permissions.APIs["rest"].Endpoints["users"] != "read" || suggestion.Days != 7 {
		t.Errorf("suggestion %+v, %v", suggestion, err)
	}
	sums, _, err := client.SumUsage(t.Context(), "owner", admin.UsageFilter{Limit: 5})
	if err != nil || len(sums.Data) != 1 || sums.Data[0].Name != "team-7" {
		t.Errorf("sums %+v, %v", sums, err)
	}
	list, _, err := client.List(t.Context(), admin.KeyFilter{UnusedSince: c.now().Add(aDay)})
	if err != nil || len(list.Data) != 2 {
		t.Errorf("unused %+v, %v", list, err)
	}
	var refused *admin.Problem
	if _, _, err = client.Usage(t.Context(), "key_x", admin.UsageFilter{}); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("of no key: %v", err)
	}
}

func TestASuggestionIsAPatchThatTheAPITakes(t *testing.T) {
	c := newCounted(t, everything)
	c.used(2, "rest/users read", "allowed", time.Hour)
	c.used(1, "rest/users write", "allowed", 40*aDay)
	c.used(1, "graphql write", "allowed", 2*aDay)
	c.used(1, "gone read", "allowed", time.Hour)
	got := c.do("GET", "/v1/keys/"+c.id+"/suggestion", "").want(200)
	want := map[string]any{
		"mode": "restricted", "apis": map[string]any{
			"graphql": map[string]any{"access": "write"},
			"rest":    map[string]any{"access": "restricted", "endpoints": map[string]any{"users": "read"}},
		},
	}
	if diff := cmp.Diff(want, got.tree["permissions"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.tree["smaller"] != true || got.tree["requests"] != 3.0 || !strings.Contains(got.text, "not declared any more; left out") {
		t.Errorf("answered %s", got.text)
	}
	text, err := json.Marshal(map[string]any{"permissions": got.tree["permissions"]})
	if err != nil {
		t.Fatal(err)
	}
	c.do("PATCH", "/v1/keys/"+c.id, string(text)).want(200)
	if again := c.do("GET", "/v1/keys/"+c.id+"/suggestion?days=30", "").want(200); again.tree["smaller"] != false {
		t.Errorf("the second time: %s", again.text)
	}
	impact := c.do("POST", "/v1/keys/"+c.id+"/impact", string(text)).want(200)
	if impact.tree["refused"] != 1.0 { // of the API that is gone
		t.Errorf("its impact is %s", impact.text)
	}
}
