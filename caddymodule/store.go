package caddymodule

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store"
)

// openStore opens the configured store.
func openStore(ctx context.Context, s config.Store, o keys.Options) (keys.Store, error) {
	return store.Open(ctx, store.Place(s), o)
}

// expandStore replaces placeholders, and refuses what can't be the address of
// a store. No message has the address in it, which may have a password.
func expandStore(s config.Store, repl *caddy.Replacer) (_ config.Store, err error) {
	if s.Address, err = repl.ReplaceOrErr(s.Address, true, true); err != nil {
		return s, fmt.Errorf("store: %w; expected a value for every placeholder", err)
	}
	if s.Kind == config.SQLite {
		if s.Address, err = filepath.Abs(s.Address); err != nil {
			return s, fmt.Errorf("store: finding the working directory: %w", err)
		}
		return s, nil
	}
	if s.Listen, err = repl.ReplaceOrErr(s.Listen, true, true); err != nil {
		return s, fmt.Errorf("store: listen: %w; expected a value for every placeholder", err)
	}
	s.Address, s.Listen = strings.TrimSpace(s.Address), strings.TrimSpace(s.Listen) // of a file that ends with its line
	if err := store.Check(store.Place(s)); err != nil {
		return s, fmt.Errorf("store %s: %w", s.Kind, err)
	}
	return s, nil
}

// engineKey is what keeps an engine from one configuration to the next.
func engineKey(s config.Store) string {
	return strings.TrimSpace(s.Kind + " " + s.Address + " " + s.Listen)
}

// besideStore is the folder for the first admin key's secret: the database's,
// or Caddy's own where the database is elsewhere.
func besideStore(s config.Store) string {
	if s.Kind == config.SQLite {
		return filepath.Dir(s.Address)
	}
	return caddy.AppDataDir()
}
