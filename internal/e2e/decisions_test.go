package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The table of the contract's section 5, row by row.
func TestEveryRefusalIsTheContracts(t *testing.T) {
	g, upstream := start(t)
	all := g.Create(nil)
	disabled := g.Create(map[string]any{"enabled": false})
	deleted := g.Create(nil)
	Expect(t, g.Admin("DELETE", "/v1/keys/"+deleted.ID, nil), http.StatusNoContent, "")
	soon := time.Now().Add(500 * time.Millisecond)
	expired := g.Create(map[string]any{"expires_at": soon})
	reader := g.Create(map[string]any{"permissions": Restricted(map[string]any{
		"serverless": map[string]any{"access": "restricted", "endpoints": map[string]any{"abc123": "read"}},
	})})
	Eventually(t, 5*time.Second, "expired", func() bool { return time.Now().After(soon) })

	const (
		bare         = `Bearer realm="Acme API"`
		invalid      = `error="invalid_token"`
		insufficient = `error="insufficient_scope"`
	)
	big := `{"query":"{a}","x":"` + strings.Repeat("x", 1<<20) + `"}`
	for _, c := range []struct {
		name, method, target, body, secret string
		status                             int
		code, challenge                    string
	}{
		{"no credential", "GET", "/rest/users", "", "", 401, "missing_key", bare},
		{"no credential, no API", "GET", "/nowhere", "", "", 401, "missing_key", bare},
		{"malformed secret", "GET", "/rest/users", "", "nonsense", 401, "unknown_key", invalid},
		{"wrong checksum", "GET", "/rest/users", "", all.Secret[:len(all.Secret)-1] + "!", 401, "unknown_key", invalid},
		{"deleted key", "GET", "/rest/users", "", deleted.Secret, 401, "unknown_key", invalid},
		{"unknown key, no API", "GET", "/nowhere", "", deleted.Secret, 401, "unknown_key", invalid},
		{"disabled key", "GET", "/rest/users", "", disabled.Secret, 401, "disabled_key", invalid},
		{"expired key", "GET", "/rest/users", "", expired.Secret, 401, "expired_key", invalid},
		{"lacks the access", "POST", "/v2/abc123/run", "{}", reader.Secret, 403, "insufficient_access", insufficient},
		{"lacks the api", "GET", "/rest/users", "", reader.Secret, 403, "insufficient_access", insufficient},
		{"a GET that writes", "GET", "/v2/abc123/purge", "", reader.Secret, 403, "insufficient_access", insufficient},
		{"no such API", "GET", "/nowhere", "", all.Secret, 404, "no_such_api", ""},
		{"root", "GET", "/", "", all.Secret, 404, "no_such_api", ""},
		{"encoded slash", "GET", "/rest/a%2Fb", "", all.Secret, 400, "ambiguous_request", ""},
		{"encoded slash, no key", "GET", "/rest/a%2Fb", "", "", 400, "ambiguous_request", ""},
		{"body not understood", "POST", "/graphql", "{", all.Secret, 400, "unreadable_body", ""},
		{"empty batch", "POST", "/rpc", "[]", all.Secret, 400, "unreadable_body", ""},
		{"body too large", "POST", "/graphql", big, all.Secret, 413, "body_too_large", ""},
		{"TRACE", "TRACE", "/rest/users", "", all.Secret, 405, "method_not_allowed", ""},
		{"TRACE without a key", "TRACE", "/rest/users", "", "", 405, "method_not_allowed", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			headers := []Header{{"Content-Type", "application/json"}}
			if c.secret != "" {
				headers = append(headers, Bearer(c.secret))
			}
			before := upstream.Count()
			answer := g.Call(c.method, c.target, c.body, headers...)
			expectRefusal(t, answer, c.status, c.code, c.challenge)
			if upstream.Count() != before {
				t.Error("the refused request reached the upstream")
			}
		})
	}
}

func expectRefusal(t *testing.T, answer Answer, status int, code, challenge string) {
	t.Helper()
	Expect(t, answer, status, code)
	if got := answer.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type is %q", got)
	}
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
	for _, field := range []string{"type", "title", "detail", "code", "error.message", "error.code"} {
		if answer.Text(field) == "" {
			t.Errorf("the refusal lacks %s: %s", field, answer)
		}
	}
	if got := answer.Field("status"); got != float64(status) {
		t.Errorf("field status is %v, want %d", got, status)
	}
	if answer.Text("error.code") != code {
		t.Errorf("error.code is %q, want %q", answer.Text("error.code"), code)
	}
	got := answer.Header.Get("WWW-Authenticate")
	switch {
	case challenge == "" && got != "":
		t.Errorf("WWW-Authenticate is %q, want none", got)
	case challenge != "" && !strings.HasPrefix(got, `Bearer realm="Acme API"`):
		t.Errorf("WWW-Authenticate is %q", got)
	case !strings.Contains(got, challenge), challenge == `Bearer realm="Acme API"` && strings.Contains(got, "error"):
		t.Errorf("WWW-Authenticate is %q, want %q", got, challenge)
	}
}

func TestRefusalForLackOfAccessNamesBothAccessesAndTheKey(t *testing.T) {
	g, _ := start(t)
	reader := g.Create(map[string]any{"permissions": Restricted(map[string]any{
		"serverless": map[string]any{"access": "restricted", "endpoints": map[string]any{"abc123": "read"}},
	})})
	answer := g.Call("POST", "/v2/abc123/run", "{}", Bearer(reader.Secret))
	Expect(t, answer, http.StatusForbidden, "insufficient_access")
	if want := fmt.Sprintf("needs write on serverless/abc123; key %s has read", reader.Prefix); answer.Text("detail") != want {
		t.Errorf("detail is %q, want %q", answer.Text("detail"), want)
	}
	for field, want := range map[string]string{"api": "serverless", "endpoint": "abc123", "needs": "write", "has": "read"} {
		if got := answer.Text(field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
}

// What the rules of the contract's section 2 make of a request.
func TestAccessFollowsTheRules(t *testing.T) {
	g, upstream := start(t)
	reader := g.Create(map[string]any{"permissions": map[string]any{"mode": "read_only"}})
	writer := g.Create(nil)
	for _, c := range []struct{ method, target, body, access, api, endpoint string }{
		{"GET", "/rest/users", "", "read", "rest", "users"},
		{"HEAD", "/rest/users/7", "", "read", "rest", "users"},
		{"OPTIONS", "/rest/orders", "", "read", "rest", "orders"},
		{"GET", "/rest/", "", "read", "rest", ""},
		{"POST", "/rest/users", "{}", "write", "rest", "users"},
		{"PUT", "/rest/other", "{}", "write", "rest", ""},
		{"PROPFIND", "/rest/other", "", "write", "rest", ""},
		{"POST", "/rest/search", "{}", "read", "rest", ""},
		{"DELETE", "/rest/search", "", "write", "rest", ""},
		{"POST", "/rest/search/", "{}", "write", "rest", ""},
		{"POST", "/rest/Search", "{}", "write", "rest", ""},
		{"POST", "/v2/abc/run", "{}", "write", "serverless", "abc"},
		{"POST", "/v2/abc/status/job-1", "", "read", "serverless", "abc"},
		{"GET", "/v2/abc/status/job-1", "", "read", "serverless", "abc"},
		{"GET", "/v2/abc/purge", "", "write", "serverless", "abc"},
		{"GET", "/v2/abc/Purge", "", "write", "serverless", "abc"},
		{"GET", "/v2/abc/purge/", "", "write", "serverless", "abc"},
		{"HEAD", "/v2/abc/purge", "", "write", "serverless", "abc"},
		{"POST", "/graphql", `{"query":"{users{id}}"}`, "read", "graphql", ""},
		{"POST", "/graphql", `{"query":"mutation{addUser(name:\"a\"){id}}"}`, "write", "graphql", ""},
		{"POST", "/graphql", `{"query":"query A{a} mutation B{b}","operationName":"A"}`, "read", "graphql", ""},
		{"POST", "/graphql", `{"query":"query A{a} mutation B{b}"}`, "write", "graphql", ""},
		{"POST", "/graphql", `[{"query":"{a}"},{"query":"mutation{b}"}]`, "write", "graphql", ""},
		{"GET", "/graphql?query=%7Ba%7D", "", "read", "graphql", ""},
		{"POST", "/rpc", `{"jsonrpc":"2.0","id":1,"method":"orders.list"}`, "read", "rpc", ""},
		{"POST", "/rpc", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "read", "rpc", ""},
		{"POST", "/rpc", `{"jsonrpc":"2.0","id":1,"method":"orders.add"}`, "write", "rpc", ""},
		{"POST", "/rpc", `[{"jsonrpc":"2.0","id":1,"method":"orders.list"},{"jsonrpc":"2.0","id":2,"method":"orders.add"}]`, "write", "rpc", ""},
	} {
		t.Run(c.method+" "+c.target, func(t *testing.T) {
			json := Header{"Content-Type", "application/json"}
			before := upstream.Count()
			answer := g.Call(c.method, c.target, c.body, Bearer(reader.Secret), json)
			if c.access == "read" {
				Expect(t, answer, http.StatusOK, "")
			} else if answer.Status != http.StatusForbidden || upstream.Count() != before {
				t.Errorf("a read-only key was answered %s", answer)
			}
			Expect(t, g.Call(c.method, c.target, c.body, Bearer(writer.Secret), json), http.StatusOK, "")
			got := upstream.Last(t)
			if got.Target != c.target || string(got.Body) != c.body {
				t.Errorf("the upstream received %s %q, want %s %q", got.Target, got.Body, c.target, c.body)
			}
			for name, want := range map[string]string{
				"X-Auth-Key-Id": writer.ID, "X-Auth-Api": c.api, "X-Auth-Endpoint": c.endpoint, "X-Auth-Access": c.access,
			} {
				if got := got.Header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	g, upstream := start(t)
	key := g.Create(nil)
	for _, path := range []string{
		"/rest/a%2fb", "/rest/a%252fb", "/rest/a%5cb", "/rest/a%255cb", `/rest/a\b`, "/rest/a%23b", "/rest/a%3fb", "/rest/a%2541b",
		"/rest/./users", "/rest/../rest/users", "/rest/%2e%2e/rest/users", "/rest/%2E/users", "/rest//users", "/rest/users;a=1", "/rest/a%3bb",
		"/rest/a%00b", "/rest/a%0ab", "/rest/a%7fb", "/rest/%ff", "/rest/%c0%af", "/rest/a%20", "/rest/a%c2%a0", "/rest/a%09", "/rest/users.", "/rest/users./x",
	} {
		answer := g.Raw("GET " + path + " HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer " + key.Secret + "\r\nConnection: close\r\n\r\n")
		Expect(t, answer, http.StatusBadRequest, "ambiguous_request")
	}
	bearer := "Authorization: Bearer " + key.Secret + "\r\n"
	for name, headers := range map[string]string{
		"two credentials in two places": bearer + "X-API-Key: " + key.Secret + "\r\n",
		"two credentials in one place":  bearer + bearer,
		"overridden method":             bearer + "X-HTTP-Method-Override: DELETE\r\n",
		"method overridden twice":       bearer + "X-HTTP-Method: GET\r\nX-HTTP-Method: GET\r\n",
		"another upgrade":               bearer + "Connection: Upgrade\r\nUpgrade: h2c\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			answer := g.Raw("GET /rest/users HTTP/1.1\r\nHost: {host}\r\n" + headers + "\r\n")
			Expect(t, answer, http.StatusBadRequest, "ambiguous_request")
		})
	}
	if n := upstream.Count(); n != 0 {
		t.Errorf("%d ambiguous requests reached the upstream", n)
	}
}

func TestPublicPathsNeedNoKeyAndGetNoIdentity(t *testing.T) {
	g, upstream := start(t)
	key := g.Create(nil)
	for _, target := range []string{"/healthz", "/docs/", "/docs/a/b"} {
		Expect(t, g.Call("GET", target, "", Bearer(key.Secret), Header{"X-Auth-Key-Id", "forged"}), http.StatusOK, "")
		got := upstream.Last(t)
		if got.Header.Get("Authorization") != "" || got.Header.Get("X-Auth-Key-Id") != "" {
			t.Errorf("%s reached the upstream with %v", target, got.Header)
		}
		Expect(t, g.Call("GET", target, ""), http.StatusOK, "")
	}
	for _, target := range []string{"/healthz/", "/Healthz", "/docs"} {
		Expect(t, g.Call("GET", target, ""), http.StatusUnauthorized, "missing_key")
	}
}

func TestTheUpstreamLearnsWhoCalledAndNeverTheSecret(t *testing.T) {
	g, upstream := start(t)
	key := g.Create(map[string]any{"owner": "Zoë's team", "name": "n"})
	for name, credential := range map[string]Header{
		"bearer": Bearer(key.Secret), "other letter case": {"Authorization", "bEARER " + key.Secret}, "header": {"X-API-Key", key.Secret},
	} {
		t.Run(name, func(t *testing.T) {
			answer := g.Raw("POST /rest/orders HTTP/1.1\r\nHost: {host}\r\n" + credential.Name + ": " + credential.Value + "\r\n" +
				"X-Auth-Key-Id: forged\r\nx_auth_key_owner: forged\r\nX-Original-URL: /a\r\nX-Rewrite-URL: /a\r\n" +
				"Connection: X-Auth-Key-Id, close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Auth-Api\r\n\r\n2\r\n{}\r\n0\r\nX-Auth-Api: forged\r\n\r\n")
			Expect(t, answer, http.StatusOK, "")
			got := upstream.Last(t)
			for name, want := range map[string]string{
				"X-Auth-Key-Id": key.ID, "X-Auth-Key-Owner": "Zo%C3%AB's team", "X-Auth-Api": "rest", "X-Auth-Endpoint": "orders", "X-Auth-Access": "write",
			} {
				if values := got.Header.Values(name); len(values) != 1 || values[0] != want {
					t.Errorf("%s is %q, want %q", name, values, want)
				}
			}
			all, err := json.Marshal([]any{got.Header, got.Trailer})
			if err != nil {
				t.Fatal(err)
			}
			for _, never := range []string{key.Secret, "forged", "X-Original-Url", "X-Rewrite-Url"} {
				if strings.Contains(string(all), never) {
					t.Errorf("the upstream received %s: %s", never, all)
				}
			}
		})
	}
}

func TestUnconfiguredCredentialsAreNoneAndGoOn(t *testing.T) {
	g, upstream := start(t)
	key := g.Create(nil)
	Expect(t, g.Call("GET", "/rest/users", "", Header{"Authorization", "Basic dTpw"}), http.StatusUnauthorized, "missing_key")
	Expect(t, g.Call("GET", "/rest/users", "", Header{"Authorization", "Basic dTpw"}, Header{"X-API-Key", key.Secret}), http.StatusOK, "")
	if got := upstream.Last(t).Header.Get("Authorization"); got != "Basic dTpw" {
		t.Errorf("the upstream's own credential arrived as %q", got)
	}
}
