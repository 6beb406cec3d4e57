package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// reporting is the standard handler, in report mode, with options of its own.
func reporting(options string) string {
	return strings.Replace(standard, "api_key_auth {", "api_key_auth {\nenforce off\n"+options, 1)
}

func readOnly(k *keys.Key) { k.Permissions.Mode = permission.ReadOnly }
func off(k *keys.Key)      { k.Enabled = false }
func ended(k *keys.Key)    { k.ExpiresAt = time.Now().Add(-time.Minute) }

func TestReportModeLetsEverythingPassAndTells(t *testing.T) {
	s := newSite(t, "", "route {\nmetrics /metrics\n"+reporting("report_header")+"}")
	reader, secret := s.key(readOnly)
	_, disabled := s.key(off)
	_, expired := s.key(ended)
	unknown, err := keys.NewSecret(keys.DefaultPrefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	who := map[string]string{"X-Auth-Key-Id": string(reader.ID), "X-Auth-Key-Owner": "team-7"}
	to := func(more ...string) map[string]string {
		out := map[string]string{"X-Auth-Key-Id": who["X-Auth-Key-Id"], "X-Auth-Key-Owner": who["X-Auth-Key-Owner"]}
		for i, value := range more {
			out[[]string{"X-Auth-Api", "X-Auth-Access", "X-Auth-Endpoint"}[i]] = value
		}
		return out
	}
	for _, c := range []struct {
		name, method, target, secret, code, api, access string
		identity                                        map[string]string
		edit                                            func(*http.Request)
	}{
		{name: "allowed", method: "GET", target: "/rest/a", secret: secret, api: "rest", access: "read", identity: to("rest", "read")},
		{name: "no key", method: "GET", target: "/rest/a", code: "missing_key"},
		{name: "no key, a path of no API", method: "GET", target: "/nowhere", code: "missing_key"},
		{name: "unknown", method: "GET", target: "/rest/a", secret: unknown.Reveal(), code: "unknown_key"},
		{name: "disabled", method: "GET", target: "/rest/a", secret: disabled, code: "disabled_key"},
		{name: "expired", method: "GET", target: "/rest/a", secret: expired, code: "expired_key"},
		{name: "too little access", method: "DELETE", target: "/rest/users/1", secret: secret, code: "insufficient_access", api: "rest", access: "write", identity: to("rest", "write", "users")},
		{name: "path of no API", method: "GET", target: "/nowhere", secret: secret, code: "no_such_api", identity: to()},
		{name: "ambiguous", method: "GET", target: "/rest/a%2Fb", secret: secret, code: "ambiguous_request"},
		{name: "trace", method: "TRACE", target: "/rest/a", secret: secret, code: "method_not_allowed"},
		{name: "two credentials", method: "GET", target: "/rest/a", secret: secret, code: "ambiguous_request", edit: header("X-API-Key", secret)},
		{name: "no GraphQL", method: "POST", target: "/graphql", secret: secret, code: "unreadable_body", api: "graphql", access: "read", identity: to("graphql", "read"), edit: body("no query")},
		{name: "an upgrade to something", method: "GET", target: "/healthz", code: "ambiguous_request", edit: func(r *http.Request) {
			r.Header["Upgrade"], r.Header["Connection"] = []string{"h2c"}, []string{"Upgrade"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.t = t
			outcome, access := "would_"+c.code, c.access
			if c.code == "" {
				outcome = "allowed"
			}
			if access == "" {
				access = "none"
			}
			counter := fmt.Sprintf("caddy_api_key_auth_requests_total{access=%q,api=%q,outcome=%q}", access, c.api, outcome)
			before, n := s.metric(counter), s.upstream.count()
			answer, text := s.do(c.method, c.target, header("X-Auth-Key-Id", "key_forged"), func(r *http.Request) {
				if c.secret != "" {
					bearer(c.secret)(r)
				}
				if c.edit != nil {
					c.edit(r)
				}
			})
			if answer.StatusCode != 200 || text != "from upstream" {
				t.Fatalf("answered %d %q", answer.StatusCode, text)
			}
			if got := answer.Header.Get("Keywarden-Would-Refuse"); got != c.code {
				t.Errorf("told %q, want %q", got, c.code)
			}
			got := s.upstream.last(t, n+1)
			if diff := cmp.Diff(c.identity, identityOf(got.Request)); diff != "" && len(c.identity)+len(identityOf(got.Request)) > 0 {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
			if text := fmt.Sprint(got.Header, got.RequestURI); c.secret != "" && strings.Contains(text, c.secret[3:]) {
				t.Errorf("the secret reached the upstream: %s", text)
			}
			if got.Method != c.method || got.RequestURI != c.target {
				t.Errorf("it reached the upstream as %s %s", got.Method, got.RequestURI)
			}
			if rose := s.metric(counter) - before; rose != 1 {
				t.Errorf("%s rose by %v", counter, rose)
			}
		})
	}
}

func TestReportModeLeavesCredentialsOfOthers(t *testing.T) {
	s := newSite(t, "", reporting("credentials bearer basic header X-API-Key query key"))
	_, secret := s.key()
	foreign, err := keys.ForeignSecret("legacy-token-of-ours")
	if err != nil {
		t.Fatal(err)
	}
	s.keyWith(foreign)
	theirs := "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"
	n := 0
	for name, c := range map[string]struct {
		target string
		edit   func(*http.Request)
		uri    string
		left   []string
	}{
		"a token of theirs":               {"/rest/a", bearer(theirs), "/rest/a", []string{"Authorization"}},
		"a token on a public path":        {"/healthz", bearer(theirs), "/healthz", []string{"Authorization"}},
		"a key on a public path":          {"/healthz", bearer(secret), "/healthz", nil},
		"a password of theirs":            {"/rest/a", func(r *http.Request) { r.SetBasicAuth(theirs, "") }, "/rest/a", []string{"Authorization"}},
		"a parameter of theirs":           {"/rest/a?key=" + theirs + "&b=1", header("A", "b"), "/rest/a?key=" + theirs + "&b=1", nil},
		"ours in the query":               {"/rest/a?key=" + secret + "&b=1", header("A", "b"), "/rest/a?b=1", nil},
		"theirs, and ours":                {"/rest/a", func(r *http.Request) { bearer(theirs)(r); header("X-API-Key", secret)(r) }, "/rest/a", []string{"Authorization"}},
		"an imported key of another form": {"/rest/a", header("X-API-Key", foreign.Reveal()), "/rest/a", nil},
	} {
		n++
		s.want(200, "GET", c.target, c.edit)
		got := s.upstream.last(t, n)
		var left []string
		for _, name := range []string{"Authorization", "X-Api-Key"} {
			if got.Header[name] != nil {
				left = append(left, name)
			}
		}
		if diff := cmp.Diff(c.left, left); diff != "" || got.RequestURI != c.uri {
			t.Errorf("%s: %s with %v, want %s with %v", name, got.RequestURI, left, c.uri, c.left)
		}
	}
}

// Whatever is read to decide, the upstream gets all of it.
func TestReportModeLeavesBodiesWhole(t *testing.T) {
	s := newSite(t, "", strings.Replace(reporting("report_header"), "graphql\n\t\t}", "graphql {\nmax_body 1KiB\n}\n\t\t}", 1))
	_, secret := s.key()
	large := `{"query":"{ a }"` + strings.Repeat(" ", 100_000) + "}"
	n := 0
	for name, c := range map[string]struct {
		text, code string
		chunked    bool
	}{
		"understood":               {`{"query":"{ a }"}`, "", false},
		"not understood":           {`{"query":`, "unreadable_body", false},
		"too large":                {large, "body_too_large", false},
		"too large, length unsaid": {large, "body_too_large", true},
	} {
		n++
		answer, _ := s.do("POST", "/graphql", bearer(secret), header("Content-Type", "application/json"), body(c.text), func(r *http.Request) {
			if c.chunked {
				r.ContentLength = -1
			}
		})
		if got := s.upstream.last(t, n); got.Body != c.text || answer.Header.Get("Keywarden-Would-Refuse") != c.code {
			t.Errorf("%s: %d of %d bytes arrived, told %q", name, len(got.Body), len(c.text), answer.Header.Get("Keywarden-Would-Refuse"))
		}
	}
}

// breaking is a body that ends in a fault.
type breaking struct{ io.Reader }

func (b breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestAFaultOfABodyIsPassedOn(t *testing.T) {
	r := httptest.NewRequest("POST", "/", breaking{strings.NewReader("half of i")})
	b := recordBody(r)
	if _, err := io.ReadAll(r.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("error %v", err)
	}
	b.giveBack(r)
	for range 2 {
		text, err := io.ReadAll(r.Body)
		if !errors.Is(err, io.ErrUnexpectedEOF) || text != nil && string(text) != "half of i" && string(text) != "" {
			t.Fatalf("%q, error %v", text, err)
		}
	}
	untouched := httptest.NewRequest("POST", "/", strings.NewReader("a"))
	original := untouched.Body
	recordBody(untouched).giveBack(untouched)
	if untouched.Body != original {
		t.Error("a body that nobody read is another one")
	}
}

func TestReportModeWorksWhileTheStoreIsDown(t *testing.T) {
	s := newSite(t, "", reporting("report_header"))
	_, secret := s.key()
	if err := s.engine().store.Close(); err != nil {
		t.Fatal(err)
	}
	answer, _ := s.do("GET", "/rest/a", bearer(secret))
	if answer.StatusCode != 200 || answer.Header.Get("Keywarden-Would-Refuse") != "store_unavailable" {
		t.Errorf("answered %d, told %q", answer.StatusCode, answer.Header.Get("Keywarden-Would-Refuse"))
	}
	if got := s.upstream.last(t, 1); got.Header["Authorization"] != nil {
		t.Error("what may be a key reached the upstream")
	}
}

func TestReportModeSaysSoInTheLogAndNotTooOften(t *testing.T) {
	s := newSite(t, "log {\noutput file {$DIR}/log\nformat json\n}", reporting(""))
	reader, secret := s.key(readOnly)
	for i := range 50 {
		s.want(200, "GET", fmt.Sprintf("/rest/%d?token=%s", i, secret))
	}
	s.want(200, "POST", "/rest/users", bearer(secret))
	if answer, _ := s.do("GET", "/rest/a"); answer.Header.Get("Keywarden-Would-Refuse") != "" {
		t.Error("an answer tells what nobody asked to be told")
	}
	lines := map[string][]map[string]any{}
	for line := range strings.Lines(s.file("log")) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		message, _ := entry["msg"].(string)
		lines[message] = append(lines[message], entry)
	}
	if n := len(lines["would refuse: missing_key"]); n != reportFirst {
		t.Errorf("%d lines, want %d", n, reportFirst)
	}
	first := lines["would refuse: missing_key"][0]
	if first["level"] != "info" || first["path"] != "/rest/0" || first["method"] != "GET" || first["client_ip"] != "127.0.0.1" {
		t.Errorf("logged %v", first)
	}
	denied := lines["would refuse: insufficient_access"]
	if len(denied) != 1 || denied[0]["api_key_id"] != string(reader.ID) || denied[0]["endpoint"] != "users" || denied[0]["needs"] != "write" || denied[0]["has"] != "read" {
		t.Errorf("logged %v", denied)
	}
	warned := false
	for message, entries := range lines {
		warned = warned || strings.HasPrefix(message, "enforce off: EVERY request is let through") && entries[0]["level"] == "warn"
	}
	if !warned {
		t.Error("nobody was warned at load")
	}
	if strings.Contains(s.file("log"), secret[3:]) {
		t.Error("the log has a secret")
	}
}

func TestEnforceOnIsTheDefault(t *testing.T) {
	s := newSite(t, "", reporting(""))
	s.want(200, "GET", "/rest/a")
	if err := s.load("", strings.Replace(reporting(""), "enforce off", "enforce on", 1)); err != nil {
		t.Fatal(err)
	}
	s.want(401, "GET", "/rest/a")
	if err := s.load("", standard); err != nil {
		t.Fatal(err)
	}
	s.want(401, "GET", "/rest/a")
}
