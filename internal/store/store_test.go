package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

func TestOpenOpensWhatTheConfigurationNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "keys.db")
	s, err := Open(t.Context(), Place{Kind: SQLite, Address: path}, keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Ping(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
}

func TestOpenFailsWithoutAStore(t *testing.T) {
	for kind, want := range map[string]string{"mysql": "expected one of", "": "expected one of", "SQLite": "expected one of", SQLite: "opening sqlite store", Postgres: "opening postgres store"} {
		s, err := Open(t.Context(), Place{Kind: kind}, keys.Options{})
		if err == nil || s != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: store %v, error %v, want %q", kind, s, err, want)
		}
	}
}

func TestOpenOpensPostgres(t *testing.T) {
	s, err := Open(t.Context(), Place{Kind: Postgres, Address: pgtest.Database(t)}, keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Ping(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestCheckRefusesWhatNoServerNeedsToSay(t *testing.T) {
	for p, fine := range map[Place]bool{
		{SQLite, "", ""}: true, {Postgres, "postgres://u:p@h/d", ""}: true, {Postgres, "host=h", "host=l"}: true,
		{Postgres, "postgres://h:port/d", ""}: false, {Postgres, "host=h", "nonsense"}: false, {"mysql", "h", ""}: false,
	} {
		if err := Check(p); (err == nil) != fine {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
