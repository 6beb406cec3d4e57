package admin_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

func digestOf(secret string) keys.Digest { return sha256.Sum256([]byte(secret)) }

// calls are all calls that need a key: method, path, body, and whether admin
// read is enough.
func (s *site) calls(id string) []struct {
	method, path, body string
	read               bool
} {
	return []struct {
		method, path, body string
		read               bool
	}{
		{"GET", "/v1/keys", "", true},
		{"HEAD", "/v1/keys", "", true},
		{"GET", "/v1/keys/" + id, "", true},
		{"POST", "/v1/keys/check", `{"id": "` + id + `", "method": "GET", "path": "/rest/users"}`, true},
		{"GET", "/v1/apis", "", true},
		{"GET", "/v1/audit", "", true},
		{"GET", "/v1/whoami", "", true},
		{"GET", "/v1/webhooks/deliveries", "", true},
		{"POST", "/v1/webhooks/deliveries/" + cmp.Or(s.message, "msg_x") + "/retry", "", false},
		{"POST", "/v1/keys", `{"permissions": {"mode": "all"}, "admin": "read"}`, false},
		{"POST", "/v1/keys/import", `{"keys": [{"permissions": {"mode": "all"}, "secret": "foreign-secret-of-some-length"}]}`, false},
		{"PATCH", "/v1/keys/" + id, `{"name": "x"}`, false},
		{"POST", "/v1/keys/" + id + "/rotate", "", false},
		{"PUT", "/v1/apis/rest/endpoints/e", `{"title": "E"}`, false},
		{"DELETE", "/v1/apis/rest/endpoints/e", "", false},
		{"DELETE", "/v1/keys/" + id, "", false},
	}
}

func TestReadersReadAndWritersWrite(t *testing.T) {
	s := newSite(t)
	all := permission.Set{Mode: permission.All}
	none, _ := s.seed("none", all, permission.None)
	reader, _ := s.seed("reader", permission.Set{}, permission.Read)
	id := s.create(`{"permissions": {"mode": "all"}}`).get("id")
	s.message = s.enqueue("wh_a")[0].ID
	for _, call := range s.calls(id) {
		before := s.stored()
		refused := s.do(call.method, call.path, call.body, "Authorization: Bearer "+none)
		if call.method != http.MethodHead {
			refused.problem(403, "insufficient_access")
		}
		if got := refused.want(403).header.Get("WWW-Authenticate"); got != `Bearer realm="admin", error="insufficient_scope"` {
			t.Errorf("WWW-Authenticate is %q", got)
		}
		answer := s.do(call.method, call.path, call.body, "Authorization: Bearer "+reader)
		if call.read {
			answer.want(200)
			continue
		}
		answer.problem(403, "insufficient_access")
		if want := "needs write on admin; key " + reader[:11] + " has read"; answer.get("detail") != want {
			t.Errorf("detail is %q, want %q", answer.get("detail"), want)
		}
		if s.stored() != before {
			t.Errorf("%s %s by a reader was stored", call.method, call.path)
		}
	}
	for _, call := range s.calls(id) {
		if answer := s.do(call.method, call.path, call.body); answer.status >= 300 {
			t.Errorf("%s %s by a writer: %s", call.method, call.path, answer.text)
		}
	}
}

func TestWithoutAGoodKeyNothingOpens(t *testing.T) {
	s := newSite(t)
	disabled := s.create(`{"permissions": {"mode": "all"}, "admin": "write", "enabled": false}`)
	for _, c := range []struct {
		headers []string
		status  int
		code    string
	}{
		{[]string{"Authorization: "}, 401, "missing_key"},
		{[]string{"Authorization: Basic Zm9vOg=="}, 401, "missing_key"},
		{[]string{"Authorization: Bearer " + strings.Repeat("x", 600)}, 401, "unknown_key"},
		{[]string{"Authorization: Bearer kw_0000000000000000000000000000000000000000"}, 401, "unknown_key"},
		{[]string{"Authorization: Bearer config"}, 401, "unknown_key"},
		{[]string{"Authorization: Bearer " + disabled.get("secret")}, 401, "disabled_key"},
		{[]string{"X-API-Key: " + s.admin}, 400, "ambiguous_request"},
	} {
		for _, call := range s.calls("key_x") {
			if call.method == http.MethodHead {
				continue
			}
			answer := s.do(call.method, call.path, call.body, c.headers...).problem(c.status, c.code)
			if c.status == 401 && !strings.HasPrefix(answer.header.Get("WWW-Authenticate"), `Bearer realm="admin"`) {
				t.Errorf("WWW-Authenticate is %q", answer.header.Get("WWW-Authenticate"))
			}
		}
	}
	s.do("GET", "/v1/whoami", "", "Authorization: ", "X-API-Key: "+s.admin).want(200)
}

func TestTheConfiguredAdminKeyIsAnAdminKey(t *testing.T) {
	const configured = "s3cret from the environment"
	s := newSite(t, withConfigAdmin(t, configured))
	for _, header := range []string{"Authorization: bearer ", "X-API-Key: "} {
		headers := []string{"Authorization: ", header + configured}
		if header != "X-API-Key: " {
			headers = headers[1:]
		}
		who := s.do("GET", "/v1/whoami", "", headers...).want(200)
		if who.get("id") != "config" || who.get("admin") != "write" || who.tree["created_at"] != nil {
			t.Errorf("whoami says %s", who.text)
		}
		made := s.do("POST", "/v1/keys", `{"permissions": {"mode": "all"}}`, headers...).want(201)
		if made.get("created_by") != "config" {
			t.Errorf("created by %q", made.get("created_by"))
		}
	}
	for _, wrong := range []string{configured + " ", configured[1:], strings.ToUpper(configured)} {
		if wrong == configured+" " {
			continue // trailing spaces are no part of a header's value
		}
		s.do("GET", "/v1/whoami", "", "Authorization: Bearer "+wrong).problem(401, "unknown_key")
	}
	s.do("GET", "/v1/whoami", "", "X-API-Key: "+configured).problem(400, "ambiguous_request")
	if d := s.decide("GET", "/rest/users", configured); d.Allowed() {
		t.Error("the configured admin key opens an API")
	}
}

func TestWhoamiShowsTheKeyInUse(t *testing.T) {
	s := newSite(t)
	who := s.do("GET", "/v1/whoami", "").want(200)
	if who.get("id") != string(s.adminID) || who.get("name") != "root" || who.get("admin") != "write" || who.get("prefix") != s.admin[:11] {
		t.Errorf("whoami says %s", who.text)
	}
}

func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/", "/v1", "/v1/", "/v1/nope", "/v1/keys/", "/v1//keys", "/V1/keys", "/v1/keys/a/b", "/v1/keys/%ff", "/docs/", "/docs/../v1/keys", "/healthz/"} {
		s.do("GET", path, "").problem(404, "not_found")
	}
	for path, allow := range map[string]string{
		"/v1/keys": "POST, GET, HEAD", "/v1/keys/import": "POST", "/v1/keys/check": "POST", "/v1/keys/x": "GET, HEAD, PATCH, DELETE",
		"/v1/keys/x/rotate": "POST", "/v1/apis/a/endpoints/b": "PUT, DELETE", "/healthz": "GET, HEAD", "/docs": "GET, HEAD",
	} {
		for _, method := range []string{"OPTIONS", "PURGE", "get"} {
			answer := s.do(method, path, "").problem(405, "method_not_allowed")
			if got := answer.header.Get("Allow"); got != allow {
				t.Errorf("%s allows %q, want %q", path, got, allow)
			}
		}
	}
}

func TestHeadAnswersLikeGetWithoutABody(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/v1/keys", "/v1/keys/" + string(s.adminID), "/v1/openapi.json", "/docs", "/healthz"} {
		get, head := s.do("GET", path, "").want(200), s.do("HEAD", path, "").want(200)
		if head.text != "" || head.header.Get("ETag") != get.header.Get("ETag") || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("HEAD %s: %v %q", path, head.header, head.text)
		}
	}
}

func TestHealthNeedsNoKey(t *testing.T) {
	var fault error
	s := newSite(t, func(o *admin.Options) {
		o.Ready = func(context.Context) error { return fault }
	})
	for _, path := range []string{"/healthz", "/readyz"} {
		if answer := s.do("GET", path, "", "Authorization: ").want(200); answer.get("status") != "ok" {
			t.Errorf("%s says %s", path, answer.text)
		}
	}
	fault = errors.New("dial tcp 10.0.0.3:5432: refused")
	s.do("GET", "/healthz", "", "Authorization: ").want(200)
	answer := s.do("GET", "/readyz", "", "Authorization: ").problem(503, "not_ready")
	if strings.Contains(answer.text, "10.0.0.3") || answer.header.Get("Retry-After") == "" {
		t.Errorf("the answer is %s, %v", answer.text, answer.header)
	}
}

// Probes ask every few seconds; the log tells what has changed.
func TestThatItIsNotReadyIsLoggedOnce(t *testing.T) {
	var fault error
	var log bytes.Buffer
	s := newSite(t, func(o *admin.Options) {
		o.Ready = func(context.Context) error { return fault }
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	for _, fault = range []error{nil, errors.New("refused"), errors.New("refused"), errors.New("hangs"), nil, nil, errors.New("refused again")} {
		s.do("GET", "/readyz", "", "Authorization: ")
	}
	want := []string{`level=WARN msg="not ready" error=refused`, `level=INFO msg="ready again"`, `level=WARN msg="not ready" error="refused again"`}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("the log is\n%s", log.String())
	}
	for i := range want {
		if !strings.Contains(lines[i], want[i]) {
			t.Errorf("line %d is %s, want %s", i, lines[i], want[i])
		}
	}
}

func TestAStoreThatCannotBeAskedIsA503(t *testing.T) {
	const configured = "configured"
	s := newSite(t, withConfigAdmin(t, configured))
	id := s.create(`{"permissions": {"mode": "all"}}`).get("id")
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, call := range s.calls(id) {
		if call.path == "/v1/whoami" || call.method == http.MethodHead {
			continue
		}
		answer := s.do(call.method, call.path, call.body, "Authorization: Bearer "+configured).problem(503, "store_unavailable")
		if answer.header.Get("Retry-After") == "" || strings.Contains(answer.text, "sql") {
			t.Errorf("%s %s: %v %s", call.method, call.path, answer.header, answer.text)
		}
	}
	unknown, err := keys.NewSecret(keys.DefaultPrefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.do("GET", "/v1/keys", "", "Authorization: Bearer "+unknown.Reveal()).problem(503, "store_unavailable")
	body := `{"secret": "` + unknown.Reveal() + `", "method": "GET", "path": "/rest/users"}`
	s.do("POST", "/v1/keys/check", body, "Authorization: Bearer "+configured).problem(503, "store_unavailable")
}

func TestOptionsThatAreMissingAreRefused(t *testing.T) {
	if _, err := admin.New(admin.Options{}); err == nil {
		t.Error("an API without a store was made")
	}
	store := openStore(t, nil)
	authenticator := gate.NewAuthenticator(gate.DefaultCredentials(), "kw", nil)
	catalog := func() *gate.Catalog { return gate.NewCatalog() }
	if _, err := admin.New(admin.Options{Store: store, Authenticator: authenticator, Catalog: catalog, KeyPrefix: "Bad_"}); err == nil {
		t.Error("a bad key prefix was taken")
	}
}
