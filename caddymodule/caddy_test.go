package caddymodule

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddy-keywarden/keywarden/internal/freeport"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// TestMain keeps Caddy's own files out of the home directory.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "keywarden-caddymodule-")
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		if err := os.Setenv(name, dir); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// site is a real Caddy in this process, in front of a real upstream.
type site struct {
	t        *testing.T
	dir      string
	address  string // host:port of the gateway
	upstream *upstream
}

// upstream remembers the requests that reached it.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seen
	// answer, if set, replaces the plain 200.
	answer http.HandlerFunc
}

type seen struct {
	*http.Request
	Body string
}

func newUpstream(t *testing.T) *upstream {
	u := new(upstream)
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Logf("upstream: reading the body: %v", err)
		}
		u.mu.Lock()
		u.seen = append(u.seen, seen{r, string(body)})
		answer := u.answer
		u.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		fmt.Fprint(w, "from upstream")
	}))
	t.Cleanup(u.Close)
	return u
}

// last returns the last request that arrived, which must be the n-th.
func (u *upstream) last(t *testing.T, n int) seen {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.seen) != n {
		t.Fatalf("%d requests have reached the upstream, want %d", len(u.seen), n)
	}
	return u.seen[n-1]
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.seen)
}

// standard is the handler that most tests put into the site.
const standard = `
	api_key_auth {
		public /healthz /docs/*
		api rest {
			path /rest/*
			endpoint users /rest/users /rest/users/*
			read POST /rest/search
		}
		api serverless {
			path /v2/{endpoint}/*
		}
		api graphql {
			path /graphql
			graphql
		}
	}
	reverse_proxy {$UPSTREAM}
`

// newSite loads a Caddyfile with one site that holds directives. global stands
// in the global options, after what the test needs. {$DIR}, {$ADDRESS} and
// {$UPSTREAM} stand for the test's own.
func newSite(t *testing.T, global, directives string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), address: freeport.Addresses(t, 1)[0], upstream: newUpstream(t)}
	t.Setenv("DIR", s.dir)
	t.Setenv("ADDRESS", s.address)
	t.Setenv("ADDRESS_PORT", s.address[strings.LastIndexByte(s.address, ':')+1:])
	t.Setenv("UPSTREAM", strings.TrimPrefix(s.upstream.URL, "http://"))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping Caddy: %v", err)
		}
	})
	if err := s.load(global, directives); err != nil {
		t.Fatal(err)
	}
	s.connected()
	return s
}

// connected waits until the change feed follows the store: it begins by
// forgetting what was cached before.
func (s *site) connected() {
	s.t.Helper()
	for began := time.Now(); !s.engine().feed.Connected(); runtime.Gosched() {
		if time.Since(began) > 10*time.Second {
			s.t.Fatal("the change feed has not connected in 10 s")
		}
	}
}

// load loads or reloads the site.
func (s *site) load(global, directives string) error {
	if !strings.Contains(global, "api_keys") {
		global += "\napi_keys {\nstore sqlite {$DIR}/keys.db\n}\n"
	}
	return load(s.t, "{\nadmin off\npersist_config off\ngrace_period 5s\n"+global+"\n}\nhttp://{$ADDRESS} {\n"+directives+"\n}\n")
}

func load(t *testing.T, caddyfile string) error {
	t.Helper()
	text, err := adapt(caddyfile)
	if err != nil {
		return err
	}
	// The former server closes its connections, maybe just as one is used again.
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return caddy.Load(text, true)
}

func adapt(caddyfile string) ([]byte, error) {
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return text, err
}

// engine returns the one that is open.
func (s *site) engine() *engine {
	s.t.Helper()
	var open *engine
	engines.Range(func(_, value any) bool {
		open = value.(*engine)
		return false
	})
	if open == nil {
		s.t.Fatal("no engine is open")
	}
	return open
}

// key stores a key and returns it and its secret.
func (s *site) key(edit ...func(*keys.Key)) (keys.Key, string) {
	s.t.Helper()
	secret, err := keys.NewSecret(keys.DefaultPrefix, rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.keyWith(secret, edit...), secret.Reveal()
}

func (s *site) keyWith(secret keys.Secret, edit ...func(*keys.Key)) keys.Key {
	s.t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	k := keys.Key{
		ID: keys.NewID(), Name: "test", Owner: "team-7", Prefix: secret.Prefix(), Enabled: true,
		Permissions: permission.Set{Mode: permission.All}, CreatedAt: now, UpdatedAt: now, Version: 1,
		Metadata: map[string]string{},
	}
	for _, e := range edit {
		e(&k)
	}
	_, err := keys.ParseSecret(keys.DefaultPrefix, secret.Reveal())
	applied := s.applied()
	if err := s.engine().store.Create(s.t.Context(), keys.By{Actor: "test", At: now}, "create",
		[]keys.New{{Key: k, Digest: secret.Digest(), Foreign: err != nil}}); err != nil {
		s.t.Fatal(err)
	}
	// The feed applies the change once more, and what was cached in between is
	// forgotten. Tests that look into the cache must not come before that.
	for began := time.Now(); s.applied() == applied; runtime.Gosched() {
		if time.Since(began) > 10*time.Second {
			s.t.Fatal("the change feed has not brought the change in 10 s")
		}
	}
	return k
}

// applied returns how many changes the feed has brought.
func (s *site) applied() uint64 {
	s.t.Helper()
	var m dto.Metric
	if err := changeLagSeconds.Write(&m); err != nil {
		s.t.Fatal(err)
	}
	return m.GetHistogram().GetSampleCount()
}

// do sends a request and returns the answer, read to its end.
func (s *site) do(method, target string, edit ...func(*http.Request)) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.address+target, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range edit {
		e(r)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	// After a reload Caddy closes the former listener in the background: a
	// connection that it was still handed is closed without an answer.
	for range 3 {
		if r.Body == nil && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
			answer, err = http.DefaultTransport.RoundTrip(r)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer, string(body)
}

// want sends a request and fails unless its status is as given.
func (s *site) want(status int, method, target string, edit ...func(*http.Request)) string {
	s.t.Helper()
	answer, body := s.do(method, target, edit...)
	if answer.StatusCode != status {
		s.t.Fatalf("%s %s is answered with %d, want %d:\n%s", method, target, answer.StatusCode, status, body)
	}
	return body
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header[http.CanonicalHeaderKey(name)] = append(r.Header[http.CanonicalHeaderKey(name)], value)
	}
}

func bearer(secret string) func(*http.Request) { return header("Authorization", "Bearer "+secret) }

func body(text string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(text))
		r.ContentLength = int64(len(text))
	}
}

// raw sends text as it is, and returns the answer up to where the gateway
// closes the connection: say "Connection: close" in it.
func (s *site) raw(text string) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		s.t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(answer)
}

// file returns the content of a file in the test's folder.
func (s *site) file(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}
