// Package store opens the store that a configuration names. What stores do is
// said by keys.Store and proved by package storetest.
package store

import (
	"context"
	"fmt"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/postgres"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// The kinds of store.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// Kinds are the kinds of store that Open knows.
var Kinds = []string{SQLite, Postgres}

// Place says where a store is: for sqlite, Address is the path of the file;
// for postgres, a URL or keywords, and Listen the same for where changes are
// heard of ("": at Address).
type Place struct{ Kind, Address, Listen string }

// Check says what is wrong with a place, as far as that shows without opening
// anything.
func Check(p Place) error {
	switch p.Kind {
	case SQLite:
		return nil
	case Postgres:
		return postgres.Check(p.Address, p.Listen)
	}
	return fmt.Errorf("store %q: expected one of %q", p.Kind, Kinds)
}

// Open opens the store at p.
func Open(ctx context.Context, p Place, o keys.Options) (keys.Store, error) {
	var (
		s   keys.Store
		err error
	)
	switch p.Kind {
	case SQLite:
		s, err = sqlite.Open(ctx, p.Address, o)
	case Postgres:
		s, err = postgres.Open(ctx, p.Address, postgres.Options{Options: o, Listen: p.Listen})
	default:
		err = fmt.Errorf("store %q: expected one of %q", p.Kind, Kinds)
	}
	if err != nil {
		return nil, err // and not a nil *sqlite.Store, which as a keys.Store is not nil
	}
	return s, nil
}
