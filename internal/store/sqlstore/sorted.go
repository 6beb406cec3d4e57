package sqlstore

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// order is an order of keys other than newest first: by value, and among keys
// of one value by number. An index has them so.
type order struct {
	value, index string
	text         bool // what the value is; else a number
}

// orderOf returns the order, and whether it is the other way round.
func (s *Store) orderOf(sort keys.Sort) (o order, falls bool, err error) {
	by, falls := sort.By()
	switch by {
	case keys.SortName:
		o = order{index: "keys_by_name", text: true}
	case keys.SortOwner:
		o = order{index: "keys_owner", text: true}
	case keys.SortExpiry: // those that never end come last
		o = order{index: "keys_by_expiry"}
	case keys.SortLastUse: // to the day: an exact index would be written with every use
		o = order{index: "keys_unused"}
	case keys.SortCreation:
		return order{value: `k.n`}, falls, nil
	default:
		return order{}, false, fmt.Errorf("keys can't be sorted by %q", sort)
	}
	o.value = s.engine.Orders[o.index]
	return o, falls, nil
}

// listSorted is List for another order.
func (s *Store) listSorted(ctx context.Context, q keys.Query) (page []*keys.Key, next string, err error) {
	after, err := parseSorted(q)
	if err != nil {
		return nil, "", err
	}
	limit := pageSize(q.Limit)
	o, falls, err := s.orderOf(q.Sort)
	if err != nil {
		return nil, "", err
	}
	among, err := s.amongFew(ctx, q)
	if err != nil {
		return nil, "", err
	}
	var end *place
	if among.filtered && among.few == nil {
		if end, err = s.windowEnd(ctx, o, falls, after); err != nil {
			return nil, "", fmt.Errorf("listing keys in order: %w", err)
		}
	}
	text, args, err := s.sortedSQL(q, among, after, end, limit)
	if err != nil {
		return nil, "", err
	}
	page, last, more, err := s.readSorted(ctx, text, args, limit)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("listing keys in order: %w", err)
	case more:
		return page, last.cursor(q.Sort), nil
	case end != nil: // the page ends early
		return page, end.cursor(q.Sort), nil
	}
	return page, "", nil
}

// windowEnd returns the place of the last key that a page looks at, nil if
// there are not so many: of a filter that very many keys pass, but none near
// the page, all would be read.
func (s *Store) windowEnd(ctx context.Context, o order, falls bool, after *place) (*place, error) {
	var st statement
	beyond, direction, tie := o.comparing(falls)
	where := ``
	if after != nil {
		condition, err := s.beyond(o, beyond, after, &st)
		if err != nil {
			return nil, err
		}
		where = ` WHERE ` + condition
	}
	var end place
	err := s.engine.Read.QueryRowContext(ctx, `SELECT CAST(`+o.value+` AS TEXT), k.n FROM keys k `+s.usingOrder(o)+where+
		` ORDER BY `+o.value+direction+tie+` LIMIT 1 OFFSET `+st.arg(s.walked-1), st.args...).Scan(&end.value, &end.n)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &end, err
}

// comparing returns what is beyond a place in an order, the direction, and
// the order of keys of one value.
func (o order) comparing(falls bool) (beyond, direction, tie string) {
	beyond = ` > `
	if falls {
		beyond, direction = ` < `, ` DESC`
	}
	if o.index != "" {
		tie = `, k.n` + direction
	}
	return beyond, direction, tie
}

func (s *Store) usingOrder(o order) string {
	if o.index == "" {
		return ``
	}
	return s.engine.Using(o.index)
}

// readSorted reads a page; more says that there is one more row.
func (s *Store) readSorted(ctx context.Context, text string, args []any, limit int) (page []*keys.Key, last place, more bool, err error) {
	rows, err := s.engine.Read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, last, false, err
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		if len(page) == limit {
			return page, last, true, nil
		}
		at := place{}
		r, err := scanKey(withPlace{rows, &at})
		if err != nil {
			return nil, last, false, err
		}
		at.n = r.n
		page, last = append(page, r.key), at
	}
	return page, last, false, nil
}

// withPlace scans rows that have the order's value behind the columns of a key.
type withPlace struct {
	*sql.Rows
	at *place
}

func (w withPlace) Scan(dest ...any) error { return w.Rows.Scan(append(dest, &w.at.value)...) }

// sortedSQL asks for a page after a place, and up to end where that is not nil.
func (s *Store) sortedSQL(q keys.Query, among among, after, end *place, limit int) (string, []any, error) {
	o, falls, err := s.orderOf(q.Sort)
	if err != nil {
		return "", nil, err
	}
	var st statement
	from, conditions := s.sortedFrom(q, o, among, &st)
	beyond, direction, tie := o.comparing(falls)
	upTo := ` <= `
	if falls {
		upTo = ` >= `
	}
	for _, bound := range []struct {
		is string
		at *place
	}{{beyond, after}, {upTo, end}} {
		if bound.at == nil {
			continue
		}
		condition, err := s.beyond(o, bound.is, bound.at, &st)
		if err != nil {
			return "", nil, err
		}
		conditions = append(conditions, condition)
	}
	where := ``
	if len(conditions) > 0 {
		where = ` WHERE ` + strings.Join(conditions, ` AND `)
	}
	pageTie := strings.ReplaceAll(tie, "k.n", "page.n")
	return `SELECT ` + keyColumns + `, CAST(page.v AS TEXT) FROM (SELECT k.n, ` + o.value + ` AS v FROM ` + from + where + `
			ORDER BY ` + o.value + direction + tie + ` LIMIT ` + st.arg(limit+1) + `) page
		JOIN keys k ON k.n = page.n ` + previousSecret(st.arg(milli(q.Now))) + ` ORDER BY page.v` + direction + pageTie, st.args, nil
}

// beyond says of keys that they come after the place where a page ended.
func (s *Store) beyond(o order, is string, after *place, st *statement) (string, error) {
	if o.index == "" {
		return o.value + is + st.arg(after.n), nil
	}
	at, err := after.argument(o, s.engine.Text)
	if err != nil {
		return "", err
	}
	return `(` + o.value + `, k.n)` + is + `(` + st.arg(at) + `, ` + st.arg(after.n) + `)`, nil
}

// among is which keys of an order are meant.
type among struct {
	filters  []*filter
	few      []int64 // the only ones that may pass; nil: they are many
	filtered bool
}

// amongFew finds out whether few keys may pass the filters of q.
func (s *Store) amongFew(ctx context.Context, q keys.Query) (a among, err error) {
	if a.filters, err = s.filters(q); err != nil {
		return a, err
	}
	a.few, err = s.few(ctx, a.filters)
	a.filtered = len(a.filters) > 0 || !q.UnusedSince.IsZero()
	return a, err
}

// sortedFrom returns where the keys come from, and what must hold for them:
// the few that may pass the filters are sorted by themselves; are they many,
// the order's index is read until enough of them were met.
func (s *Store) sortedFrom(q keys.Query, o order, a among, st *statement) (from string, conditions []string) {
	from = `keys k`
	if a.few != nil {
		conditions = append(conditions, st.among(&s.engine, "k.n", a.few))
	} else {
		from += ` ` + s.usingOrder(o)
	}
	for _, f := range a.filters {
		conditions = append(conditions, f.condition(st))
	}
	if !q.UnusedSince.IsZero() {
		conditions = append(conditions, `k.used_day < `+st.arg(milli(keys.Day.Floor(q.UnusedSince))/keys.Day.Duration().Milliseconds()))
	}
	return from, conditions
}

// place is where a page ended: a key's value in the order, and its number.
type place struct {
	value string
	n     int64
}

func (p *place) argument(o order, text func(string) any) (any, error) {
	if o.text {
		return text(p.value), nil
	}
	var n int64
	if _, err := fmt.Sscan(p.value, &n); err != nil {
		return nil, keys.ErrBadCursor
	}
	return n, nil
}

// A cursor of a sorted list is its letter, the order, the number of the page's
// last row, its value and a checksum.
func (p *place) cursor(sort keys.Sort) string {
	b := append([]byte{sortedList}, sort...)
	b = append(b, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(p.n)) //nolint:gosec // row numbers are positive
	b = append(b, p.value...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseSorted returns where the page begins, nil for the first.
func parseSorted(q keys.Query) (*place, error) {
	if q.Cursor == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
	head := string(sortedList) + string(q.Sort) + "\x00"
	if err != nil || strings.ContainsAny(q.Cursor, "\r\n") || len(b) < len(head)+8+crc32.Size || string(b[:len(head)]) != head {
		return nil, keys.ErrBadCursor
	}
	body, sum := b[:len(b)-crc32.Size], b[len(b)-crc32.Size:]
	n := binary.BigEndian.Uint64(body[len(head):])
	if binary.BigEndian.Uint32(sum) != crc32.ChecksumIEEE(body) || n > math.MaxInt64 {
		return nil, keys.ErrBadCursor
	}
	return &place{value: string(body[len(head)+8:]), n: int64(n)}, nil
}
