package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPlaceholdersSayWhoCalledAndForWhat(t *testing.T) {
	const words = "{http.auth.user.id}|{http.auth.user.owner}|{http.auth.user.name}|{http.vars.api_key.api}|{http.vars.api_key.endpoint}|{http.vars.api_key.access}"
	g := Start(t, Options{Config: strings.Replace(caddyfile, "reverse_proxy 127.0.0.1:9000", `respond "`+words+`"`, 1)})
	key := g.Create(map[string]any{"owner": "team-7", "name": "ci"})
	answer := g.Call("GET", "/v2/abc123/purge", "", Bearer(key.Secret))
	if want := key.ID + "|team-7|ci|serverless|abc123|write"; string(answer.Body) != want {
		t.Errorf("the placeholders are %q, want %q", answer.Body, want)
	}
	// Caddy leaves placeholders as they are that nobody has set.
	if answer := g.Call("GET", "/healthz", "", Bearer(key.Secret)); strings.Contains(string(answer.Body), key.ID) {
		t.Errorf("on a public path the placeholders are %q", answer.Body)
	}
}

func TestAccessLogNamesTheKey(t *testing.T) {
	config := strings.Replace(caddyfile, "{\n\tapi_keys", "{\n\tlog {\n\t\tformat json\n\t}\n\tapi_keys", 1)
	g := Start(t, Options{Config: config, Upstream: NewUpstream(t).Address})
	key := g.Create(nil)
	for _, c := range []struct {
		uri    string
		secret string
		status int
		id     any
	}{{"/rest/users?a=1", key.Secret, 200, key.ID}, {"/nowhere", key.Secret, 404, key.ID}, {"/rest/users?a=2", "nonsense", 401, nil}, {"/healthz", "", 200, nil}} {
		g.Call("GET", c.uri, "", Bearer(c.secret))
		var entry map[string]any
		Eventually(t, 5*time.Second, "logged", func() bool {
			entry = g.accessLogOf(c.uri)
			return entry != nil
		})
		if entry["status"] != float64(c.status) || entry["api_key_id"] != c.id && (c.id != nil || entry["api_key_id"] != "") {
			t.Errorf("%s is logged as %v; want status %d, api_key_id %v", c.uri, entry, c.status, c.id)
		}
	}
}

// accessLogOf returns the first entry of the access log for a URI, or nil.
func (g *Gateway) accessLogOf(uri string) map[string]any {
	for line := range strings.Lines(g.Output()) {
		var entry struct {
			Logger  string
			Request struct{ URI string }
		}
		if json.Unmarshal([]byte(line), &entry) != nil || !strings.HasPrefix(entry.Logger, "http.log.access") || entry.Request.URI != uri {
			continue
		}
		var all map[string]any
		if json.Unmarshal([]byte(line), &all) == nil {
			return all
		}
	}
	return nil
}

func TestMetricsCountOutcomes(t *testing.T) {
	g := Start(t, Options{Config: metricsCaddyfile, Upstream: NewUpstream(t).Address})
	key := g.Create(nil)
	g.settled() // a key is looked up again when its change is heard of
	g.Call("GET", "/rest/users", "", Bearer(key.Secret))
	g.Call("GET", "/rest/users", "", Bearer(key.Secret))
	g.Call("POST", "/rest/users", "", Bearer(key.Secret))
	g.Call("GET", "/rest/users", "")
	const requests = "caddy_api_key_auth_requests_total"
	for series, want := range map[string]float64{
		requests + `{access="read",api="rest",outcome="allowed"}`:  2,
		requests + `{access="write",api="rest",outcome="allowed"}`: 1,
		`caddy_api_key_auth_cache_total{result="hit"}`:             2,
		`caddy_api_key_auth_key_state{state="active"}`:             2,
	} {
		if got := g.metric(t, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	if text := string(g.Admin("GET", "/metrics", nil).Body); !strings.Contains(text, `outcome="missing_key"`) ||
		strings.Contains(text, key.ID) || strings.Contains(text, "/rest/users") {
		t.Error("the metrics lack a refusal, or have a key or a path as a label")
	}
}

func TestHealthNeedsNoKey(t *testing.T) {
	g, _ := start(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		Expect(t, g.Admin("GET", path, nil, Bearer("nonsense")), http.StatusOK, "")
	}
}

func TestPreflightPassesOnlyWhereConfigured(t *testing.T) {
	origin, method := Header{"Origin", "https://example.com"}, Header{"Access-Control-Request-Method", "POST"}
	g, upstream := start(t)
	Expect(t, g.Call("OPTIONS", "/rest/users", "", origin, method), http.StatusUnauthorized, "missing_key")
	config := strings.Replace(caddyfile, "realm", "preflight pass\n\t\trealm", 1)
	g.WriteConfig(config)
	if out, err := g.Reload(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	Expect(t, g.Call("OPTIONS", "/rest/users", "", origin, method, Header{"X-Auth-Key-Id", "forged"}), http.StatusOK, "")
	if got := upstream.Last(t).Header.Get("X-Auth-Key-Id"); got != "" {
		t.Errorf("a preflight reached the upstream with the identity %q", got)
	}
	Expect(t, g.Call("OPTIONS", "/rest/users", ""), http.StatusUnauthorized, "missing_key")
	Expect(t, g.Call("GET", "/rest/users", "", origin, method), http.StatusUnauthorized, "missing_key")
	if answer := g.Call("OPTIONS", "/nowhere", "", origin, method); answer.Status == http.StatusOK {
		t.Error("a preflight passed on a path of no API")
	}
}

func TestWebSocketWritesUnlessARuleSaysThatItReads(t *testing.T) {
	config := strings.Replace(caddyfile, "read POST /rest/search", "read POST /rest/search\n\t\t\tread WEBSOCKET /rest/feed", 1)
	g := Start(t, Options{Config: config, Upstream: NewUpstream(t).Address})
	reader := g.Create(map[string]any{"permissions": map[string]any{"mode": "read_only"}})
	upgrade := func(path, protocol string) Answer {
		return g.Raw("GET " + path + " HTTP/1.1\r\nHost: {host}\r\nX-API-Key: " + reader.Secret +
			"\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	}
	Expect(t, upgrade("/rest/users", "websocket"), http.StatusForbidden, "insufficient_access")
	Expect(t, upgrade("/rest/feed", "websocket"), http.StatusOK, "") // what the recording upstream answers
	Expect(t, upgrade("/rest/feed", "h2c"), http.StatusBadRequest, "ambiguous_request")
	Expect(t, upgrade("/healthz", "websocket"), http.StatusBadRequest, "ambiguous_request")
}

func TestForwardCredentialLeavesTheCredential(t *testing.T) {
	upstream := NewUpstream(t)
	config := strings.Replace(caddyfile, "realm", "forward_credential\n\t\trealm", 1)
	g := Start(t, Options{Config: config, Upstream: upstream.Address})
	key := g.Create(nil)
	Expect(t, g.Call("GET", "/rest/users", "", Header{"X-API-Key", key.Secret}), http.StatusOK, "")
	if got := upstream.Last(t).Header.Get("X-API-Key"); got != key.Secret {
		t.Error("the credential did not reach the upstream")
	}
}
