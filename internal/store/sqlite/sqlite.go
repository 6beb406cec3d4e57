// Package sqlite keeps keys in an SQLite file: it opens the file, brings its
// tables up to date, and adds to package sqlstore what only SQLite does in its
// way. Several processes may have the file open at once.
package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", without cgo

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// Store is a keys.Store in an SQLite file.
type Store struct {
	*sqlstore.Store
	watch *watch
	find  *sql.Stmt
	pools *pools
}

var _ keys.Store = (*Store)(nil)

// Open opens the database at path, and makes it where there is none: its
// folder with mode 0700, the file with 0600. A database that was written by a
// newer version is refused with keys.ErrNewerVersion and not touched.
func Open(ctx context.Context, path string, o keys.Options) (*Store, error) {
	s, err := openWith(ctx, path, migrations(), o)
	if err != nil {
		return nil, fmt.Errorf("opening sqlite store %s: %w", path, err)
	}
	return s, nil
}

func openWith(ctx context.Context, path string, migrations fs.FS, o keys.Options) (_ *Store, err error) {
	path, err = locate(path)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, path, migrations); err != nil {
		return nil, err
	}
	pools, err := openPools(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, pools.close())
		}
	}()
	w, err := newWatch(ctx, pools.watch, path)
	if err != nil {
		return nil, err
	}
	find, err := pools.lookup.PrepareContext(ctx, sqlstore.FindSQL)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing the look-up of secrets: %w", err), w.close())
	}
	shared := sqlstore.New(sqlstore.Engine{
		Read: pools.read, Write: pools.write, Begin: pools.begin,
		Lookup:     func(ctx context.Context, digest []byte) sqlstore.Row { return find.QueryRowContext(ctx, digest) },
		LookupMany: pools.findMany, Note: pools.note, Now: clock,
		Numbers: numbers, Insert: insert, Use: use,
		Among: among, Using: using, Contains: contains, Owned: owned, Orders: orders,
		Few:      func(column string) string { return column }, // it is told which index to use
		Arm:      func(text, _ string) string { return text },  // it merges them in order
		Postings: postings,
		Text:     func(text string) any { return text },
	}, w.wokenBy(o))
	return &Store{shared, w, find, pools}, nil
}

// Close implements keys.Store.
func (s *Store) Close() error {
	if err := errors.Join(s.watch.close(), s.find.Close(), s.pools.close()); err != nil {
		return fmt.Errorf("closing sqlite store: %w", err)
	}
	return nil
}

// pools are the connections to one file. A file has one writer at a time
// anyway: with one connection for it, writers of this process queue in Go,
// where a context ends the wait, and never see SQLITE_BUSY from each other.
// Look-ups and waiting for changes have their own, so that long lists delay
// neither.
type pools struct {
	lookup, read, write, watch *sql.DB
	wait                       time.Duration // of a change, for other processes
}

func openPools(ctx context.Context, path string) (*pools, error) {
	p := pools{wait: writerWait}
	for _, pool := range []struct {
		to    **sql.DB
		dsn   string
		conns int
	}{
		{&p.write, writerDSN(path), 1},
		{&p.lookup, readerDSN(path), max(2, runtime.GOMAXPROCS(0))},
		{&p.read, readerDSN(path), max(2, runtime.GOMAXPROCS(0))},
		{&p.watch, readerDSN(path), 1},
	} {
		db, err := sql.Open("sqlite", pool.dsn)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		db.SetMaxOpenConns(pool.conns)
		db.SetMaxIdleConns(pool.conns) // opening one costs a hundred look-ups
		*pool.to = db
	}
	// The writer comes first: only it can put the file into WAL mode, should
	// another program have taken it out of it.
	if _, err := retryBusy(ctx, p.wait, func() (any, error) { return nil, p.write.PingContext(ctx) }); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return &p, nil
}

func (p *pools) close() error {
	var errs []error
	for _, db := range []*sql.DB{p.watch, p.lookup, p.read, p.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

const findManySQL = `SELECT ` + sqlstore.ManyColumns + `
	FROM secrets s JOIN keys k ON k.n = s.key_n WHERE s.digest IN (SELECT unhex(value) FROM json_each($1))`

// findMany looks many secrets up. JSON has no bytes.
func (p *pools) findMany(ctx context.Context, digests [][]byte) (*sql.Rows, error) {
	texts := make([]string, len(digests))
	for i, d := range digests {
		texts[i] = hex.EncodeToString(d)
	}
	list, err := json.Marshal(texts)
	if err != nil {
		return nil, err
	}
	return p.lookup.QueryContext(ctx, findManySQL, string(list))
}

// SQLite's planner has no statistics unless somebody runs ANALYZE; where the
// index matters it is told.
func using(index string) string { return "INDEXED BY " + index }

func contains(column, parameter string) string { return "instr(" + column + ", " + parameter + ") > 0" }

// orders are columns, two of them made for this.
var orders = map[string]string{"keys_owner": "k.owner", "keys_by_name": "k.by_name", "keys_by_expiry": "k.by_expiry", "keys_unused": "k.used_day"}

func owned(column, parameter string) string { return column + " = " + parameter }

// postings takes the parts first: SQLite keeps the order of a CROSS JOIN.
func postings(condition string) string {
	return `text_parts p CROSS JOIN text_postings t WHERE t.part = p.part AND ` + condition
}

func among(column, parameter string, list any) (string, any) {
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // cannot be: a list of texts or of numbers
	}
	return column + " IN (SELECT value FROM json_each(" + parameter + "))", string(text)
}
