package postgres

import (
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
	"github.com/caddy-keywarden/keywarden/internal/store/storetest"
)

func TestPostgresIsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		address := pgtest.Database(t)
		return func(t testing.TB, o keys.Options) keys.Store {
			t.Helper()
			s, err := Open(t.Context(), address, Options{Options: o})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}
