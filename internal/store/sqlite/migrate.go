package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// versionTable is where the version of the tables is kept.
const versionTable = "migrations"

//go:embed migrations/*.sql
var migrationFiles embed.FS

func migrations() fs.FS {
	sub, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // cannot be: the folder is embedded above
	}
	return sub
}

// migrate brings the file's tables up to date. What is up to date already, or
// newer, is only read: it is decided before anything opens the file to write,
// because the first writer would already switch its journal mode.
func migrate(ctx context.Context, path string, migrations fs.FS) error {
	newest, err := sqlstore.NewestVersion(migrations)
	if err != nil {
		return err
	}
	current, err := version(ctx, path)
	switch {
	case err != nil:
		return err
	case current > newest:
		return keys.ErrNewerVersion
	case current == newest:
		return nil
	}
	unlock, err := lock(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(migrateLocked(ctx, path, migrations), unlock())
}

// lockRetry is how often a process asks whether another has migrated.
const lockRetry = 10 * time.Millisecond

// lock keeps other processes from migrating: two that create the tables at
// once fail with "table already exists", whatever transactions they use. The
// lock is a file beside the database; it stays, as removing it would let two
// processes lock two different files of the same name.
func lock(ctx context.Context, path string) (unlock func() error, err error) {
	l := flock.New(path+".lock", flock.SetPermissions(0o600))
	if _, err := l.TryLockContext(ctx, lockRetry); err != nil {
		return nil, fmt.Errorf("waiting for another process to migrate the database: %w", errors.Join(err, l.Close()))
	}
	return l.Close, nil
}

func migrateLocked(ctx context.Context, path string, migrations fs.FS) (err error) {
	if err := createFile(path); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", writerDSN(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if _, err := versionOf(ctx, db); err != nil {
		return err
	}
	if err := sqlstore.Migrate(ctx, db, goose.DialectSQLite3, migrations, versionTable); err != nil {
		return err
	}
	return sqlstore.IndexRest(ctx, db, sqlstore.Engine{Insert: insert, Among: among})
}

// unversioned is the version of a file without tables, and of no file.
const unversioned = -1

// version reads the version of the tables without touching the file. A
// database that was closed in good order is read as if it could not change,
// since even a read-only connection makes files beside a database in WAL
// mode. A log that was left is part of the database: then SQLite has to read
// both, and may make its shared memory anew, but writes neither of the two.
func version(ctx context.Context, path string) (current int64, err error) {
	switch {
	case size(path) == 0:
		return unversioned, nil
	case size(path+"-journal") > 0:
		// Somebody died before there was a log, so before there were tables;
		// only a writer can take back what they had begun.
		return unversioned, nil
	}
	parameters := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(2000)"}}
	if size(path+"-wal") == 0 {
		parameters.Set("immutable", "1")
	}
	db, err := sql.Open("sqlite", dsn(path, parameters))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return versionOf(ctx, db)
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0 // what is wrong with the file shows when it is opened
	}
	return info.Size()
}

const (
	hasVersionSQL = `SELECT count(*), count(CASE WHEN name = $1 THEN 1 END) FROM sqlite_schema WHERE type = 'table'`
	versionSQL    = `SELECT coalesce(max(version_id), 0) FROM ` + versionTable
)

// versionOf refuses a database of another program: our tables must not end
// up in somebody else's file because of a wrong path.
func versionOf(ctx context.Context, db *sql.DB) (int64, error) {
	var tables, own int
	if err := db.QueryRowContext(ctx, hasVersionSQL, versionTable).Scan(&tables, &own); err != nil {
		return 0, fmt.Errorf("reading the database: %w", err)
	}
	if own == 0 && tables > 0 {
		return 0, errors.New("this is a database of another program: it has tables, but none that says their version; name another file")
	}
	if own == 0 {
		return unversioned, nil
	}
	var current int64
	if err := db.QueryRowContext(ctx, versionSQL).Scan(&current); err != nil {
		return 0, fmt.Errorf("reading the version of the tables: %w", err)
	}
	return current, nil
}
