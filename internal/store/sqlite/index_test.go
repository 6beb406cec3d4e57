package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// The keys of a database from before the index that there is now are put into
// it when the database is opened.
func TestKeysOfAnOlderDatabaseAreFoundByTheirText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openTest(t, path, keys.Options{})
	ks := make([]keys.New, 5000)
	for i := range ks {
		ks[i] = testKey(fmt.Sprintf("service-%04d", i))
	}
	create(t, s, ks...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	migrateDownTo(t, path, 3)
	s = openTest(t, path, keys.Options{})
	for _, i := range []int{0, 2047, 2048, 4999} {
		page, _, err := s.List(t.Context(), keys.Query{Now: time.Now(), Text: ks[i].Key.Name})
		if err != nil || len(page) != 1 || page[0].ID != ks[i].Key.ID {
			t.Errorf("%s: %d keys are found, %v", ks[i].Key.Name, len(page), err)
		}
	}
	var parts, rest int64
	if err := openRaw(t, path).QueryRowContext(t.Context(), `SELECT (SELECT sum(size) FROM text_parts), (SELECT count(*) FROM text_rest)`).Scan(&parts, &rest); err != nil {
		t.Fatal(err)
	}
	if parts+rest != 5000 || rest > 2048 {
		t.Errorf("%d keys are in the index, and %d wait for it", parts, rest)
	}
}
