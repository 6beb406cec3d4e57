package sqlite

import (
	"testing"

	"github.com/pressly/goose/v3"
)

// migrateDown takes all tables away again.
func migrateDown(t *testing.T, path string) {
	t.Helper()
	migrateDownTo(t, path, 0)
}

func migrateDownTo(t *testing.T, path string, version int64) {
	t.Helper()
	p, err := goose.NewProvider(goose.DialectSQLite3, openRaw(t, path), migrations(),
		goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
}
