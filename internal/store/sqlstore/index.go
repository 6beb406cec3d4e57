package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// restLimit is how many keys are looked at one by one because no part knows
// them, or not as they are now: that takes 2 to 4 ms. When there are more, a
// part is made of them.
const restLimit = 2048

// Parts with fewer keys than smallPart come of changes of single keys; when
// there are mergedAtOnce of them they become one.
const (
	smallPart    = 2 * restLimit
	mergedAtOnce = 16
)

// index is where keys are made findable by their terms, in a transaction.
type index struct {
	tx     *sql.Tx
	engine *Engine
}

func (c *change) index() index { return index{c.Tx, &c.store.engine} }

var (
	restColumns     = []Column{{"n", Integer}}
	partColumns     = []Column{{"part", Integer}, {"size", Integer}, {"members", Bytes}}
	postingsColumns = []Column{{"part", Integer}, {"bucket", Integer}, {"postings", Bytes}}
)

// put makes new keys findable. Their numbers rise.
func (x index) put(ctx context.Context, entries []entry) error {
	if len(entries) >= restLimit {
		return x.addParts(ctx, entries)
	}
	numbers := make([]int64, len(entries))
	for i := range entries {
		numbers[i] = entries[i].n
	}
	return x.note(ctx, numbers...)
}

// note makes keys findable as their rows are now, whatever they were before.
func (x index) note(ctx context.Context, numbers ...int64) error {
	rows := NewRows("text_rest", restColumns, len(numbers))
	for _, n := range numbers {
		rows.Add(n)
	}
	if _, err := x.engine.Insert(ctx, x.tx, rows); err != nil {
		return fmt.Errorf("noting what is to be indexed: %w", err)
	}
	return x.sweep(ctx)
}

const forgetSQL = `DELETE FROM text_rest WHERE n = $1`

// forget forgets a key that is gone, as far as that is cheap.
func (x index) forget(ctx context.Context, n int64) error {
	if _, err := x.tx.ExecContext(ctx, forgetSQL, n); err != nil {
		return fmt.Errorf("forgetting the text of a key: %w", err)
	}
	return nil
}

func (x index) addParts(ctx context.Context, entries []entry) error {
	for some := range slices.Chunk(entries, maxPart) {
		if err := x.addPart(ctx, some); err != nil {
			return fmt.Errorf("indexing the text of keys: %w", err)
		}
	}
	return nil
}

const nextPartSQL = `SELECT coalesce(max(part), 0) + 1 FROM text_parts`

func (x index) addPart(ctx context.Context, entries []entry) error {
	var number int64
	if err := x.tx.QueryRowContext(ctx, nextPartSQL).Scan(&number); err != nil {
		return err
	}
	members, all := newPart(entries)
	part := NewRows("text_parts", partColumns, 1)
	part.Add(number, int64(len(entries)), members)
	if _, err := x.engine.Insert(ctx, x.tx, part); err != nil {
		return err
	}
	rows := NewRows("text_postings", postingsColumns, len(all))
	for i := range all {
		rows.Add(number, all[i].bucket, all[i].bytes)
	}
	_, err := x.engine.Insert(ctx, x.tx, rows)
	return err
}

const (
	restIsLongSQL = `SELECT count(*) FROM (SELECT 1 FROM text_rest LIMIT $1) rest`
	restSQL       = `SELECT k.n, k.search, k.permissions FROM (SELECT n FROM text_rest ORDER BY n LIMIT $1) r JOIN keys k ON k.n = r.n ORDER BY k.n`
	sweepRestSQL  = `DELETE FROM text_rest WHERE n IN (SELECT n FROM text_rest ORDER BY n LIMIT $1)`
	sweptAtOnce   = 8 * restLimit
)

// sweep makes a part of the rest if that has become long.
func (x index) sweep(ctx context.Context) error {
	long, err := restIsLong(ctx, x.tx)
	if err != nil || !long {
		return err
	}
	entries, err := x.read(ctx, restSQL, sweptAtOnce)
	if err != nil {
		return err
	}
	if err := x.addParts(ctx, entries); err != nil {
		return err
	}
	if _, err := x.tx.ExecContext(ctx, sweepRestSQL, sweptAtOnce); err != nil {
		return fmt.Errorf("forgetting what is indexed: %w", err)
	}
	return x.merge(ctx)
}

// read reads the terms of keys as they are now.
func (x index) read(ctx context.Context, query string, argument any) (entries []entry, err error) {
	rows, err := x.tx.QueryContext(ctx, query, argument)
	if err != nil {
		return nil, fmt.Errorf("reading what is to be indexed: %w", err)
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var (
			n                 int64
			text, permissions string
			k                 keys.Key
		)
		if err := rows.Scan(&n, &text, &permissions); err != nil {
			return nil, fmt.Errorf("reading what is to be indexed: %w", err)
		}
		if err := readPermissions(permissions, &k.Permissions); err != nil {
			return nil, err
		}
		entries = append(entries, termsOf(n, text, openAPIs(&k)))
	}
	return entries, nil
}

const (
	smallPartsSQL = `SELECT part, size, members FROM text_parts WHERE size < $1`
	deletePartSQL = `DELETE FROM text_parts WHERE part = $1`
	deletePostSQL = `DELETE FROM text_postings WHERE part = $1`
)

// merge makes one of the small parts if there are many. What they know of keys
// that have changed since, or are gone, is left behind.
func (x index) merge(ctx context.Context) error {
	parts, numbers, err := x.small(ctx)
	if err != nil || len(parts) < mergedAtOnce {
		return err
	}
	for _, part := range parts {
		for _, text := range []string{deletePartSQL, deletePostSQL} {
			if _, err := x.tx.ExecContext(ctx, text, part); err != nil {
				return fmt.Errorf("merging the index: %w", err)
			}
		}
	}
	for some := range slices.Chunk(numbers, maxPart) {
		var st statement
		text := `SELECT k.n, k.search, k.permissions FROM keys k WHERE ` + st.among(x.engine, "k.n", some) + ` ORDER BY k.n`
		entries, err := x.read(ctx, text, st.args[0])
		if err != nil {
			return err
		}
		if err := x.addParts(ctx, entries); err != nil {
			return err
		}
	}
	return nil
}

// small returns the small parts, and the numbers of their keys, rising.
func (x index) small(ctx context.Context) (parts, numbers []int64, err error) {
	rows, err := x.tx.QueryContext(ctx, smallPartsSQL, smallPart)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the index: %w", err)
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var (
			part, size int64
			members    []byte
		)
		if err := rows.Scan(&part, &size, &members); err != nil {
			return nil, nil, fmt.Errorf("reading the index: %w", err)
		}
		runs, err := readMembers(members, size)
		if err != nil {
			return nil, nil, err
		}
		parts = append(parts, part)
		for _, r := range runs {
			for i := range r.count {
				numbers = append(numbers, r.n+i)
			}
		}
	}
	slices.Sort(numbers)
	return parts, slices.Compact(numbers), nil
}

// IndexRest indexes keys that a migration has left to be indexed. Where there
// are none it only reads: another process may be writing.
func IndexRest(ctx context.Context, db *sql.DB, e Engine) error {
	for {
		long, err := restIsLong(ctx, db)
		if err == nil && long {
			err = indexSome(ctx, db, &e)
		}
		if err != nil {
			return fmt.Errorf("indexing the text of keys: %w", err)
		}
		if !long {
			return nil
		}
	}
}

// rowQuerier is a database or a transaction.
type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func restIsLong(ctx context.Context, from rowQuerier) (bool, error) {
	var rest int
	if err := from.QueryRowContext(ctx, restIsLongSQL, restLimit).Scan(&rest); err != nil {
		return false, fmt.Errorf("counting what is to be indexed: %w", err)
	}
	return rest >= restLimit, nil
}

func indexSome(ctx context.Context, db *sql.DB, e *Engine) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := (index{tx, e}).sweep(ctx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
