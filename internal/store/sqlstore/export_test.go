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

// SearchSQL shows tests the queries of a page that needs a search.
func (s *Store) SearchSQL(q keys.Query) (parts, rest, meant string, args [3][]any, err error) {
	filters, err := s.filters(q)
	if err != nil {
		return "", "", "", args, err
	}
	parts, args[0] = s.partsSQL(everyPart, filters[0].wanted)
	rest, st := s.restSQL(filters, 1000)
	args[1] = st.args
	meant, args[2] = s.meantSQL(q, filters, []int64{1, 2, 3}, 50)
	return parts, rest, meant, args, nil
}

// Insert inserts rows, as Engine says.
type Insert = func(ctx context.Context, tx *sql.Tx, rows Rows) (int64, error)

// ReplaceInsert lets tests break what is inserted.
func (s *Store) ReplaceInsert(replace func(Insert) Insert) {
	s.engine.Insert = replace(s.engine.Insert)
}

// SortedSQL shows tests the query of a page in another order.
func (s *Store) SortedSQL(ctx context.Context, q keys.Query, first bool) (string, []any, error) {
	var after *place
	if !first {
		after = &place{value: "7", n: 7}
	}
	a, err := s.amongFew(ctx, q)
	if err != nil {
		return "", nil, err
	}
	return s.sortedSQL(q, a, after, nil, 50)
}

// WalkAtMost bounds how many keys of an order a page looks at.
func (s *Store) WalkAtMost(n int) { s.walked = n }
