package consoletest

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/admin/console"
	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/route"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// clocked is the console with a clock that a test moves on: no test waits for
// half an hour. It is the same handlers on the same store as in the binary,
// without Caddy around them.
type clocked struct {
	url, secret string
	now         atomic.Int64 // in seconds
}

func startClocked(t *testing.T) *clocked {
	t.Helper()
	t.Parallel()
	c := &clocked{secret: "the-configured-admin-key"}
	c.now.Store(time.Now().Unix())
	now := func() time.Time { return time.Unix(c.now.Load(), 0) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	store, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "keys.db"), keys.Options{})
	must(err)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	lookup, err := gate.NewLookup(store, gate.LookupOptions{MaxKeys: 1000, TTL: time.Minute, UnknownTTL: time.Second, StaleIfError: time.Minute, UnknownRate: 1e6})
	must(err)
	t.Cleanup(lookup.Close)
	table, err := route.Compile(route.Config{})
	must(err)
	judge := gate.NewAuthenticator(gate.DefaultCredentials(), keys.DefaultPrefix, lookup)
	catalog := gate.NewCatalog(gate.New(gate.Options{Authenticator: judge, Table: table}))
	sessions := admin.NewSessions()
	digest := keys.Digest(sha256.Sum256([]byte(c.secret)))
	api, err := admin.New(admin.Options{
		Store: store, Authenticator: judge, Catalog: func() *gate.Catalog { return catalog },
		ConfigAdmin: &digest, Now: now, Sessions: sessions,
	})
	must(err)
	handler, err := console.New(console.Options{API: api, Sessions: sessions, Now: now, ClientIP: func(*http.Request) string { return "203.0.113.7" }})
	must(err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *clocked) pass(d time.Duration) { c.now.Add(int64(d / time.Second)) }

func TestSessionEndsAfterHalfAnHourWithoutUse(t *testing.T) {
	c := startClocked(t)
	b := as(t, c.url, c.secret)
	c.pass(30*time.Minute - time.Second)
	b.visit("/audit")
	b.has("#audit")
	c.pass(30 * time.Minute)
	b.reload()
	b.sees("Your session has ended")
	b.sees("idle for 30 minutes")
	b.signInTo(c.secret, "#audit") // where they were
	c.pass(30 * time.Minute)
	b.enter("[name=key]", "x") // a script's request ends it likewise
	b.has(".door")
	b.sees("Your session has ended")
}

func TestSessionEndsAfterTwelveHoursHoweverBusy(t *testing.T) {
	c := startClocked(t)
	b := as(t, c.url, c.secret)
	for range 12*3 - 1 {
		c.pass(20 * time.Minute)
		got := b.evaluate(`fetch("./").then(r => r.redirected)`)
		if got != false {
			t.Fatalf("the session ended early: %v", got)
		}
	}
	b.visit("/")
	b.has("#keys")
	c.pass(20 * time.Minute)
	b.visit("/")
	b.sees("open for 12 hours")
}

func TestThrottleOfWrongKeysEnds(t *testing.T) {
	c := startClocked(t)
	b := open(t, c.url)
	for range 6 {
		b.enter("#key", "wrong")
		b.click(".door button.primary")
		b.until("document.querySelector('#key')?.value === ''")
	}
	b.sees("Try again in 10 seconds")
	b.enter("#key", c.secret)
	b.click(".door button.primary") // the right key, too: else guessing would go on
	b.until("document.querySelector('#key')?.value === ''")
	b.sees("Try again in 10 seconds")
	c.pass(10 * time.Second)
	b.signIn(c.secret)
}
