package e2e

import (
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// onPostgres is the tests' configuration, with a Postgres store.
func onPostgres(address string) string {
	return strings.Replace(caddyfile, "store sqlite ./data/keys.db", `store postgres "`+address+`"`, 1)
}

// onEachStore runs a test with a gateway on each kind of store.
func onEachStore(t *testing.T, test func(t *testing.T, start func(t *testing.T) (*Gateway, *Upstream))) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, start) })
	t.Run("postgres", func(t *testing.T) {
		test(t, func(t *testing.T) (*Gateway, *Upstream) {
			t.Helper()
			upstream := NewUpstream(t)
			return Start(t, Options{Config: onPostgres(pgtest.Database(t)), Upstream: upstream.Address}), upstream
		})
	})
}
