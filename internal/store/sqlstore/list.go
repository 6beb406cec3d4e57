package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// List implements keys.Store.
func (s *Store) List(ctx context.Context, q keys.Query) (page []*keys.Key, next string, err error) {
	if !q.UnusedSince.IsZero() {
		return s.listUnused(ctx, q)
	}
	before, err := parseCursor(keyList, q.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := pageSize(q.Limit)
	text, args, err := s.listSQL(ctx, q, before, limit)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.engine.Read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, "", fmt.Errorf("listing keys: %w", err)
	}
	defer closeRows(rows, &err)
	var last int64
	for rows.Next() {
		if len(page) == limit {
			return page, cursor(keyList, last), nil
		}
		r, err := scanKey(rows)
		if err != nil {
			return nil, "", fmt.Errorf("listing keys: %w", err)
		}
		page, last = append(page, r.key), r.n
	}
	return page, "", nil
}

// statement is a query that is being put together.
type statement struct{ args []any }

// arg adds an argument and returns the parameter that stands for it.
func (s *statement) arg(value any) string {
	s.args = append(s.args, value)
	return fmt.Sprintf("$%d", len(s.args))
}

// listSQL asks for one key more than the page has, which tells whether there
// is a next page. The numbers of the page's keys are found first, from
// indexes alone where possible; then their rows.
func (s *Store) listSQL(ctx context.Context, q keys.Query, before int64, limit int) (string, []any, error) {
	filters, err := s.filters(q)
	if err != nil {
		return "", nil, err
	}
	source, err := s.source(ctx, filters, before)
	if err != nil {
		return "", nil, err
	}
	var st statement
	arms := source.arms(&st, st.arg(before))
	for _, f := range filters {
		if f == source && !f.inexact {
			continue
		}
		condition := f.condition(&st)
		for i := range arms {
			arms[i] += ` AND ` + condition
		}
	}
	most := st.arg(limit + 1)
	if len(arms) > 1 {
		for i := range arms {
			arms[i] = s.engine.Arm(arms[i], most)
		}
	}
	return `SELECT ` + keyColumns + ` FROM (` + strings.Join(arms, ` UNION ALL `) + ` ORDER BY 1 DESC LIMIT ` + most + `) page
		JOIN keys k ON k.n = page.n ` + previousSecret(st.arg(milli(q.Now))) + ` ORDER BY k.n DESC`, st.args, nil
}

// fewKeys is how many keys can be looked through in a few milliseconds.
const fewKeys = 2000

// source chooses where the keys come from that the other filters are then
// asked about: one that has few keys, if there is one, else the first that
// has an index. With one filter, a page costs the same whatever the number of
// keys; with several that are each met by many keys and together by few, it
// does not.
func (s *Store) source(ctx context.Context, filters []*filter, before int64) (*filter, error) {
	var first *filter
	for _, f := range filters {
		if f.arms == nil {
			continue
		}
		if first == nil {
			first = f
		}
		if len(filters) == 1 || f.inexact {
			continue
		}
		few, err := s.isFew(ctx, f, before)
		if err != nil {
			return nil, err
		}
		if few {
			return f, nil
		}
	}
	if first == nil {
		return everyKey, nil
	}
	return first, nil
}

func (s *Store) isFew(ctx context.Context, f *filter, before int64) (bool, error) {
	var st statement
	arms := f.arms(&st, st.arg(before))
	text := `SELECT count(*) FROM (` + strings.Join(arms, ` UNION ALL `) + ` LIMIT ` + st.arg(fewKeys+1) + `) found`
	var n int
	if err := s.engine.Read.QueryRowContext(ctx, text, st.args...).Scan(&n); err != nil {
		return false, fmt.Errorf("estimating a list of keys: %w", err)
	}
	return n <= fewKeys, nil
}
