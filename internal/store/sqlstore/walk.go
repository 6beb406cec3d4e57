package sqlstore

import (
	"context"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// A list with several filters, or one of text, takes candidates from whatever
// knows some of it, newest first, and looks at their rows. To look at one
// takes some microseconds, so a page looks at most at mostLooked of them; if
// it has not found enough by then, it ends early, and says where to go on.
// That comes only of filters that are each met by very many keys, and together
// by hardly any, in turn.
const (
	firstLooked = 256
	mostLooked  = 4000
)

// source gives the numbers of keys below before, highest first, most of them.
type source interface {
	below(ctx context.Context, before int64, most int) ([]int64, error)
}

// armed is the source that a filter has in an index of the database.
type armed struct {
	store  *Store
	filter *filter
}

func (a armed) below(ctx context.Context, before int64, most int) (numbers []int64, err error) {
	var st statement
	return readNumbers(ctx, a.store.engine.Read, a.store.newestSQL(&st, a.filter, before, most), st.args...)
}

func readNumbers(ctx context.Context, in querier, text string, args ...any) (numbers []int64, err error) {
	rows, err := in.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// search finds the page below before. more is the number where it goes on, or
// 0 if that was all.
func (s *Store) search(ctx context.Context, q keys.Query, filters []*filter, before int64) (page []row, more int64, err error) {
	sources, err := s.sources(ctx, filters, before)
	if err != nil {
		return nil, 0, err
	}
	limit := pageSize(q.Limit)
	some := max(firstLooked, limit+1)
	for looked := 0; looked < mostLooked; some *= 2 {
		numbers, last, err := furthest(ctx, sources, before, min(some, mostLooked-looked))
		if err != nil {
			return nil, 0, err
		}
		found, err := s.meant(ctx, q, filters, numbers, limit+1-len(page))
		if err != nil {
			return nil, 0, err
		}
		if page = append(page, found...); len(page) > limit {
			return page[:limit], page[limit-1].n, nil
		}
		if last {
			return page, 0, nil
		}
		looked += len(numbers)
		before = numbers[len(numbers)-1]
	}
	return page, before, nil
}

// furthest asks each source, and returns the numbers of the one that gets
// furthest with as many of them as it may give: beside them nothing is left
// above the last. last says that nothing is left below either, as one source
// has fewer.
func furthest(ctx context.Context, sources []source, before int64, most int) (best []int64, last bool, err error) {
	for _, from := range sources {
		numbers, err := from.below(ctx, before, most)
		if err != nil || len(numbers) < most {
			return numbers, true, err
		}
		if best == nil || numbers[most-1] < best[most-1] {
			best = numbers
		}
	}
	return best, false, nil
}

// sources returns where the keys can come from.
func (s *Store) sources(ctx context.Context, filters []*filter, before int64) ([]source, error) {
	var all []wanted
	known := 0
	for _, f := range filters {
		if f.wanted != nil {
			known++
			all = append(all, f.wanted...)
		}
	}
	var sources []source
	indexed := known > 1 || known == 1 && filters[0].wanted != nil && filters[0].arms == nil
	if indexed {
		rest, err := s.restOf(ctx, filters, before)
		if err != nil {
			return nil, err
		}
		found, err := s.inIndex(ctx, all, rest)
		if err != nil {
			return nil, err
		}
		sources = append(sources, found)
	}
	for _, f := range filters {
		if f.arms != nil && (f.wanted == nil || !indexed) {
			sources = append(sources, armed{s, f})
		}
	}
	if len(sources) == 0 {
		sources = append(sources, armed{s, everyKey})
	}
	return sources, nil
}

// conditions returns all that is asked of keys k.
func conditions(st *statement, filters []*filter) string {
	all := make([]string, len(filters))
	for i, f := range filters {
		all[i] = f.condition(st)
	}
	return strings.Join(all, ` AND `)
}

// restOf returns the numbers of the keys that no part of the index knows and
// that are meant, falling.
func (s *Store) restOf(ctx context.Context, filters []*filter, before int64) ([]int64, error) {
	text, st := s.restSQL(filters, before)
	return readNumbers(ctx, s.engine.Read, text, st.args...)
}

func (s *Store) restSQL(filters []*filter, before int64) (string, *statement) {
	var st statement
	return `SELECT k.n FROM text_rest r CROSS JOIN keys k WHERE k.n = r.n AND k.n < ` + st.arg(before) + ` AND ` +
		conditions(&st, filters) + ` ORDER BY 1 DESC`, &st
}

// meant returns the newest of the numbered keys that pass all filters.
func (s *Store) meant(ctx context.Context, q keys.Query, filters []*filter, numbers []int64, most int) ([]row, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	text, args := s.meantSQL(q, filters, numbers, most)
	return s.readKeys(ctx, text, args)
}

func (s *Store) meantSQL(q keys.Query, filters []*filter, numbers []int64, most int) (string, []any) {
	var st statement
	return `SELECT ` + keyColumns + ` FROM keys k ` + previousSecret(st.arg(milli(q.Now))) + ` WHERE ` +
		st.among(&s.engine, "k.n", numbers) + ` AND ` + conditions(&st, filters) + ` ORDER BY k.n DESC LIMIT ` + st.arg(most), st.args
}
