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
		id                 keys.Identity
		permissions, admin []byte
		sources            string
		standing           int64
		expires, ends      sql.NullInt64
	)
	err := from.Scan(append(before,
		&id.ID, &id.Name, &id.Owner, &id.Prefix, &permissions, &admin, &standing, &sources, &expires, &ends)...)
	if err != nil {
		return nil, err
	}
	if err := id.Admin.UnmarshalText(admin); err != nil {
		return nil, fmt.Errorf("reading key %s: %w", id.ID, err)
	}
	if id.Permissions, err = s.sets.read(permissions); err != nil {
		return nil, fmt.Errorf("reading key %s: %w", id.ID, err)
	}
	if id.Sources, err = readSources(sources); err != nil {
		return nil, fmt.Errorf("reading key %s: %w", id.ID, err)
	}
	id.Enabled = standing != standingOff
	id.ExpiresAt, id.EndsAt = expires.Int64, ends.Int64
	return &id, nil
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
