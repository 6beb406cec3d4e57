package sqlstore_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// Each order has an index that is read from where the page before ended: what
// is sorted is the page alone.
func TestSortedListsTakeTheirKeysInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s, err := sqlite.Open(t.Context(), path, keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // nothing was written
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // nothing was written
	for _, sort := range keys.Sorts() {
		for _, first := range []bool{true, false} {
			text, args, err := s.SortedSQL(t.Context(), keys.Query{Sort: sort, Now: time.Now()}, first)
			if err != nil {
				t.Fatal(err)
			}
			plan := explain(t, db, text, args)
			inner := plan
			if at := strings.Index(plan, "SCAN page"); at >= 0 {
				inner = plan[:at]
			}
			if strings.Contains(inner, "TEMP B-TREE") || !first && !strings.Contains(inner, "SEARCH k USING") {
				t.Errorf("by %s, first page %t:\n%s", sort, first, plan)
			}
		}
	}
}
