// Package store opens the store that a configuration names. What stores do is
// said by keys.Store and proved by package storetest.
package store

import (
	"context"
	"fmt"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// The kinds of store.
const (
	SQLite = "sqlite"
)

// Kinds are the kinds of store that Open knows.
var Kinds = []string{SQLite}

// Open opens the store of the given kind; address is what the kind needs to
// find it: for sqlite, the path of the file.
func Open(ctx context.Context, kind, address string, o keys.Options) (keys.Store, error) {
	switch kind {
	case SQLite:
		s, err := sqlite.Open(ctx, address, o)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, fmt.Errorf("store %q: expected one of %q", kind, Kinds)
}
