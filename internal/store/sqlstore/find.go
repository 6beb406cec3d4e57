package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// identityColumns are what scanIdentity reads.
const identityColumns = `k.id, k.name, k.owner, s.prefix, k.permissions, k.admin, k.standing, k.sources, k.expires_at, s.ends_at`

// FindSQL is what Engine.Lookup asks.
const FindSQL = `SELECT ` + identityColumns + `
	FROM secrets s JOIN keys k ON k.n = s.key_n WHERE s.digest = $1`

// Find implements keys.Store.
func (s *Store) Find(ctx context.Context, d keys.Digest) (*keys.Identity, error) {
	id, err := s.scanIdentity(s.engine.Lookup(ctx, d[:]))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, keys.ErrNoSuchKey
	}
	if err != nil {
		return nil, fmt.Errorf("looking up a secret: %w", err)
	}
	id.Digest = d
	return id, nil
}

// scanIdentity reads what FindSQL selects, after what stands before it.
func (s *Store) scanIdentity(from scanner, before ...any) (*keys.Identity, error) {
	var (
		names         keys.Names
		row           rightsRow
		standing      int64
		expires, ends sql.NullInt64
	)
	err := from.Scan(append(before,
		&names.ID, &names.Name, &names.Owner, &names.Prefix, &row.permissions, &row.admin, &standing, &row.sources, &expires, &ends)...)
	if err != nil {
		return nil, err
	}
	row.enabled, row.endsAt = standing != standingOff, ends.Int64
	rights, err := s.rights.read(row)
	if err != nil {
		return nil, fmt.Errorf("reading key %s: %w", names.ID, err)
	}
	return keys.NewIdentity(keys.Digest{}, names, rights, expires.Int64), nil
}

// The index of foreign secrets has the same condition.
const hasForeignSQL = `SELECT EXISTS (SELECT 1 FROM secrets WHERE is_foreign = 1)`

// HasForeign implements keys.Store.
func (s *Store) HasForeign(ctx context.Context) (bool, error) {
	return s.exists(ctx, "secrets of another format", hasForeignSQL)
}

// HasAdmin implements keys.Store.
func (s *Store) HasAdmin(ctx context.Context) (bool, error) {
	return s.exists(ctx, "an admin key", anyAdminSQL)
}

func (s *Store) exists(ctx context.Context, what, query string) (bool, error) {
	var found bool
	if err := s.engine.Read.QueryRowContext(ctx, query).Scan(&found); err != nil {
		return false, fmt.Errorf("looking for %s: %w", what, err)
	}
	return found, nil
}
