package postgres

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// In the minute after an import the server has no statistics of what it holds.
func TestRightAfterAnImportIsReadWhatIsAskedForAlone(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	s := openTest(t, address, Options{})
	conn := pgtest.Connect(t, address)
	for _, table := range []string{"keys", "text_parts", "text_postings"} {
		if _, err := conn.Exec(t.Context(), `ALTER TABLE `+table+` SET (autovacuum_enabled = off)`); err != nil {
			t.Fatal(err)
		}
	}
	ks := make([]keys.New, 20_000)
	for i := range ks {
		ks[i] = testKey("a")
	}
	for some := range slices.Chunk(ks, 5000) {
		create(t, s, some...)
	}
	plan := explain(t, conn, `SELECT t.postings FROM `+postings("t.bucket = ANY($1)"), []int64{5, 700, 4000})
	if !strings.Contains(plan, "text_postings_pkey") || strings.Contains(plan, "Seq Scan on text_postings") {
		t.Errorf("all of the index of texts is read:\n%s", plan)
	}
	plan = explain(t, conn, findManySQL, make([][]byte, 100))
	if strings.Contains(plan, "Seq Scan") {
		t.Errorf("all keys are read for a hundred of them:\n%s", plan)
	}
}

func explain(t *testing.T, conn *pgx.Conn, text string, args ...any) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `EXPLAIN `+text, args...)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(steps, "\n")
}
