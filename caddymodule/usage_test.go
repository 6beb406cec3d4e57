package caddymodule

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// used returns what a key was used for, as written down.
func (s *site) used(id keys.ID) []string {
	s.t.Helper()
	e := s.engine()
	if err := e.usage.Flush(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	now := time.Now()
	u, err := e.store.Usage(s.t.Context(), keys.UsageQuery{Key: id, Step: keys.Day, From: now.Add(-time.Hour), To: now.Add(time.Hour)})
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, u := range u.Uses {
		out = append(out, fmt.Sprintf("%s/%s %s %s %d", u.API, u.Endpoint, u.Access, u.Outcome, u.N))
	}
	slices.Sort(out)
	return out
}

func (s *site) wantUsed(id keys.ID, want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.used(id)); diff != "" {
		s.t.Errorf("used (-want +got):\n%s", diff)
	}
}

func TestRequestsOfKnownKeysAreCounted(t *testing.T) {
	s := newSite(t, "", standard)
	reader, secret := s.key(func(k *keys.Key) { k.Permissions.Mode = permission.ReadOnly })
	disabled, off := s.key(func(k *keys.Key) { k.Enabled = false })
	for range 3 {
		s.want(200, "GET", "/rest/users/1", bearer(secret))
	}
	s.want(200, "GET", "/v2/abc/x", bearer(secret))
	s.want(403, "POST", "/v2/abc/x", bearer(secret))
	s.want(404, "GET", "/nowhere", bearer(secret))
	s.want(400, "POST", "/graphql", bearer(secret), header("Content-Type", "application/json"), body("{"))
	s.want(200, "GET", "/healthz", bearer(secret)) // public: nobody's
	s.want(400, "GET", "/rest//a", bearer(secret)) // refused before anybody is known
	s.want(401, "GET", "/rest/a", bearer(off))
	s.wantUsed(reader.ID, "/ none no_such_api 1", "graphql/ read unreadable_body 1", "rest/users read allowed 3",
		"serverless/abc read allowed 1", "serverless/abc write insufficient_access 1")
	s.wantUsed(disabled.ID, "/ none disabled_key 1")
	k, err := s.engine().store.Get(t.Context(), disabled.ID, time.Now())
	if err != nil || !k.LastUsedAt.IsZero() {
		t.Errorf("the disabled key was used at %s, %v", k.LastUsedAt, err)
	}
}

func TestReportModeCountsWhatWouldHaveBeenRefused(t *testing.T) {
	s := newSite(t, "", reporting(""))
	reader, secret := s.key(readOnly)
	s.want(200, "POST", "/rest/users", bearer(secret))
	s.wantUsed(reader.ID, "rest/users write would_insufficient_access 1")
	k, err := s.engine().store.Get(t.Context(), reader.ID, time.Now())
	if err != nil || k.LastUsedAt.IsZero() {
		t.Errorf("a key whose request went through was used at %s, %v", k.LastUsedAt, err)
	}
}

func TestUsageOffCountsNothingFromTheReloadOn(t *testing.T) {
	s := newSite(t, "", standard)
	k, secret := s.key()
	s.want(200, "GET", "/rest/a", bearer(secret))
	s.wantUsed(k.ID, "rest/ read allowed 1")
	if err := s.load("api_keys {\nstore sqlite {$DIR}/keys.db\nusage off\n}\n", standard); err != nil {
		t.Fatal(err)
	}
	s.want(200, "GET", "/rest/a", bearer(secret))
	s.wantUsed(k.ID, "rest/ read allowed 1")
	stored, err := s.engine().store.Get(t.Context(), k.ID, time.Now())
	if err != nil || stored.LastUsedAt.IsZero() {
		t.Errorf("last used at %s, %v", stored.LastUsedAt, err)
	}
	if err := s.load("", standard); err != nil {
		t.Fatal(err)
	}
	s.want(200, "GET", "/rest/a", bearer(secret))
	s.wantUsed(k.ID, "rest/ read allowed 2")
}
