package admin_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
)

func TestProblemsTellEveryFaultOnce(t *testing.T) {
	two := []admin.FieldError{{Field: "name", Message: "is required"}, {Message: "is odd"}}
	for want, p := range map[string]admin.Problem{
		"Not found":             {Title: "Not found"},
		"no key has this id":    {Title: "No such key", Detail: "no key has this id"},
		"no: name: is required": {Title: "Invalid request", Detail: "no", Errors: two[:1]},
		"Invalid request: name: is required; is odd": {Title: "Invalid request", Detail: "name: is required; and 1 more", Errors: two},
	} {
		if got := p.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAPatchTellsNeverFromUnchanged(t *testing.T) {
	empty := ""
	for want, p := range map[string]admin.Patch{
		`{}`:                  {},
		`{"expires_at":null}`: {ExpiresAt: &admin.Expiry{}},
		`{"expires_at":"2026-01-02T03:04:05.678Z"}`: {ExpiresAt: &admin.Expiry{Time: theTime}},
		`{"owner":"","metadata":{"a":null}}`:        {Owner: &empty, Metadata: map[string]*string{"a": nil}},
	} {
		got, err := json.Marshal(p)
		if err != nil || string(got) != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
		var back admin.Patch
		if err := json.Unmarshal([]byte(want), &back); err != nil {
			t.Error(err)
		}
	}
	if !(admin.Expiry{}).IsZero() || (admin.Expiry{Time: time.Unix(1, 0)}).IsZero() {
		t.Error("the zero expiry is not never")
	}
}
