package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Many secrets are looked up one by one, however many there are in the file.
func TestManySecretsAreFoundByTheirIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	openTest(t, path, keys.Options{})
	rows, err := openRaw(t, path).QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+findManySQL, `["00"]`)
	if err != nil {
		t.Fatal(err)
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
	for _, step := range []string{"SEARCH s USING", "(digest=?)", "SEARCH k USING INTEGER PRIMARY KEY (rowid=?)"} {
		if !strings.Contains(plan.String(), step) {
			t.Errorf("want %q:\n%s", step, plan.String())
		}
	}
}
