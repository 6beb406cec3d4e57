package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/route"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// site is the admin API over a real store, a real look-up and the catalogue
// of a small configuration.
type site struct {
	t       testing.TB
	server  *httptest.Server
	store   keys.Store
	gate    *gate.Gate
	lookup  atomic.Pointer[gate.Lookup] // made after the store, whose commits it hears of
	clock   atomic.Int64                // Unix milliseconds; does not move by itself
	admin   string                      // secret of a stored key with admin write
	adminID keys.ID
	message string // id of a delivery, where a test makes one
	// addresses counts those that tests called from.
	addresses atomic.Int64
	document  document // that every answer is held against
}

// theTime is when every site begins.
var theTime = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

func newSite(t testing.TB, change ...func(*admin.Options)) *site {
	t.Helper()
	s := &site{t: t}
	s.clock.Store(theTime.UnixMilli())
	s.store = openStore(t, func(c keys.Change) { s.lookup.Load().Apply(c) })
	authenticator := gate.NewAuthenticator(gate.DefaultCredentials(), keys.DefaultPrefix, s.makeLookup()).SeeClients(clientIP)
	s.gate = gate.New(gate.Options{Authenticator: authenticator, Table: compile(t)})
	catalog := gate.NewCatalog(s.gate)
	options := admin.Options{
		Store: s.store, Authenticator: authenticator, Catalog: func() *gate.Catalog { return catalog },
		Now: s.now, ClientIP: clientIP, Version: "test",
	}
	for _, c := range change {
		c(&options)
	}
	handler, err := admin.New(options)
	if err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(handler)
	t.Cleanup(s.server.Close)
	s.document = document(s.do("GET", "/v1/openapi.json", "").want(200).tree)
	s.admin, s.adminID = s.seed("root", permission.Set{}, permission.Write)
	return s
}

// clientIP is where requests of these tests come from.
func clientIP(r *http.Request) string {
	if from, said := r.Header["Test-From"]; said {
		return from[0]
	}
	return "203.0.113.7"
}

func (s *site) makeLookup() *gate.Lookup {
	s.t.Helper()
	l, err := gate.NewLookup(s.store, gate.LookupOptions{
		MaxKeys: 1000, TTL: time.Minute, UnknownTTL: 10 * time.Second, StaleIfError: 5 * time.Minute, UnknownRate: 1e6,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(l.Close)
	s.lookup.Store(l)
	return l
}

func openStore(t testing.TB, onCommit func(keys.Change)) keys.Store {
	t.Helper()
	store, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "keys.db"), keys.Options{OnCommit: onCommit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// compile is the configuration of the contract's section 2.
func compile(t testing.TB) *route.Table {
	t.Helper()
	sources := func(patterns ...string) (out []route.Source) {
		for _, p := range patterns {
			out = append(out, route.Source{Pattern: p})
		}
		return out
	}
	table, err := route.Compile(route.Config{
		Public: sources("/healthz", "/docs/*"),
		APIs: []route.API{
			{Name: "graphql", Title: "GraphQL API", Paths: sources("/graphql"), GraphQL: &route.GraphQL{}},
			{
				Name: "serverless", Paths: sources("/v2/{endpoint}/*"),
				Rules: []route.Rule{{Access: permission.Read, Methods: []string{"POST"}, Patterns: sources("/v2/{endpoint}/status/*")}},
			},
			{
				Name: "rest", Paths: sources("/rest/*"),
				Endpoints: []route.EndpointDecl{{Name: "users", Patterns: sources("/rest/users", "/rest/users/*")}},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func (s *site) now() time.Time { return time.UnixMilli(s.clock.Load()) }

func (s *site) pass(d time.Duration) { s.clock.Add(d.Milliseconds()) }

// seed stores a key without the API, and returns its secret.
func (s *site) seed(name string, permissions permission.Set, access permission.Access) (string, keys.ID) {
	s.t.Helper()
	secret, err := keys.NewSecret(keys.DefaultPrefix, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	k := keys.Key{
		ID: keys.NewID(), Name: name, Prefix: secret.Prefix(), Permissions: permissions, Admin: access, Enabled: true,
		CreatedAt: s.now(), UpdatedAt: s.now(), CreatedBy: "bootstrap",
	}
	by := keys.By{Actor: "bootstrap", At: s.now()}
	if err := s.store.Create(context.Background(), by, "create", []keys.New{{Key: k, Digest: secret.Digest()}}); err != nil {
		s.t.Fatal(err)
	}
	return secret.Reveal(), k.ID
}

// response is an answer, read.
type response struct {
	t      testing.TB
	status int
	header http.Header
	text   string
	tree   map[string]any // of a JSON object
}

// do asks with the admin key; a header "Name: value" replaces what is sent else.
func (s *site) do(method, path, body string, headers ...string) response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, s.server.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.admin)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if value == "" {
			r.Header.Del(name)
			continue
		}
		r.Header.Set(name, value)
	}
	return s.send(r)
}

func (s *site) send(r *http.Request) response {
	s.t.Helper()
	answer, err := s.server.Client().Transport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	out := response{t: s.t, status: answer.StatusCode, header: answer.Header, text: string(body)}
	if bytes.HasPrefix(body, []byte("{")) {
		if err := json.Unmarshal(body, &out.tree); err != nil {
			s.t.Fatalf("%s %s: %v in %s", r.Method, r.URL, err, body)
		}
	}
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		s.t.Errorf("%s %s: Cache-Control is %q", r.Method, r.URL, got)
	}
	if got := answer.Header.Get("X-Content-Type-Options"); got != "nosniff" {
		s.t.Errorf("%s %s: X-Content-Type-Options is %q", r.Method, r.URL, got)
	}
	if s.document != nil {
		s.document.holdAgainst(s.t, r.Method, r.URL.EscapedPath(), out)
	}
	return out
}

// want fails unless the answer has the status.
func (r response) want(status int) response {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status is %d, want %d: %s", r.status, status, r.text)
	}
	return r
}

// problem fails unless the answer is a whole problem with status and code.
func (r response) problem(status int, code string) response {
	r.t.Helper()
	r.want(status)
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		r.t.Fatalf("Content-Type is %q", got)
	}
	short, _ := r.tree["error"].(map[string]any)
	if r.tree["code"] != code || short["code"] != code {
		r.t.Fatalf("code is %v and %v, want %q: %s", r.tree["code"], short["code"], code, r.text)
	}
	if r.tree["status"] != float64(status) || r.tree["title"] == "" || r.tree["type"] == "" || r.tree["detail"] == "" ||
		short["message"] != r.tree["detail"] {
		r.t.Fatalf("not a whole problem: %s", r.text)
	}
	return r
}

// faults returns the fields of a 422 with their messages.
func (r response) faults() map[string]string {
	r.t.Helper()
	list, _ := r.tree["errors"].([]any)
	out := map[string]string{}
	for _, item := range list {
		fault, _ := item.(map[string]any)
		field, _ := fault["field"].(string)
		out[field], _ = fault["message"].(string)
	}
	if len(out) != len(list) {
		r.t.Fatalf("fields repeat: %s", r.text)
	}
	return out
}

// get returns a member of the answer that is a string.
func (r response) get(name string) string {
	r.t.Helper()
	value, ok := r.tree[name].(string)
	if !ok {
		r.t.Fatalf("%s is no string in %s", name, r.text)
	}
	return value
}

// create makes a key and returns the answer.
func (s *site) create(body string) response {
	s.t.Helper()
	return s.do("POST", "/v1/keys", body).want(201)
}

// decide asks the gateway itself.
func (s *site) decide(method, target, secret string) gate.Decision {
	s.t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("X-Api-Key", secret)
	return s.gate.Decide(r, s.now())
}

// stored returns everything that a change would show in.
func (s *site) stored() string {
	s.t.Helper()
	all, _, err := s.store.List(context.Background(), keys.Query{Now: s.now(), Limit: 200})
	if err != nil {
		s.t.Fatal(err)
	}
	entries, _, err := s.store.Audit(context.Background(), keys.AuditQuery{Limit: 200})
	if err != nil {
		s.t.Fatal(err)
	}
	endpoints, err := s.store.Endpoints(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := json.Marshal([]any{all, entries, endpoints})
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}
