package admin_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const foreign = "sk_live_51H8xyzABCDEF0123456789"

func TestImportedKeysWorkAtOnce(t *testing.T) {
	s := newSite(t)
	const hashed, own = "0123456789abcdef-of-another-system", "a-third-secret-of-length"
	if d := s.decide("GET", "/rest/users", foreign); d.Outcome != gate.UnknownKey { // remembered as unknown
		t.Fatal(d.Outcome)
	}
	digest := digestOf(hashed)
	answer := s.do("POST", "/v1/keys/import", `{"keys": [
		{"name": "billing", "permissions": {"mode": "all"}, "secret": "`+foreign+`"},
		{"permissions": {"mode": "read_only"}, "sha256": "`+strings.ToUpper(hex.EncodeToString(digest[:]))+`", "owner": "team-7"},
		{"permissions": {"mode": "restricted"}, "secret": "`+own+`", "prefix": "third", "admin": "read", "enabled": false, "metadata": {"a": "b"}}
	]}`).want(201)
	list := answer.tree["data"].([]any)
	first, second, third := list[0].(map[string]any), list[1].(map[string]any), list[2].(map[string]any)
	if first["prefix"] != "sk_live_" || first["name"] != "billing" || third["prefix"] != "third" || third["name"] != "third" || third["status"] != "disabled" {
		t.Errorf("imported %s", answer.text)
	}
	if prefix, _ := second["prefix"].(string); !strings.HasPrefix(prefix, "legacy_") || second["name"] != prefix || second["owner"] != "team-7" {
		t.Errorf("imported %v", second)
	}
	for _, item := range list {
		k := item.(map[string]any)
		if k["legacy"] != true {
			t.Errorf("%v is not legacy", k["name"])
		}
		if diff := cmp.Diff(k, s.do("GET", "/v1/keys/"+k["id"].(string), "").want(200).tree); diff != "" {
			t.Errorf("the stored key differs from the answer:\n%s", diff)
		}
	}
	for secret, want := range map[string]gate.Outcome{foreign: gate.Allowed, hashed: gate.Allowed, own: gate.DisabledKey, "another": gate.UnknownKey} {
		if d := s.decide("GET", "/rest/users", secret); d.Outcome != want {
			t.Errorf("%s is %s, want %s", secret, d.Outcome, want)
		}
	}
	for _, secret := range []string{foreign, own} {
		if strings.Contains(answer.text, secret) {
			t.Error("the answer shows a secret")
		}
	}
	path := "/v1/keys/" + first["id"].(string)
	rotated := s.do("POST", path+"/rotate", "").want(200)
	if _, err := keys.ParseSecret(keys.DefaultPrefix, rotated.get("secret")); err != nil || rotated.tree["legacy"] != false {
		t.Errorf("rotated to %s", rotated.get("prefix"))
	}
}

func TestImportIsAllOrNothing(t *testing.T) {
	s := newSite(t)
	known := s.create(`{"permissions": {"mode": "all"}}`).get("secret")
	before := s.stored()
	for name, c := range map[string]struct {
		keys  []string
		field string
	}{
		"known":            {[]string{`"secret": "a-new-secret-here"`, `"secret": "` + known + `"`}, "keys[1].secret"},
		"twice":            {[]string{`"secret": "a-new-secret-here"`, `"secret": "b-new-secret-here"`, `"secret": "a-new-secret-here"`}, "keys[2].secret"},
		"as text and hash": {[]string{`"secret": "a-new-secret-here"`, fmt.Sprintf(`"sha256": "%x"`, digestOf("a-new-secret-here"))}, "keys[1].secret"},
	} {
		var items []string
		for _, k := range c.keys {
			items = append(items, `{"permissions": {"mode": "all"}, `+k+`}`)
		}
		answer := s.do("POST", "/v1/keys/import", `{"keys": [`+strings.Join(items, ",")+`]}`).problem(409, "known_secret")
		if _, ok := answer.faults()[c.field]; !ok {
			t.Errorf("%s: faults are %v", name, answer.faults())
		}
		if s.stored() != before {
			t.Errorf("%s: something was stored", name)
		}
	}
}

func TestImportTellsEachKeysFaults(t *testing.T) {
	s := newSite(t)
	before := s.stored()
	long := strings.Repeat("x", 513)
	answer := s.do("POST", "/v1/keys/import", `{"keys": [
		{"permissions": {"mode": "all"}, "secret": "fine-secret-number-1"},
		{"permissions": {"mode": "all"}},
		{"permissions": {"mode": "all"}, "secret": "both-are-given-here", "sha256": "`+strings.Repeat("0", 64)+`"},
		{"secret": "has a space"},
		{"permissions": {"mode": "al"}, "secret": "`+long+`", "prefix": ""},
		{"permissions": {"mode": "all"}, "sha256": "abc", "secrets": 1},
		{"permissions": {"mode": "all"}, "secret": "naïve-secret-of-length"},
		{"permissions": {"mode": "restricted", "apis": {"nope": {"access": "read"}}}, "secret": "the-secret-is-shown", "prefix": "the-secret-is-shown"},
		{"permissions": {"mode": "all"}, "secret": "", "name": " ", "expires_at": "2020-01-01T00:00:00Z"},
		7
	]}`).problem(422, "invalid_request")
	want := []string{
		"keys[1].secret", "keys[2].secret", "keys[3].permissions", "keys[3].secret", "keys[4].permissions.mode", "keys[4].prefix",
		"keys[4].secret", "keys[5].secrets", "keys[5].sha256", "keys[6].secret", "keys[7].permissions.apis.nope", "keys[7].prefix",
		"keys[8].expires_at", "keys[8].name", "keys[8].secret", "keys[9]",
	}
	var got []string
	for _, item := range answer.tree["errors"].([]any) {
		got = append(got, item.(map[string]any)["field"].(string))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults differ (-want +got):\n%s\n%s", diff, answer.text)
	}
	for _, secret := range []string{"has a space", long, "naïve", "the-secret", "both-are"} {
		if strings.Contains(answer.text, secret) {
			t.Errorf("the answer repeats %q", secret)
		}
	}
	if s.stored() != before {
		t.Error("something was stored")
	}
	for _, body := range []string{`{}`, `{"keys": null}`, `{"keys": {}}`, `{"keys": []}`, `[]`, `{"keys": [], "key": []}`} {
		s.do("POST", "/v1/keys/import", body).problem(422, "invalid_request")
	}
}

func TestImportTakesTenThousandKeysAndNoMore(t *testing.T) {
	s := newSite(t)
	many := func(n int) string {
		list := make([]any, n)
		for i := range list {
			list[i] = map[string]any{"permissions": map[string]any{"mode": "read_only"}, "sha256": fmt.Sprintf("%064x", i+1)}
		}
		text, err := json.Marshal(map[string]any{"keys": list})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	answer := s.do("POST", "/v1/keys/import", many(10_001)).problem(422, "invalid_request")
	if len(answer.faults()) != 1 {
		t.Errorf("faults are %s", answer.text)
	}
	if got := len(s.do("POST", "/v1/keys/import", many(10_000)).want(201).tree["data"].([]any)); got != 10_000 {
		t.Errorf("imported %d", got)
	}
	s.do("POST", "/v1/keys/import", `{"keys": ["`+strings.Repeat("x", 8<<20)+`"]}`).problem(413, "body_too_large")
}
