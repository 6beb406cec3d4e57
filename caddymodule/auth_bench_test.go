package caddymodule

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// benchHandler returns a handler with an open engine, and a secret.
func benchHandler(tb testing.TB) (*Auth, string) {
	tb.Helper()
	app := &App{settled: make(chan struct{})}
	settings := (&config.App{Store: &config.Store{Kind: config.SQLite, Address: filepath.Join(tb.TempDir(), "keys.db")}}).Settings("")
	app.settings = settings
	e, err := openEngine(settings, zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Destruct(); err != nil {
			tb.Error(err)
		}
	})
	h := &Auth{app: app, log: zap.NewNop(), Auth: config.Auth{APIs: []config.API{{
		Name: "rest", Paths: []config.Pattern{{Text: "/rest/*"}},
		Endpoints: []config.Endpoint{{Name: "users", Paths: []config.Pattern{{Text: "/rest/users/*"}}}},
	}}}}
	if err := h.prepare(); err != nil {
		tb.Fatal(err)
	}
	h.open(e)
	app.running.Store(e)
	secret, err := keys.NewSecret(keys.DefaultPrefix, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	k := keys.Key{
		ID: keys.NewID(), Name: "bench", Owner: "team-7", Prefix: secret.Prefix(), Enabled: true, CreatedAt: now, UpdatedAt: now, Version: 1,
		Permissions: permission.Set{Mode: permission.All}, Metadata: map[string]string{},
	}
	if err := e.store.Create(tb.Context(), keys.By{Actor: "bench", At: now}, "create", []keys.New{{Key: k, Digest: secret.Digest()}}); err != nil {
		tb.Fatal(err)
	}
	return h, secret.Reveal()
}

// caddyRequest returns a request as Caddy's server prepares it, with the
// headers of an ordinary client. As little as possible of it is made anew.
func caddyRequest(secret string) *http.Request {
	u := &url.URL{Path: "/rest/users/1"}
	repl := caddy.NewReplacer()
	repl.Map(func(string) (any, bool) { return nil, false }) // Caddy's HTTP placeholders
	ctx := context.WithValue(context.Background(), caddy.ReplacerCtxKey, repl)
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: "192.0.2.1", caddyhttp.TrustedProxyVarKey: false})
	ctx = context.WithValue(ctx, caddyhttp.OriginalRequestCtxKey, http.Request{URL: u})
	ctx = context.WithValue(ctx, caddyhttp.ExtraLogFieldsCtxKey, new(caddyhttp.ExtraLogFields))
	r := &http.Request{Method: "GET", URL: u, RequestURI: u.Path, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, Header: http.Header{
		"X-Api-Key": {secret}, "User-Agent": {"curl/8"}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip"},
	}}
	return r.WithContext(ctx)
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header       { return d.h }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// BenchmarkHandler compares an allowed request on a cached key with the same
// request without the handler: the difference is what the handler costs.
func BenchmarkHandler(b *testing.B) {
	h, secret := benchHandler(b)
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	w := discard{http.Header{}}
	if err := h.ServeHTTP(w, caddyRequest(secret), next); err != nil {
		b.Fatal(err)
	}
	for _, logs := range []bool{false, true} {
		name := "handler"
		if logs {
			name = "handler with an access log"
		}
		h.logs = logs
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := h.ServeHTTP(w, caddyRequest(secret), next); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := next.ServeHTTP(w, caddyRequest(secret)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestTheHandlerAllocatesTwice holds the handler to what it costs: the caller,
// and the function that answers for its placeholders. Captured endpoints and
// an access log come on top, and where the map of headers has to grow, that.
func TestTheHandlerAllocatesTwice(t *testing.T) {
	h, secret := benchHandler(t)
	next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		if r.Header.Get("X-Auth-Endpoint") != "users" {
			t.Error("the request went on without an identity")
		}
		return nil
	})
	empty := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	w := discard{http.Header{}}
	// Allocations are counted for the whole process, in which the engine's
	// workers are just starting: the least of several counts is ours.
	least := func(serve func(*http.Request) error) float64 {
		count := func() float64 {
			return testing.AllocsPerRun(100, func() {
				if err := serve(caddyRequest(secret)); err != nil {
					t.Fatal(err)
				}
			})
		}
		n := count()
		for range 20 {
			n = min(n, count())
		}
		return n
	}
	bare := least(func(r *http.Request) error { return empty.ServeHTTP(w, r) })
	with := least(func(r *http.Request) error { return h.ServeHTTP(w, r, next) })
	if added := with - bare; added > 2 {
		t.Errorf("the handler adds %v allocations to %v, want at most 2", added, bare)
	}
}
