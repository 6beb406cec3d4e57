package sqlstore

import (
	"context"
	"database/sql"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// ListSQL shows tests the query of a page.
func (s *Store) ListSQL(ctx context.Context, q keys.Query) (string, []any, error) {
	return s.listSQL(ctx, q, 1000, 50)
}

// Insert inserts rows, as Engine says.
type Insert = func(ctx context.Context, tx *sql.Tx, rows Rows) (int64, error)

// ReplaceInsert lets tests break what is inserted.
func (s *Store) ReplaceInsert(replace func(Insert) Insert) {
	s.engine.Insert = replace(s.engine.Insert)
}
