package caddymodule

import (
	"context"
	"fmt"

	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// openStore opens the configured store.
func openStore(ctx context.Context, s config.Store, o keys.Options) (keys.Store, error) {
	if s.Kind != config.SQLite {
		return nil, fmt.Errorf("store %q: expected sqlite", s.Kind)
	}
	store, err := sqlite.Open(ctx, s.Address, o)
	if err != nil {
		return nil, err // as it is: a nil *sqlite.Store would make a keys.Store that is not nil
	}
	return store, nil
}
