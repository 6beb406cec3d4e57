package gate

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/route"
)

func sources(patterns ...string) []route.Source {
	var s []route.Source
	for _, p := range patterns {
		s = append(s, route.Source{Pattern: p})
	}
	return s
}

// contractConfig is the example of the contract's section 2.
func contractConfig() route.Config {
	return route.Config{
		Public: sources("/healthz", "/docs/*"),
		APIs: []route.API{
			{Name: "graphql", Paths: sources("/graphql"), GraphQL: &route.GraphQL{}},
			{Name: "rpc", Paths: sources("/rpc"), JSONRPC: &route.JSONRPC{Read: []string{"get*"}}},
			{Name: "serverless", Paths: sources("/v2/{endpoint}/*"), Rules: []route.Rule{
				{Access: permission.Read, Methods: []string{"POST"}, Patterns: sources("/v2/{endpoint}/status/*")},
				{Access: permission.Write, Methods: []string{"GET"}, Patterns: sources("/v2/{endpoint}/purge")},
			}},
			{Name: "rest", Paths: sources("/rest/*"), Endpoints: []route.EndpointDecl{
				{Name: "users", Patterns: sources("/rest/users", "/rest/users/*")},
				{Name: "orders", Patterns: sources("/rest/orders", "/rest/orders/*")},
			}, Rules: []route.Rule{{Access: permission.Read, Methods: []string{"POST"}, Patterns: sources("/rest/search")}}},
		},
	}
}

func (b *bench) gate(t testing.TB, config route.Config, c Credentials) *Gate {
	t.Helper()
	table, err := route.Compile(config)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Authenticator: NewAuthenticator(c, "kw", b.lookup), Table: table})
}

func restricted(t testing.TB, grants ...permission.Grant) func(*keys.Key) {
	t.Helper()
	set, err := permission.NewRestricted(grants...)
	if err != nil {
		t.Fatal(err)
	}
	return func(k *keys.Key) { k.Permissions = set }
}

func request(method, target, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// Section 5, row by row, and what the answers carry.
func TestDecisionTable(t *testing.T) {
	b := newBench(t, testOptions)
	g := b.gate(t, contractConfig(), DefaultCredentials())
	_, all := b.create(t, nil)
	reader, read := b.create(t, restricted(t, permission.Grant{API: "serverless", Access: permission.Read}, permission.Grant{API: "graphql", Access: permission.Read}))
	_, disabled := b.create(t, func(k *keys.Key) { k.Enabled = false })
	_, expired := b.create(t, func(k *keys.Key) { k.ExpiresAt = time.Now().Add(-time.Hour) })
	stranger, err := keys.NewSecret("kw", nil)
	if err != nil {
		t.Fatal(err)
	}
	bearer := func(s keys.Secret) []string { return []string{"Authorization", "Bearer " + s.Reveal()} }
	post := func(s keys.Secret) []string { return append(bearer(s), "Content-Type", "application/json") }
	cases := []struct {
		name, method, target, body string
		headers                    []string
		status                     int
		code, challenge            string
	}{
		{"no credential", "GET", "/rest/x", "", nil, 401, "missing_key", `Bearer realm="api"`},
		{"no credential, path of no API", "GET", "/nowhere", "", nil, 401, "missing_key", `Bearer realm="api"`},
		{"malformed", "GET", "/rest/x", "", []string{"X-API-Key", "nonsense"}, 401, "unknown_key", `Bearer realm="api", error="invalid_token"`},
		{"unknown", "GET", "/rest/x", "", bearer(stranger), 401, "unknown_key", `Bearer realm="api", error="invalid_token"`},
		{"disabled", "GET", "/rest/x", "", bearer(disabled), 401, "disabled_key", `Bearer realm="api", error="invalid_token"`},
		{"expired", "GET", "/rest/x", "", bearer(expired), 401, "expired_key", `Bearer realm="api", error="invalid_token"`},
		{"lacks the access", "POST", "/v2/abc123/run", "", bearer(read), 403, "insufficient_access", `Bearer realm="api", error="insufficient_scope"`},
		{"lacks the API", "GET", "/rest/x", "", bearer(read), 403, "insufficient_access", `Bearer realm="api", error="insufficient_scope"`},
		{"mutation with a read key", "POST", "/graphql", `{"query":"mutation{a}"}`, post(read), 403, "insufficient_access", `Bearer realm="api", error="insufficient_scope"`},
		{"path of no API", "GET", "/nowhere", "", bearer(all), 404, "no_such_api", ""},
		{"ambiguous path", "GET", "/rest/%2e%2e/x", "", bearer(all), 400, "ambiguous_request", ""},
		{"ambiguous before 401", "GET", "/rest//x", "", nil, 400, "ambiguous_request", ""},
		{"two credentials", "GET", "/rest/x", "", append(bearer(all), "X-API-Key", all.Reveal()), 400, "ambiguous_request", ""},
		{"one credential twice", "GET", "/rest/x", "", []string{"X-API-Key", all.Reveal(), "X-Api-Key", all.Reveal()}, 400, "ambiguous_request", ""},
		{"a header that overrides the method", "POST", "/rest/x", "", append(bearer(all), "X_HTTP-Method_Override", "DELETE"), 400, "ambiguous_request", ""},
		{"unreadable body", "POST", "/graphql", `{"query":"mutation{"}`, post(all), 400, "unreadable_body", ""},
		{"unreadable body of a stranger is not read", "POST", "/graphql", `{`, post(stranger), 401, "unknown_key", `Bearer realm="api", error="invalid_token"`},
		{"body too large", "POST", "/graphql", `{"query":"{a}","x":"` + strings.Repeat("x", 1<<20) + `"}`, post(all), 413, "body_too_large", ""},
		{"TRACE", "TRACE", "/rest/x", "", bearer(all), 405, "method_not_allowed", ""},
		{"CONNECT before 401", "CONNECT", "/rest/x", "", nil, 405, "method_not_allowed", ""},
		{"upgrade that is no WebSocket", "GET", "/rest/x", "", append(bearer(all), "Connection", "Upgrade", "Upgrade", "h2c"), 400, "ambiguous_request", ""},
		{"upgrade on a public path", "GET", "/docs/x", "", append(bearer(all), "Connection", "Upgrade", "Upgrade", "websocket"), 400, "ambiguous_request", ""},
		{"_method on a POST that reads", "POST", "/rest/search?_method=DELETE", "", bearer(all), 400, "ambiguous_request", ""},
		{"_method in the form of a POST that reads", "POST", "/rest/search", "q=1&_method=DELETE", append(bearer(all), "Content-Type", "application/x-www-form-urlencoded"), 400, "ambiguous_request", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := g.Decide(request(c.method, c.target, c.body, c.headers...), time.Now())
			w := httptest.NewRecorder()
			if d.Allowed() {
				t.Fatalf("allowed: %+v", d)
			}
			d.WriteTo(w, "api")
			var body struct {
				Type, Title, Detail, Code string
				Status                    int
				Error                     struct{ Message, Code string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.status || body.Code != c.code || w.Header().Get("WWW-Authenticate") != c.challenge {
				t.Errorf("%d %s %q, want %d %s %q", w.Code, body.Code, w.Header().Get("WWW-Authenticate"), c.status, c.code, c.challenge)
			}
			if body.Status != w.Code || body.Error.Code != body.Code || body.Error.Message != body.Detail || body.Title == "" || body.Type == "" || body.Detail == "" {
				t.Errorf("incomplete: %s", w.Body)
			}
			if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/problem+json" {
				t.Errorf("headers %v", h)
			}
		})
	}
	d := g.Decide(request("POST", "/v2/abc123/run", "", bearer(read)...), time.Now())
	if want := "needs write on serverless/abc123; key " + reader.Prefix + " has read"; d.Detail() != want {
		t.Errorf("detail %q, want %q", d.Detail(), want)
	}
	fields := map[string]any{"api": "serverless", "endpoint": "abc123", "needs": "write", "has": "read"}
	if diff := cmp.Diff(fields, d.Problem().Fields); diff != "" {
		t.Error(diff)
	}
}

func TestAllowedRequestsAreJudged(t *testing.T) {
	b := newBench(t, testOptions)
	g := b.gate(t, contractConfig(), Credentials{Bearer: true, Basic: true, Headers: []string{"x-api-key"}, Queries: []string{"api_key"}})
	_, all := b.create(t, nil)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(all.Reveal()+":"))
	cases := []struct {
		name, method, target, body string
		headers                    []string
		api, endpoint              string
		needs                      permission.Access
		public                     bool
	}{
		{"bearer", "GET", "/v2/abc/x", "", []string{"Authorization", "Bearer " + all.Reveal()}, "serverless", "abc", permission.Read, false},
		{"bearer, other letter case", "DELETE", "/v2/abc/x", "", []string{"Authorization", "bEARER   " + all.Reveal()}, "serverless", "abc", permission.Write, false},
		{"header", "HEAD", "/rest/users", "", []string{"X-API-Key", all.Reveal()}, "rest", "users", permission.Read, false},
		{"query", "GET", "/rest/x?a=b&api%5Fkey=" + all.Reveal() + "&c", "", nil, "rest", "", permission.Read, false},
		{"basic", "GET", "/rest/orders/1", "", []string{"Authorization", basic}, "rest", "orders", permission.Read, false},
		{"another scheme is no credential", "GET", "/rest/x", "", []string{"Authorization", "Digest x", "X-API-Key", all.Reveal()}, "rest", "", permission.Read, false},
		{"basic with a password is no credential", "GET", "/rest/x", "", []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("user:pass")), "X-API-Key", all.Reveal()}, "rest", "", permission.Read, false},
		{"rule that grants", "POST", "/rest/search", "q=1", []string{"X-API-Key", all.Reveal()}, "rest", "", permission.Read, false},
		{"rule that restricts", "GET", "/v2/abc/PURGE/", "", []string{"X-API-Key", all.Reveal()}, "serverless", "abc", permission.Write, false},
		{"query in GraphQL", "POST", "/graphql", `{"query":"{a}"}`, []string{"X-API-Key", all.Reveal(), "Content-Type", "application/json"}, "graphql", "", permission.Read, false},
		{"mutation in GraphQL", "POST", "/graphql", `{"query":"mutation{a}"}`, []string{"X-API-Key", all.Reveal(), "Content-Type", "application/json"}, "graphql", "", permission.Write, false},
		{"JSON-RPC that reads", "POST", "/rpc", `{"jsonrpc":"2.0","id":1,"method":"getThing"}`, []string{"X-API-Key", all.Reveal(), "Content-Type", "application/json"}, "rpc", "", permission.Read, false},
		{"public", "POST", "/docs/x", "", nil, "", "", permission.None, true},
		{"public, whatever the key", "GET", "/healthz", "", []string{"X-API-Key", "nonsense"}, "", "", permission.None, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := request(c.method, c.target, c.body, c.headers...)
			d := g.Decide(r, time.Now())
			if !d.Allowed() || d.API != c.api || d.Endpoint != c.endpoint || d.Needs != c.needs || d.Public != c.public {
				t.Fatalf("%s: %s on %s/%s, needs %s, public %t", d.Outcome, d.Detail(), d.API, d.Endpoint, d.Needs, d.Public)
			}
			got, err := io.ReadAll(r.Body)
			if err != nil || string(got) != c.body {
				t.Errorf("the body is %q, %v", got, err)
			}
			g.Strip(r)
			if strings.Contains(r.URL.String()+r.RequestURI, all.Reveal()) {
				t.Errorf("the secret is still in %s", r.URL)
			}
			for name, values := range r.Header {
				if strings.Contains(strings.Join(values, " "), all.Reveal()) || name == "Authorization" && values[0] == basic {
					t.Errorf("the secret is still in %s", name)
				}
			}
		})
	}
}

func TestStripLeavesTheRestByteForByte(t *testing.T) {
	c := Credentials{Bearer: true, Headers: []string{"X-Api-Key"}, Queries: []string{"key"}}
	r := request("GET", "/x?b=%7e&key=1&a&&c=%zz&%6bey=2&Key=3", "", "Authorization", "Basic dTpw", "X-Other", "stays")
	c.Strip(r)
	if want := "b=%7e&a&&c=%zz&Key=3"; r.URL.RawQuery != want || r.RequestURI != "/x?"+want {
		t.Errorf("query %q, request URI %q", r.URL.RawQuery, r.RequestURI)
	}
	if r.Header.Get("Authorization") != "Basic dTpw" || r.Header.Get("X-Other") != "stays" {
		t.Errorf("headers %v", r.Header)
	}
}

func TestUnconfiguredPlacesAreNoCredentials(t *testing.T) {
	b := newBench(t, testOptions)
	_, all := b.create(t, nil)
	g := b.gate(t, contractConfig(), Credentials{Headers: []string{"X-Only"}})
	for _, r := range []*http.Request{
		request("GET", "/rest/x?api_key="+all.Reveal(), ""),
		request("GET", "/rest/x", "", "Authorization", "Bearer "+all.Reveal()),
		request("GET", "/rest/x", "", "X-API-Key", all.Reveal()),
		request("GET", "/rest/x", "", "X-Only", ""),
	} {
		before := r.Clone(t.Context())
		if d := g.Decide(r, time.Now()); d.Outcome != MissingKey {
			t.Errorf("%v %s: %s", r.Header, r.URL, d.Outcome)
		}
		g.Strip(r)
		delete(before.Header, "X-Only")
		if diff := cmp.Diff(before.Header, r.Header); diff != "" || before.URL.String() != r.URL.String() {
			t.Errorf("something was removed: %s", diff)
		}
	}
}

// An upstream that takes no notice of letter case or a trailing slash must not
// be reached past the narrower declaration.
func TestNarrowerDeclarationIsNotSlippedPast(t *testing.T) {
	b := newBench(t, testOptions)
	g := b.gate(t, route.Config{
		Public: sources("/docs/*"),
		APIs: []route.API{
			{Name: "internal", Paths: sources("/docs/internal/*")},
			{Name: "rest", Paths: sources("/rest/*")},
			{Name: "billing", Paths: sources("/rest/billing", "/rest/billing/*")},
		},
	}, DefaultCredentials())
	_, rest := b.create(t, restricted(t, permission.Grant{API: "rest", Access: permission.Write}))
	key := []string{"X-API-Key", rest.Reveal()}
	for target, want := range map[string]Outcome{
		"/docs/x": Allowed, "/docs/internal/x": InsufficientAccess, "/docs/INTERNAL/x": InsufficientAccess,
		"/rest/x": Allowed, "/rest/X/": Allowed, "/rest/billing/x": InsufficientAccess, "/rest/Billing/x": InsufficientAccess, "/rest/BILLING": InsufficientAccess,
	} {
		if d := g.Decide(request("GET", target, "", key...), time.Now()); d.Outcome != want {
			t.Errorf("%s: %s, want %s", target, d.Outcome, want)
		}
	}
	if d := g.Decide(request("GET", "/docs/Internal/x", ""), time.Now()); d.Outcome != MissingKey {
		t.Errorf("/docs/Internal/x without a key: %s", d.Outcome)
	}
}

func TestBrokenBodiesAreRefused(t *testing.T) {
	b := newBench(t, testOptions)
	_, all := b.create(t, nil)
	g := b.gate(t, contractConfig(), DefaultCredentials())
	post := func(body io.Reader, length int64) *http.Request {
		r := request("POST", "/graphql", "x", "X-API-Key", all.Reveal(), "Content-Type", "application/json")
		r.Body, r.ContentLength = io.NopCloser(body), length
		return r
	}
	tooMuch := func() io.Reader { return io.LimitReader(endless{}, 64<<20) }
	for name, c := range map[string]struct {
		r    *http.Request
		want Outcome
	}{
		"broken off":                     {post(io.MultiReader(strings.NewReader(`{"query":`), iotest.ErrReader(io.ErrUnexpectedEOF)), -1), UnreadableBody},
		"endless, length unknown":        {post(tooMuch(), -1), BodyTooLarge},
		"endless, length told":           {post(tooMuch(), 64<<20), BodyTooLarge},
		"endless, length a lie":          {post(tooMuch(), 10), BodyTooLarge},
		"cut off by another handler":     {post(iotest.ErrReader(&http.MaxBytesError{Limit: 10}), -1), BodyTooLarge},
		"read before by somebody else":   {post(iotest.ErrReader(http.ErrBodyReadAfterClose), 5), UnreadableBody},
		"byte by byte is as good as any": {post(iotest.OneByteReader(strings.NewReader(`{"query":"{a}"}`)), -1), Allowed},
	} {
		if d := g.Decide(c.r, time.Now()); d.Outcome != c.want {
			t.Errorf("%s: %s (%s), want %s", name, d.Outcome, d.Detail(), c.want)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A client that waits for "100 Continue" is refused without its body.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	b := newBench(t, testOptions)
	_, none := b.create(t, restricted(t))
	g := b.gate(t, contractConfig(), DefaultCredentials())
	for name, c := range map[string]struct {
		headers []string
		want    Outcome
	}{
		"no key":        {nil, MissingKey},
		"malformed key": {[]string{"X-API-Key", "kw_x"}, UnknownKey},
		"no access":     {[]string{"X-API-Key", none.Reveal()}, InsufficientAccess},
	} {
		r := request("POST", "/graphql", "x", append(c.headers, "Expect", "100-continue", "Content-Type", "application/json")...)
		r.Body = io.NopCloser(iotest.ErrReader(errors.New("the body was read")))
		if d := g.Decide(r, time.Now()); d.Outcome != c.want {
			t.Errorf("%s: %s, want %s", name, d.Outcome, c.want)
		}
	}
}

func TestImportedSecretsOpenTheDoorForTheirForm(t *testing.T) {
	b := newBench(t, testOptions)
	g := b.gate(t, contractConfig(), DefaultCredentials())
	legacy, err := keys.ForeignSecret("sk-0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	decide := func() Outcome {
		d := g.Decide(request("GET", "/rest/x", "", "X-API-Key", legacy.Reveal()), time.Now())
		return d.Outcome
	}
	if got := decide(); got != UnknownKey {
		t.Fatalf("before: %s", got)
	}
	if n := b.store.finds.Load(); n != 0 {
		t.Errorf("a malformed secret caused %d look-ups", n)
	}
	key := keys.Key{ID: keys.NewID(), Name: "old", Enabled: true, Legacy: true, Permissions: permission.Set{Mode: permission.ReadOnly}, CreatedAt: time.Now(), UpdatedAt: time.Now()}
	if err := b.store.Create(t.Context(), by, "import", []keys.New{{Key: key, Digest: legacy.Digest(), Foreign: true}}); err != nil {
		t.Fatal(err)
	}
	if got := decide(); got != Allowed {
		t.Errorf("after the import: %s", got)
	}
}

func TestPreflightGoesThroughOnlyWhereConfiguredAndDeclared(t *testing.T) {
	b := newBench(t, testOptions)
	table, err := route.Compile(contractConfig())
	if err != nil {
		t.Fatal(err)
	}
	auth := NewAuthenticator(DefaultCredentials(), "kw", b.lookup)
	preflight := []string{"Origin", "https://app.example", "Access-Control-Request-Method", "POST"}
	for _, c := range []struct {
		pass    bool
		target  string
		headers []string
		want    Outcome
	}{
		{false, "/rest/x", preflight, MissingKey},
		{true, "/rest/x", preflight, Allowed},
		{true, "/graphql", preflight, Allowed},
		{true, "/nowhere", preflight, MissingKey},
		{true, "/rest/x", preflight[:2], MissingKey},
		{true, "/rest/x", nil, MissingKey},
	} {
		g := New(Options{Authenticator: auth, Table: table, Preflight: c.pass})
		if d := g.Decide(request("OPTIONS", c.target, "", c.headers...), time.Now()); d.Outcome != c.want {
			t.Errorf("pass %t, %s %v: %s, want %s", c.pass, c.target, c.headers, d.Outcome, c.want)
		}
	}
}

func TestStoreUnavailableIsA503WithRetryAfter(t *testing.T) {
	b := newBench(t, testOptions)
	g := b.gate(t, contractConfig(), DefaultCredentials())
	_, secret := b.create(t, nil)
	b.store.failWith(errors.New("disk I/O error"))
	d := g.Decide(request("GET", "/rest/x", "", "X-API-Key", secret.Reveal()), time.Now())
	w := httptest.NewRecorder()
	d.WriteTo(w, "api")
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || !bytes.Contains(w.Body.Bytes(), []byte("store_unavailable")) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if bytes.Contains(w.Body.Bytes(), []byte("disk")) {
		t.Error("the caller is told about our disk")
	}
}
