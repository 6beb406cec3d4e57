package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

var pair = []sqlstore.Column{{Name: "a", Type: sqlstore.Integer}, {Name: "b", Type: sqlstore.String}}

func TestRowsAreWrittenHoweverManyThereAre(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "keys.db"), keys.Options{})
	if _, err := s.pools.write.ExecContext(t.Context(), `CREATE TABLE pairs (a INTEGER PRIMARY KEY, b TEXT)`); err != nil {
		t.Fatal(err)
	}
	next := int64(0)
	for _, n := range []int{0, 1, together - 1, together, together + 1, 3*together + 5} {
		rows := sqlstore.NewRows("pairs", pair, n+1)
		for range n {
			rows.Add(next, fmt.Sprint(next))
			next++
		}
		if n > 0 { // and one that is there already, which is not counted
			rows.Add(next-1, "again")
		}
		tx, err := s.pools.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		written, err := insert(t.Context(), tx, rows)
		if err = errors.Join(err, tx.Commit()); err != nil || written != int64(n) {
			t.Errorf("%d of %d rows were written: %v", written, n, err)
		}
	}
	var all, right int64
	if err := s.pools.read.QueryRowContext(t.Context(), `SELECT count(*), count(CASE WHEN b = a THEN 1 END) FROM pairs`).Scan(&all, &right); err != nil {
		t.Fatal(err)
	}
	if all != next || right != next {
		t.Errorf("%d rows are there, %d of them right; want %d", all, right, next)
	}
}

func TestWritingRowsEndsWithItsContext(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "keys.db"), keys.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := s.pools.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // nothing is to be kept
	cancel()
	rows := sqlstore.NewRows("pairs", pair, 1)
	rows.Add(int64(1), "1")
	if _, err := insert(ctx, tx, rows); !errors.Is(err, context.Canceled) {
		t.Errorf("rows: the fault is %v", err)
	}
	if err := use(ctx, tx, []string{"key_1"}, []int64{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("uses: the fault is %v", err)
	}
}
