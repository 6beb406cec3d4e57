package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/storetest"
)

// million is made once a process, in a folder that TestMain removes.
var (
	million       storetest.Million
	millionFolder string
)

func BenchmarkAMillion(b *testing.B) {
	if millionFolder == "" {
		folder, err := os.MkdirTemp("", "keywarden-million-")
		if err != nil {
			b.Fatal(err)
		}
		millionFolder = folder
	}
	bare, err := sql.Open("sqlite", writerDSN(filepath.Join(millionFolder, "floor.db")))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = bare.Close() }) // it goes with its folder
	open := func(tb testing.TB, o keys.Options) keys.Store {
		tb.Helper()
		return openTest(tb, filepath.Join(millionFolder, "keys.db"), o)
	}
	million.Run(b, storetest.Bench{
		Open:   open,
		Settle: func(context.Context) error { return nil },
		Fresh: func(tb testing.TB) keys.Store {
			tb.Helper()
			return openTest(tb, filepath.Join(tb.TempDir(), "keys.db"), keys.Options{})
		},
		Import: func(ctx context.Context, ks []keys.New) error { return bareImport(ctx, bare, ks) },
		Page:   func(ctx context.Context) error { return barePage(ctx, bare) },
	})
}

// bareImport writes what must be kept of keys, with the two indexes that no
// store can do without.
func bareImport(ctx context.Context, db *sql.DB, ks []keys.New) (err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Commit()) }()
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS bare (n INTEGER PRIMARY KEY, id TEXT UNIQUE, name TEXT, owner TEXT, prefix TEXT, digest BLOB UNIQUE)`); err != nil {
		return err
	}
	insert, err := tx.PrepareContext(ctx, `INSERT INTO bare (id, name, owner, prefix, digest) VALUES ($1, $2, $3, $4, $5)`)
	if err != nil {
		return err
	}
	defer insert.Close() // the commit says what matters
	for i := range ks {
		k := &ks[i].Key
		if _, err := insert.ExecContext(ctx, string(k.ID), k.Name, k.Owner, k.Prefix, ks[i].Digest[:]); err != nil {
			return err
		}
	}
	return nil
}

// barePage reads the newest rows.
func barePage(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT id, name, owner, prefix FROM bare ORDER BY n DESC LIMIT 50`)
	if err != nil {
		return err
	}
	defer rows.Close() // Err says what matters
	var id, name, owner, prefix string
	for rows.Next() {
		if err := rows.Scan(&id, &name, &owner, &prefix); err != nil {
			return err
		}
	}
	return rows.Err()
}

func BenchmarkLookForChanges(b *testing.B) {
	s := openTest(b, filepath.Join(b.TempDir(), "keys.db"), keys.Options{})
	for b.Loop() {
		if err := s.AwaitChange(b.Context(), 1); err != nil { // another than the last: at once
			b.Fatal(err)
		}
	}
}
