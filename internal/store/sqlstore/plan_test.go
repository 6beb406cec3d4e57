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
	s, db := openPlanned(t)
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

// A search reads the rows of the index that it asks for, and the keys that it
// is told of, and scans nothing but the list of parts and the rest.
func TestSearchesReadWhatTheyAskForAlone(t *testing.T) {
	s, db := openPlanned(t)
	owner := "o"
	const byNumber, byOwnerToo = "PRIMARY KEY (rowid=?)", "keys_owner (owner=? AND n=?)"
	for name, c := range map[string]struct {
		q  keys.Query
		by string
	}{
		"text":          {keys.Query{Text: "some text"}, byNumber},
		"text, active":  {keys.Query{Text: "some text", Status: keys.Active}, byNumber},
		"text, expired": {keys.Query{Text: "some text", Status: keys.Expired}, byNumber},
		"text, api":     {keys.Query{Text: "some text", API: "a"}, byNumber},
		"owner, text":   {keys.Query{Owner: &owner, Text: "some text"}, byOwnerToo},
		"all":           {keys.Query{Owner: &owner, API: "a", Status: keys.Expired, Text: "some text"}, byOwnerToo},
	} {
		q, by := c.q, c.by
		q.Now = time.Now()
		parts, rest, meant, args, err := s.SearchSQL(q)
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string][]string{
			explain(t, db, parts, args[0]): {"SCAN p", "SEARCH t USING PRIMARY KEY (part=? AND bucket=?)"},
			explain(t, db, rest, args[1]):  {"SEARCH r USING INTEGER PRIMARY KEY (rowid<?)", "SEARCH k USING INTEGER PRIMARY KEY (rowid=?)"},
			explain(t, db, meant, args[2]): {"SEARCH k USING", by},
		} {
			for _, step := range want {
				if !strings.Contains(text, step) {
					t.Errorf("%s: want %q:\n%s", name, step, text)
				}
			}
			if strings.Contains(text, "SCAN k") || strings.Contains(text, "SCAN t") {
				t.Errorf("%s: a table is scanned:\n%s", name, text)
			}
		}
	}
}

func openPlanned(t *testing.T) (*sqlite.Store, *sql.DB) {
	t.Helper()
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
	return s, db
}

func explain(t *testing.T, db *sql.DB, text string, args []any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+text, args...)
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	defer rows.Close() // rows.Err says what matters
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
