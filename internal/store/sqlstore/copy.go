package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// ErrNotEmpty says that there is something in a store that was to be empty.
var ErrNotEmpty = errors.New("there are keys, or traces of earlier ones, in the database already")

// Copied is a table that was copied.
type Copied struct {
	Name string // in people's words
	Rows int64
}

// Progress is told again and again how many of all rows have been copied, or,
// when all tables are, checked.
type Progress func(table string, checking bool, done, all int64)

// Copy copies everything that lasts from one store into another, which must
// be empty: keys with their ids, versions and times, the digests of all
// secrets, the audit, the registered endpoints, usage and what webhooks were told, as they are at one moment.
// What was copied is read again and compared before it is committed: the other
// store has all or nothing.
//
// The target's changes go on after those of the source: who followed either
// of them has lost its place, and forgets what it remembered.
func Copy(ctx context.Context, from, to keys.Store, progress Progress) (_ []Copied, err error) {
	source, target := from.(sharing).shared(), to.(sharing).shared()
	src, err := source.engine.Read.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("reading what is to be copied: %w", err)
	}
	defer func() { _ = src.Rollback() }() // nothing was written
	dst, err := target.engine.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("beginning to copy: %w", err)
	}
	defer func() { _ = dst.Rollback() }() // after the commit this does nothing
	for tx, e := range map[*sql.Tx]*Engine{src: &source.engine, dst: &target.engine} {
		if e.Unhurry == nil {
			continue
		}
		if err := e.Unhurry(ctx, tx); err != nil {
			return nil, fmt.Errorf("lifting limits of time: %w", err)
		}
	}
	c := &copying{ctx: ctx, src: src, dst: dst, engine: &target.engine, progress: progress}
	copied, err := c.run()
	if err != nil {
		return nil, err
	}
	if err := dst.Commit(); err != nil {
		return nil, fmt.Errorf("committing the copy: %w", err)
	}
	return copied, nil
}

// sharing is every store that this package is the common part of.
type sharing interface{ shared() *Store }

func (s *Store) shared() *Store { return s }

// copying is one Copy under way.
type copying struct {
	ctx      context.Context //nolint:containedctx // it lives as long as the call
	src, dst *sql.Tx
	engine   *Engine // of the target
	progress Progress
}

// table is one that is copied. What is in no table here is made of these
// (what finds keys), or belongs to what runs (changes, nodes).
type table struct {
	name    string // of the table
	words   string // for people
	columns []Column
	order   string
}

var copiedTables = []table{
	{"keys", "keys", keyColumnTypes, "n"},
	{"secrets", "secrets", append(secretColumns[:len(secretColumns):len(secretColumns)], Column{"ends_at", Integer}), "digest"},
	{"audit", "audit entries", append([]Column{{"n", Integer}}, auditColumns...), "n"},
	{"endpoints", "endpoints", []Column{{"api", String}, {"id", String}, {"title", String}}, "api, id"},
	{"usage", "usage counts", usageColumns, "step, at, key_n, api, endpoint, access, outcome"},
	{"usage_totals", "usage totals", totalColumns, "step, at, api, owner"},
	{"webhooks", "webhooks", []Column{{"id", String}, {"place", Integer}}, "id"},
	{"webhook_deliveries", "webhook deliveries", deliveryColumns, "n"},
}

// copiedAtOnce is how many rows are in memory at a time; toldEvery, of how many
// Progress is told.
const (
	copiedAtOnce = 10_000
	toldEvery    = 1000
)

func (c *copying) run() ([]Copied, error) {
	if err := c.begin(); err != nil {
		return nil, err
	}
	var copied []Copied
	var digests [][sha256.Size]byte
	for _, t := range copiedTables {
		all, digest, err := c.copyTable(t)
		if err != nil {
			return nil, fmt.Errorf("copying %s: %w", t.words, err)
		}
		copied, digests = append(copied, Copied{t.words, all}), append(digests, digest)
	}
	if c.engine.Renumber != nil {
		if err := c.engine.Renumber(c.ctx, c.dst); err != nil {
			return nil, fmt.Errorf("numbering on after the copied rows: %w", err)
		}
	}
	for i, t := range copiedTables {
		if err := c.check(t, copied[i].Rows, digests[i]); err != nil {
			return nil, fmt.Errorf("checking the copied %s: %w", t.words, err)
		}
	}
	return copied, nil
}

const (
	continueSeqSQL = `UPDATE counters SET seq = $1`
	// A gateway that ran on the empty target has told nobody of anything.
	forgetWebhooksSQL = `DELETE FROM webhooks`
	emptySQL          = `SELECT NOT EXISTS (SELECT 1 FROM keys) AND NOT EXISTS (SELECT 1 FROM secrets)
		AND NOT EXISTS (SELECT 1 FROM audit) AND NOT EXISTS (SELECT 1 FROM endpoints)
		AND NOT EXISTS (SELECT 1 FROM usage) AND NOT EXISTS (SELECT 1 FROM usage_totals)`
)

// begin takes the target's number of changes first, as every change does, so
// that none comes in between, and refuses a target that has seen one.
func (c *copying) begin() error {
	var last, seq int64
	var empty bool
	if err := c.dst.QueryRowContext(c.ctx, nextSeqSQL).Scan(&seq); err != nil {
		return fmt.Errorf("beginning to copy: %w", err)
	}
	if err := c.dst.QueryRowContext(c.ctx, emptySQL).Scan(&empty); err != nil {
		return fmt.Errorf("looking whether the target is empty: %w", err)
	}
	if !empty || seq != 1 {
		return ErrNotEmpty
	}
	if err := c.src.QueryRowContext(c.ctx, lastSeqSQL).Scan(&last); err != nil {
		return fmt.Errorf("reading the number of the last change: %w", err)
	}
	if _, err := c.dst.ExecContext(c.ctx, continueSeqSQL, last+1); err != nil {
		return fmt.Errorf("numbering changes on: %w", err)
	}
	if _, err := c.dst.ExecContext(c.ctx, forgetWebhooksSQL); err != nil {
		return fmt.Errorf("forgetting webhooks of the empty target: %w", err)
	}
	if c.engine.Wake != nil {
		if err := c.engine.Wake(c.ctx, c.dst); err != nil {
			return fmt.Errorf("waking the gateways on the target: %w", err)
		}
	}
	return nil
}

// copyTable copies the rows of a table and returns how many, and what they
// amount to.
func (c *copying) copyTable(t table) (int64, [sha256.Size]byte, error) {
	sum := newSum()
	some := NewRows(t.name, t.columns, copiedAtOnce)
	done, err := c.read(c.src, t, false, func(values []any) error {
		if t.name == "keys" {
			if err := setSearch(t, values); err != nil {
				return err
			}
		}
		sum.add(values)
		some.Add(values...)
		if len(some.Values) < copiedAtOnce {
			return nil
		}
		err := c.write(t, some)
		some = NewRows(t.name, t.columns, copiedAtOnce)
		return err
	})
	if err != nil {
		return 0, [sha256.Size]byte{}, err
	}
	return done, sum.sum(), c.write(t, some)
}

// read yields the rows of a table, in an order in which all engines have them.
func (c *copying) read(from *sql.Tx, t table, checking bool, yield func([]any) error) (done int64, err error) {
	var all int64
	if err := from.QueryRowContext(c.ctx, `SELECT count(*) FROM `+t.name).Scan(&all); err != nil {
		return 0, err
	}
	names := NewRows(t.name, t.columns, 0)
	rows, err := from.QueryContext(c.ctx, `SELECT `+names.Names()+` FROM `+t.name+` ORDER BY `+t.order) //nolint:gosec // G202: our own names
	if err != nil {
		return 0, err
	}
	defer closeRows(rows, &err)
	for v := newValues(t.columns); rows.Next(); {
		row, err := v.scan(rows)
		if err != nil {
			return done, err
		}
		if err := yield(row); err != nil {
			return done, err
		}
		if done++; done%toldEvery == 0 {
			c.progress(t.words, checking, done, all)
		}
	}
	c.progress(t.words, checking, done, all)
	return done, nil
}

// values reads rows into values as Rows have them.
type values struct {
	columns  []Column
	integers []sql.NullInt64
	texts    []sql.NullString
	bytes    [][]byte
	to       []any
}

func newValues(columns []Column) *values {
	v := &values{
		columns, make([]sql.NullInt64, len(columns)), make([]sql.NullString, len(columns)),
		make([][]byte, len(columns)), make([]any, len(columns)),
	}
	for i, column := range columns {
		switch column.Type {
		case Integer:
			v.to[i] = &v.integers[i]
		case String:
			v.to[i] = &v.texts[i]
		case Bytes:
			v.to[i] = &v.bytes[i]
		}
	}
	return v
}

func (v *values) scan(from scanner) ([]any, error) {
	if err := from.Scan(v.to...); err != nil {
		return nil, err
	}
	out := make([]any, len(v.columns))
	for i, column := range v.columns {
		switch {
		case column.Type == Integer && v.integers[i].Valid:
			out[i] = v.integers[i].Int64
		case column.Type == String && v.texts[i].Valid:
			out[i] = v.texts[i].String
		case column.Type == Bytes && v.bytes[i] != nil:
			out[i] = v.bytes[i]
		}
	}
	return out, nil
}

// write writes rows, and with keys what finds them.
func (c *copying) write(t table, some Rows) error {
	if len(some.Values) == 0 {
		return nil
	}
	if err := c.insert(some); err != nil {
		return err
	}
	if t.name != "keys" {
		return nil
	}
	apis := NewRows("key_apis", apiColumns, len(some.Values))
	entries := make([]entry, 0, len(some.Values))
	for _, values := range some.Values {
		n, _ := t.value(values, "n").(int64)
		text, _ := t.value(values, "search").(string)
		var k keys.Key
		if err := readPermissions(t.value(values, "permissions"), &k.Permissions); err != nil {
			return err
		}
		open := openAPIs(&k)
		for _, api := range open {
			apis.Add(n, api)
		}
		entries = append(entries, termsOf(n, text, open))
	}
	if err := c.insert(apis); err != nil {
		return err
	}
	return index{c.dst, c.engine}.put(c.ctx, entries)
}

func (c *copying) insert(rows Rows) error {
	written, err := c.engine.Insert(c.ctx, c.dst, rows)
	if err != nil {
		return err
	}
	if written != int64(len(rows.Values)) {
		return fmt.Errorf("%d of %d rows of %s were there already", int64(len(rows.Values))-written, len(rows.Values), rows.Table)
	}
	return nil
}

// value returns what stands in a column.
func (t table) value(values []any, column string) any {
	for i, c := range t.columns {
		if c.Name == column {
			return values[i]
		}
	}
	return nil
}

// setSearch makes the text anew by which a key is found: what folding means
// may have changed since it was written.
func setSearch(t table, values []any) error {
	text := func(column string) string { s, _ := t.value(values, column).(string); return s }
	k := keys.Key{ID: keys.ID(text("id")), Name: text("name"), Owner: text("owner"), Prefix: text("prefix")}
	for i, c := range t.columns {
		if c.Name == "search" {
			values[i] = searchText(&k)
			return nil
		}
	}
	return errors.New("keys have no searchable text")
}

func readPermissions(value any, to *permission.Set) error {
	text, _ := value.(string)
	if err := json.Unmarshal([]byte(text), to); err != nil {
		return fmt.Errorf("reading permissions: %w", err)
	}
	return nil
}

// check reads what was written, and compares.
func (c *copying) check(t table, want int64, digest [sha256.Size]byte) error {
	sum := newSum()
	got, err := c.read(c.dst, t, true, func(row []any) error { sum.add(row); return nil })
	switch {
	case err != nil:
		return err
	case got != want:
		return fmt.Errorf("%d were written and %d are there; nothing was copied", want, got)
	case sum.sum() != digest:
		return errors.New("what is there is not what was written; nothing was copied")
	}
	return nil
}
