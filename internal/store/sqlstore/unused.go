package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// A cursor of the list of unused keys holds the day of the page's last key
// above its number.
const dayShift = 40

// listUnused lists keys that were not used for a while, in the order of the
// day of their last use: an index has them so, and a page costs the same
// whatever the number of keys. In the order of their numbers it would not.
func (s *Store) listUnused(ctx context.Context, q keys.Query) (page []*keys.Key, next string, err error) {
	after := int64(0)
	if q.Cursor != "" {
		if after, err = parseCursor(unusedList, q.Cursor); err != nil {
			return nil, "", err
		}
	}
	limit := pageSize(q.Limit)
	text, args, err := s.unusedSQL(ctx, q, after, limit)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.engine.Read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, "", fmt.Errorf("listing unused keys: %w", err)
	}
	defer closeRows(rows, &err)
	var last int64
	for rows.Next() {
		if len(page) == limit {
			return page, cursor(unusedList, last), nil
		}
		var day int64
		r, err := scanKey(withDay{rows, &day})
		if err != nil {
			return nil, "", fmt.Errorf("listing unused keys: %w", err)
		}
		page, last = append(page, r.key), max(day, 0)<<dayShift|r.n
	}
	return page, "", nil
}

// withDay scans rows that have a day behind the columns of a key.
type withDay struct {
	*sql.Rows
	day *int64
}

func (w withDay) Scan(dest ...any) error { return w.Rows.Scan(append(dest, w.day)...) }

func (s *Store) unusedSQL(ctx context.Context, q keys.Query, after int64, limit int) (string, []any, error) {
	filters, err := s.filters(q)
	if err != nil {
		return "", nil, err
	}
	few, err := s.few(ctx, filters)
	if err != nil {
		return "", nil, err
	}
	var st statement
	from := `keys k ` + s.engine.Using("keys_unused")
	all := []string{
		`k.used_day < ` + st.arg(milli(keys.Day.Floor(q.UnusedSince))/keys.Day.Duration().Milliseconds()),
		`(k.used_day, k.n) > (` + st.arg(after>>dayShift) + `, ` + st.arg(after&(1<<dayShift-1)) + `)`,
	}
	if few != nil {
		from = `keys k`
		all = append(all, st.among(&s.engine, "k.n", few))
	}
	for _, f := range filters {
		all = append(all, f.condition(&st))
	}
	return `SELECT ` + keyColumns + `, page.used_day FROM (SELECT k.n, k.used_day FROM ` + from + ` WHERE ` + strings.Join(all, ` AND `) + `
			ORDER BY k.used_day, k.n LIMIT ` + st.arg(limit+1) + `) page
		JOIN keys k ON k.n = page.n ` + previousSecret(st.arg(milli(q.Now))) + ` ORDER BY page.used_day, page.n`, st.args, nil
}

// fewKeys is how many keys can be looked through in a few milliseconds.
const fewKeys = 2000

// few returns the numbers of all keys that may pass the filters, if they are
// few; else nil: then keys are better taken from the index of their order.
func (s *Store) few(ctx context.Context, filters []*filter) ([]int64, error) {
	if len(filters) == 0 {
		return nil, nil
	}
	sources, err := s.sources(ctx, filters, firstPage)
	if err != nil {
		return nil, fmt.Errorf("looking whether few keys are meant: %w", err)
	}
	numbers, all, err := furthest(ctx, sources, firstPage, fewKeys)
	switch {
	case err != nil:
		return nil, fmt.Errorf("looking whether few keys are meant: %w", err)
	case !all:
		return nil, nil
	case numbers == nil:
		numbers = []int64{} // none, which are few
	}
	return numbers, nil
}
