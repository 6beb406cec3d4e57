package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestOpenOpensWhatTheConfigurationNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "keys.db")
	s, err := Open(t.Context(), SQLite, path, keys.Options{})
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
	for kind, want := range map[string]string{"mysql": "expected one of", "": "expected one of", "SQLite": "expected one of", SQLite: "opening sqlite store"} {
		s, err := Open(t.Context(), kind, "", keys.Options{})
		if err == nil || s != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: store %v, error %v, want %q", kind, s, err, want)
		}
	}
}
