package e2e

import (
	"net/http"
	"testing"
	"time"
)

func TestEveryChangeHoldsForTheVeryNextRequest(t *testing.T) {
	onEachStore(t, func(t *testing.T, start func(t *testing.T) (*Gateway, *Upstream)) {
		g, _ := start(t)
		key := g.Create(map[string]any{"permissions": Restricted(map[string]any{"rest": map[string]any{"access": "write"}})})
		ask := func(secret string) Answer { return g.Call("POST", "/rest/users", "{}", Bearer(secret)) }
		// Often enough that a cache that misses a change is caught.
		for range 20 {
			Expect(t, ask(key.Secret), http.StatusOK, "")
			g.Patch(key.ID, map[string]any{"permissions": Restricted(map[string]any{"rest": map[string]any{"access": "read"}})})
			Expect(t, ask(key.Secret), http.StatusForbidden, "insufficient_access")
			g.Patch(key.ID, map[string]any{"permissions": map[string]any{"mode": "all"}})
			Expect(t, ask(key.Secret), http.StatusOK, "")
			g.Patch(key.ID, map[string]any{"enabled": false})
			Expect(t, ask(key.Secret), http.StatusUnauthorized, "disabled_key")
			g.Patch(key.ID, map[string]any{"enabled": true})
			Expect(t, ask(key.Secret), http.StatusOK, "")

			rotated := g.Admin("POST", "/v1/keys/"+key.ID+"/rotate", nil)
			Expect(t, rotated, http.StatusOK, "")
			Expect(t, ask(key.Secret), http.StatusUnauthorized, "unknown_key")
			key.Secret = rotated.Text("secret")
			Expect(t, ask(key.Secret), http.StatusOK, "")
		}
		Expect(t, g.Admin("DELETE", "/v1/keys/"+key.ID, nil), http.StatusNoContent, "")
		Expect(t, ask(key.Secret), http.StatusUnauthorized, "unknown_key")
		Expect(t, g.Admin("GET", "/v1/keys/"+key.ID, nil), http.StatusNotFound, "no_such_key")
	})
}

func TestRotatedSecretWorksToTheEndOfItsGrace(t *testing.T) {
	onEachStore(t, func(t *testing.T, start func(t *testing.T) (*Gateway, *Upstream)) {
		g, _ := start(t)
		key := g.Create(nil)
		ask := func(secret string) Answer { return g.Call("GET", "/rest/users", "", Bearer(secret)) }
		rotated := g.Admin("POST", "/v1/keys/"+key.ID+"/rotate", map[string]any{"grace_seconds": 2})
		Expect(t, rotated, http.StatusOK, "")
		end, err := time.Parse(time.RFC3339Nano, rotated.Text("rotation.previous_expires_at"))
		if err != nil {
			t.Fatalf("%v in %s", err, rotated)
		}
		if got := rotated.Text("rotation.previous_prefix"); got != key.Prefix {
			t.Errorf("previous_prefix is %q, want %q", got, key.Prefix)
		}
		Expect(t, ask(key.Secret), http.StatusOK, "")
		Expect(t, ask(rotated.Text("secret")), http.StatusOK, "")
		refusedAt := lastAllowed(t, end, func() Answer { return ask(key.Secret) })
		if refusedAt.Status != http.StatusUnauthorized || refusedAt.Text("code") != "unknown_key" {
			t.Errorf("after the grace: %s", refusedAt)
		}
		Expect(t, ask(rotated.Text("secret")), http.StatusOK, "")
	})
}

func TestSecondRotationEndsTheFirstGraceAtOnce(t *testing.T) {
	onEachStore(t, func(t *testing.T, start func(t *testing.T) (*Gateway, *Upstream)) {
		g, _ := start(t)
		first := g.Create(nil)
		ask := func(secret string) Answer { return g.Call("GET", "/rest/users", "", Bearer(secret)) }
		second := g.Admin("POST", "/v1/keys/"+first.ID+"/rotate", map[string]any{"grace_seconds": 3600}).Text("secret")
		Expect(t, ask(first.Secret), http.StatusOK, "")
		third := g.Admin("POST", "/v1/keys/"+first.ID+"/rotate", map[string]any{"grace_seconds": 3600}).Text("secret")
		Expect(t, ask(first.Secret), http.StatusUnauthorized, "unknown_key")
		Expect(t, ask(second), http.StatusOK, "")
		Expect(t, ask(third), http.StatusOK, "")
	})
}

func TestExpiryIsExactCachedOrNot(t *testing.T) {
	onEachStore(t, func(t *testing.T, start func(t *testing.T) (*Gateway, *Upstream)) {
		g, _ := start(t)
		end := time.Now().Add(2 * time.Second).Truncate(time.Millisecond)
		cached := g.Create(map[string]any{"expires_at": end})
		fresh := g.Create(map[string]any{"expires_at": end})
		last := lastAllowed(t, end, func() Answer { return g.Call("GET", "/rest/users", "", Bearer(cached.Secret)) })
		Expect(t, last, http.StatusUnauthorized, "expired_key")
		Expect(t, g.Call("GET", "/rest/users", "", Bearer(fresh.Secret)), http.StatusUnauthorized, "expired_key")

		g.Patch(cached.ID, map[string]any{"expires_at": nil})
		Expect(t, g.Call("GET", "/rest/users", "", Bearer(cached.Secret)), http.StatusOK, "")
	})
}

// lastAllowed asks again and again until it is refused, and fails the test
// when a request that was over before the end was refused, or one that began
// at the end or later was not. It returns the refusal.
func lastAllowed(t *testing.T, end time.Time, ask func() Answer) Answer {
	t.Helper()
	for {
		began := time.Now()
		answer := ask()
		over := time.Now()
		switch {
		case answer.Status == http.StatusOK && !began.Before(end):
			t.Fatalf("a request that began %s after the end was allowed", began.Sub(end))
		case answer.Status != http.StatusOK && over.Before(end):
			t.Fatalf("a request that was over %s before the end was answered %s", end.Sub(over), answer)
		case answer.Status != http.StatusOK:
			return answer
		}
	}
}

func TestAdminAPINeedsAdminAccess(t *testing.T) {
	onEachStore(t, func(t *testing.T, start func(t *testing.T) (*Gateway, *Upstream)) {
		g, _ := start(t)
		all := g.Create(nil)
		reader := g.Create(map[string]any{"admin": "read"})
		Expect(t, g.Admin("GET", "/v1/keys", nil, Bearer(all.Secret)), http.StatusForbidden, "insufficient_access")
		Expect(t, g.Admin("GET", "/v1/keys", nil, Bearer(reader.Secret)), http.StatusOK, "")
		Expect(t, g.Admin("DELETE", "/v1/keys/"+all.ID, nil, Bearer(reader.Secret)), http.StatusForbidden, "insufficient_access")
		check := map[string]any{"id": all.ID, "method": "POST", "path": "/rest/users"}
		answer := g.Admin("POST", "/v1/keys/check", check, Bearer(reader.Secret))
		Expect(t, answer, http.StatusOK, "")
		if answer.Field("allowed") != true || answer.Text("endpoint") != "users" {
			t.Errorf("check answered %s", answer)
		}
		Expect(t, g.Call("GET", "/rest/users", "", Bearer(g.AdminKey)), http.StatusForbidden, "insufficient_access")
		Expect(t, g.Admin("GET", "/v1/keys", nil, Bearer("")), http.StatusUnauthorized, "")
	})
}

func TestBadInputNamesEveryFaultAndStoresNothing(t *testing.T) {
	onEachStore(t, func(t *testing.T, start func(t *testing.T) (*Gateway, *Upstream)) {
		g, _ := start(t)
		before := string(g.Admin("GET", "/v1/keys", nil).Body)
		answer := g.Admin("POST", "/v1/keys", map[string]any{
			"name": "", "owner": "a\nb", "expires_at": "2001-01-01T00:00:00Z", "permision": 1,
			"permissions": Restricted(map[string]any{"nope": map[string]any{"access": "read"}, "rest": map[string]any{"access": "admin"}}),
		})
		Expect(t, answer, http.StatusUnprocessableEntity, "invalid_request")
		faults, _ := answer.Field("errors").([]any)
		if len(faults) < 5 {
			t.Errorf("not every fault is named: %s", answer)
		}
		for _, c := range []struct {
			body   string
			typ    string
			status int
		}{
			{`{`, "application/json", 400},
			{`{} {}`, "application/json", 400},
			{`name=a`, "application/x-www-form-urlencoded", 415},
			{`{}`, "application/json", 422},
			{`[]`, "application/json", 422},
			{`null`, "application/json", 422},
		} {
			got := g.Admin("POST", "/v1/keys", c.body, Header{"Content-Type", c.typ})
			if got.Status != c.status {
				t.Errorf("%s as %s answered %s, want %d", c.body, c.typ, got, c.status)
			}
		}
		if after := string(g.Admin("GET", "/v1/keys", nil).Body); after != before {
			t.Errorf("something was stored:\n%s\n%s", before, after)
		}
	})
}

func TestLastAdminKeyCannotBeLost(t *testing.T) {
	onEachStore(t, func(t *testing.T, start func(t *testing.T) (*Gateway, *Upstream)) {
		g, _ := start(t)
		id := g.Admin("GET", "/v1/whoami", nil).Text("id")
		for _, change := range []map[string]any{{"enabled": false}, {"admin": "none"}, {"admin": "read"}} {
			Expect(t, g.Admin("PATCH", "/v1/keys/"+id, change), http.StatusConflict, "last_admin_key")
		}
		Expect(t, g.Admin("DELETE", "/v1/keys/"+id, nil), http.StatusConflict, "last_admin_key")
		g.Create(map[string]any{"admin": "write"})
		Expect(t, g.Admin("DELETE", "/v1/keys/"+id, nil), http.StatusNoContent, "")
		Expect(t, g.Admin("GET", "/v1/whoami", nil), http.StatusUnauthorized, "unknown_key")
	})
}
