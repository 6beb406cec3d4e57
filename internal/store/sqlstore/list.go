package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// List implements keys.Store. With no filter or one that an index of the
// database knows, the keys come from that index in order; else they are
// searched for.
func (s *Store) List(ctx context.Context, q keys.Query) (page []*keys.Key, next string, err error) {
	if q.Sort != "" {
		return s.listSorted(ctx, q)
	}
	if !q.UnusedSince.IsZero() {
		return s.listUnused(ctx, q)
	}
	before, err := parseCursor(keyList, q.Cursor)
	if err != nil {
		return nil, "", err
	}
	filters, err := s.filters(q)
	if err != nil {
		return nil, "", err
	}
	var found []row
	var more int64
	source := direct(filters)
	if source == nil {
		found, more, err = s.search(ctx, q, filters, before)
	} else {
		found, more, err = s.pageOf(ctx, q, source, before)
	}
	if err != nil {
		return nil, "", fmt.Errorf("listing keys: %w", err)
	}
	for _, r := range found {
		page = append(page, r.key)
	}
	if more != 0 {
		next = cursor(keyList, more)
	}
	return page, next, nil
}

// direct returns the one place where the page's keys come from in order.
func direct(filters []*filter) *filter {
	switch {
	case len(filters) == 0:
		return everyKey
	case len(filters) == 1 && filters[0].arms != nil:
		return filters[0]
	}
	return nil
}

func (s *Store) pageOf(ctx context.Context, q keys.Query, source *filter, before int64) (page []row, more int64, err error) {
	limit := pageSize(q.Limit)
	text, args := s.pageSQL(q, source, before, limit+1)
	page, err = s.readKeys(ctx, text, args)
	if err == nil && len(page) > limit {
		page, more = page[:limit], page[limit-1].n
	}
	return page, more, err
}

func (s *Store) readKeys(ctx context.Context, text string, args []any) (found []row, err error) {
	rows, err := s.engine.Read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		r, err := scanKey(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, nil
}

// statement is a query that is being put together.
type statement struct{ args []any }

// arg adds an argument and returns the parameter that stands for it.
func (s *statement) arg(value any) string {
	s.args = append(s.args, value)
	return fmt.Sprintf("$%d", len(s.args))
}

// among is a condition: column holds one of a list.
func (s *statement) among(e *Engine, column string, list any) string {
	parameter := s.arg(nil)
	condition, value := e.Among(column, parameter, list)
	s.args[len(s.args)-1] = value
	return condition
}

// pageSQL asks for the newest keys of a source. Their numbers are found first,
// from indexes alone; then their rows.
func (s *Store) pageSQL(q keys.Query, source *filter, before int64, most int) (string, []any) {
	var st statement
	numbers := s.newestSQL(&st, source, before, most)
	return `SELECT ` + keyColumns + ` FROM (` + numbers + `) page
		JOIN keys k ON k.n = page.n ` + previousSecret(st.arg(milli(q.Now))) + ` ORDER BY k.n DESC`, st.args
}

// newestSQL selects the highest numbers of a source, in falling order.
func (s *Store) newestSQL(st *statement, source *filter, before int64, most int) string {
	arms := source.arms(st, st.arg(before))
	limit := st.arg(most)
	if len(arms) > 1 {
		for i := range arms {
			arms[i] = s.engine.Arm(arms[i], limit)
		}
	}
	return strings.Join(arms, ` UNION ALL `) + ` ORDER BY 1 DESC LIMIT ` + limit
}
