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

// A page must cost the same with a thousand keys and with a million: its keys
// come from an index in order. What is sorted is at most the keys whose
// standing is not up to date, and the page.
func TestListsTakeTheirKeysInOrder(t *testing.T) {
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
	owner := "o"
	for name, c := range map[string]struct {
		q     keys.Query
		sorts int
	}{
		"no filter": {keys.Query{}, 0},
		"owner":     {keys.Query{Owner: &owner}, 0},
		"api":       {keys.Query{API: "a"}, 0},
		"disabled":  {keys.Query{Status: keys.Disabled}, 0},
		"active":    {keys.Query{Status: keys.Active}, 1},
		"expired":   {keys.Query{Status: keys.Expired}, 1},
	} {
		c.q.Now = time.Now()
		text, args, err := s.ListSQL(c.q)
		if err != nil {
			t.Fatal(err)
		}
		plan := explain(t, db, text, args)
		if got := strings.Count(plan, "TEMP B-TREE"); got > c.sorts+1 { // and the page
			t.Errorf("%s: %d sorts, want %d:\n%s", name, got, c.sorts+1, plan)
		}
	}
}

func explain(t *testing.T, db *sql.DB, text string, args []any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+text, args...)
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	defer rows.Close() //nolint:errcheck // rows.Err says what matters
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(detail + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
