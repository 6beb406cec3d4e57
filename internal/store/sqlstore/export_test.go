package sqlstore

import (
	"context"
	"database/sql"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// ListSQL shows tests the query of a page that needs no search.
func (s *Store) ListSQL(q keys.Query) (string, []any, error) {
	filters, err := s.filters(q)
	if err != nil {
		return "", nil, err
	}
	text, args := s.pageSQL(q, direct(filters), 1000, 50)
	return text, args, nil
}

// Insert inserts rows, as Engine says.
type Insert = func(ctx context.Context, tx *sql.Tx, rows Rows) (int64, error)

// ReplaceInsert lets tests break what is inserted.
func (s *Store) ReplaceInsert(replace func(Insert) Insert) {
	s.engine.Insert = replace(s.engine.Insert)
}
