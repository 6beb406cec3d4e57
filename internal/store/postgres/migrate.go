package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// versionTable is where the version of the tables is kept. The database may
// be another program's as well, so the name says whose it is.
const versionTable = "keywarden_migrations"

//go:embed migrations/*.sql
var migrationFiles embed.FS

func migrations() fs.FS {
	sub, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // cannot be: the folder is embedded above
	}
	return sub
}

// migrate brings the tables up to date. What is up to date already, or newer,
// is only read.
func migrate(ctx context.Context, config *pgx.ConnConfig, migrations fs.FS) (err error) {
	newest, err := sqlstore.NewestVersion(migrations)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing is lost with it
	if encoding := conn.PgConn().ParameterStatus("server_encoding"); encoding != "" && encoding != "UTF8" {
		return fmt.Errorf("%w: the database's encoding is %s; expected UTF8", errUnfit, encoding)
	}
	if done, err := upToDate(ctx, conn, newest); err != nil || done {
		return err
	}
	// One node migrates, the others wait. The lock belongs to a transaction,
	// since a session's would be lost behind a pooler.
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback(context.WithoutCancel(ctx))) }() // it has nothing to commit
	if _, err := tx.Exec(ctx, lockSQL); err != nil {
		return fmt.Errorf("waiting for another node to migrate the database: %w", err)
	}
	if done, err := upToDate(ctx, tx, newest); err != nil || done {
		return err
	}
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if err := sqlstore.Migrate(ctx, db, goose.DialectPostgres, migrations, versionTable); err != nil {
		return err
	}
	return sqlstore.IndexRest(ctx, db, sqlstore.Engine{Insert: insert, Among: among})
}

// errUnfit: this database can't be used, and trying again is of no use.
var errUnfit = errors.New("this database can't be used")

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const (
	// Any number that is nobody else's: "keywarde" in ASCII. The second part
	// keeps nodes apart that use several schemas of one database.
	lockSQL = `SELECT pg_advisory_xact_lock(7738151096083243109 # hashtext(current_schema())::bigint)`
	// Where there are tables of our names and no version, they are another
	// program's.
	ownedSQL   = `SELECT to_regclass('` + versionTable + `') IS NOT NULL, to_regclass('keys') IS NOT NULL OR to_regclass('secrets') IS NOT NULL`
	versionSQL = `SELECT coalesce(max(version_id), 0) FROM ` + versionTable
)

// upToDate reports whether the tables are of the newest version.
func upToDate(ctx context.Context, from querier, newest int64) (bool, error) {
	var own, others bool
	if err := from.QueryRow(ctx, ownedSQL).Scan(&own, &others); err != nil {
		return false, fmt.Errorf("reading the database: %w", err)
	}
	if !own && others {
		return false, fmt.Errorf("%w: it has tables named keys or secrets of another program; name another database, or a schema by search_path", errUnfit)
	}
	if !own {
		return false, nil
	}
	var current int64
	if err := from.QueryRow(ctx, versionSQL).Scan(&current); err != nil {
		return false, fmt.Errorf("reading the version of the tables: %w", err)
	}
	if current > newest {
		return false, keys.ErrNewerVersion
	}
	return current == newest, nil
}
