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

// ManyColumns are what Engine.LookupMany selects.
const ManyColumns = `s.digest, ` + identityColumns

// Find implements keys.Store.
func (s *Store) Find(ctx context.Context, d keys.Digest) (*keys.Identity, error) {
	id, err := s.scanIdentity(s.engine.Lookup(ctx, d[:]), newIdentityRow())
	if errors.Is(err, sql.ErrNoRows) {
		return nil, keys.ErrNoSuchKey
	}
	if err != nil {
		return nil, fmt.Errorf("looking up a secret: %w", err)
	}
	id.Digest = d
	return id, nil
}

// FindMany implements keys.Store.
func (s *Store) FindMany(ctx context.Context, ds []keys.Digest) (_ []*keys.Identity, err error) {
	digests := make([][]byte, len(ds))
	for i := range ds {
		digests[i] = ds[i][:]
	}
	rows, err := s.engine.LookupMany(ctx, digests)
	if err != nil {
		return nil, fmt.Errorf("looking up %d secrets: %w", len(ds), err)
	}
	defer closeRows(rows, &err)
	found := make([]*keys.Identity, 0, len(ds))
	var digest sql.RawBytes
	for row := newIdentityRow(&digest); rows.Next(); {
		id, err := s.scanIdentity(rows, row)
		if err != nil {
			return nil, fmt.Errorf("looking up %d secrets: %w", len(ds), err)
		}
		id.Digest = keys.Digest(digest)
		found = append(found, id)
	}
	return found, nil
}

// identityRow is where the columns of an identity are read to. Whoever reads
// many rows reads them to the same one: what a row leaves behind lies among what
// is kept of it, and would make a large cache larger.
type identityRow struct {
	names         keys.Names
	rights        rightsRow
	standing      int64
	expires, ends sql.NullInt64
	to            []any
}

// newIdentityRow returns one for rows that begin with other columns.
func newIdentityRow(before ...any) *identityRow {
	r := &identityRow{}
	r.to = append(before, &r.names.ID, &r.names.Name, &r.names.Owner, &r.names.Prefix, &r.rights.permissions, &r.rights.admin, &r.standing, &r.rights.sources, &r.expires, &r.ends)
	return r
}

// scanIdentity reads a row of what FindSQL selects.
func (s *Store) scanIdentity(from scanner, r *identityRow) (*keys.Identity, error) {
	if err := from.Scan(r.to...); err != nil {
		return nil, err
	}
	r.rights.enabled, r.rights.endsAt = r.standing != standingOff, r.ends.Int64
	rights, err := s.rights.read(&r.rights)
	if err != nil {
		return nil, fmt.Errorf("reading key %s: %w", r.names.ID, err)
	}
	return keys.NewIdentity(keys.Digest{}, r.names, rights, r.expires.Int64), nil
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
