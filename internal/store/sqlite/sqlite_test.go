package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/storetest"
)

func TestSQLiteIsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		path := filepath.Join(t.TempDir(), "keys.db")
		return func(t testing.TB, o keys.Options) keys.Store {
			t.Helper()
			s, err := Open(t.Context(), path, o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}
