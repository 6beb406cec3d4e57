package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Migrate brings the tables up to the newest version in migrations, or
// returns keys.ErrNewerVersion if they are beyond it. The caller sees to it
// that one process does this at a time. The version is kept in versionTable.
func Migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, migrations fs.FS, versionTable string) error {
	p, err := provider(db, dialect, migrations, versionTable)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("reading the version of the tables: %w", err)
	}
	if current > target {
		return keys.ErrNewerVersion
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrating the tables: %w", err)
	}
	return nil
}

// NewestVersion returns the version to which Migrate brings the tables.
func NewestVersion(migrations fs.FS) (int64, error) {
	names, err := fs.Glob(migrations, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("listing migrations: %w", err)
	}
	var newest int64
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("reading the version of a migration: %w", err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}

func provider(db *sql.DB, dialect goose.Dialect, migrations fs.FS, versionTable string) (*goose.Provider, error) {
	p, err := goose.NewProvider(dialect, db, migrations,
		goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable), goose.WithLogger(goose.NopLogger()),
		goose.WithAllowOutofOrder(true)) // two branches of work may meet in any order
	if err != nil {
		return nil, fmt.Errorf("reading migrations: %w", err)
	}
	return p, nil
}
