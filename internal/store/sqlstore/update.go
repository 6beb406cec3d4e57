package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	updateKeySQL = `UPDATE keys SET name = $1, owner = $2, search = $3, permissions = $4, admin = $5, standing = $6,
			expires_at = $7, metadata = $8, sources = $9, updated_at = $10, version = $11 WHERE n = $12`
	deleteAPIsSQL = `DELETE FROM key_apis WHERE n = $1`
	digestsOfSQL  = `SELECT digest FROM secrets WHERE key_n = $1`
	otherAdminSQL = `SELECT EXISTS (SELECT 1 FROM keys WHERE admin = 'write' AND standing <> 2
			AND (expires_at IS NULL OR expires_at > $1) AND n <> $2)`
)

// Update implements keys.Store.
func (s *Store) Update(ctx context.Context, by keys.By, id keys.ID, g keys.Guard, edit func(*keys.Key) error) (*keys.Key, error) {
	var result *keys.Key
	err := s.inChange(ctx, by, func(c *change) error {
		before, err := c.guarded(ctx, id, g)
		if err != nil {
			return err
		}
		edited := clone(before.key)
		if err := edit(edited); err != nil {
			return err
		}
		edited = clone(edited) // edit may have kept what it was given
		after := clone(before.key)
		after.Name, after.Owner, after.Admin, after.Enabled = edited.Name, edited.Owner, edited.Admin, edited.Enabled
		after.Permissions, after.Metadata, after.Sources = edited.Permissions, edited.Metadata, edited.Sources
		after.ExpiresAt = fromOptionalMilli(optionalMilli(edited.ExpiresAt))
		result = after
		return c.update(ctx, g, before, after)
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// update stores what became of a key.
func (c *change) update(ctx context.Context, g keys.Guard, before row, after *keys.Key) error {
	was, err := newContent(before.key)
	if err != nil {
		return err
	}
	is, err := newContent(after)
	if err != nil {
		return err
	}
	if is == was && before.key.Enabled == after.Enabled {
		return errUnchanged
	}
	if err := c.keepAdmin(ctx, g, before, after); err != nil {
		return err
	}
	after.UpdatedAt, after.Version = c.fed.At, before.key.Version+1
	text := searchText(after)
	_, err = c.ExecContext(ctx, updateKeySQL, after.Name, after.Owner, text, is.permissions, after.Admin.String(), standing(after.Enabled),
		is.expires, is.metadata, after.Sources.String(), milli(after.UpdatedAt), after.Version, before.n)
	if err != nil {
		return fmt.Errorf("updating key: %w", err)
	}
	if err := c.reindex(ctx, before, after, text); err != nil {
		return err
	}
	action := "update"
	if is == was {
		action = map[bool]string{true: "enable", false: "disable"}[after.Enabled]
	}
	return c.altered(ctx, action, before, after)
}

// reindex keeps what finds the key besides its row.
func (c *change) reindex(ctx context.Context, before row, after *keys.Key, text string) error {
	apis := openAPIs(after)
	sameAPIs := slices.Equal(apis, openAPIs(before.key))
	if sameAPIs && text == searchText(before.key) {
		return nil
	}
	if err := c.index().note(ctx, before.n); err != nil || sameAPIs {
		return err
	}
	if _, err := c.ExecContext(ctx, deleteAPIsSQL, before.n); err != nil {
		return fmt.Errorf("forgetting the APIs of a key: %w", err)
	}
	rows := NewRows("key_apis", apiColumns, len(apis))
	for _, api := range apis {
		rows.Add(before.n, api)
	}
	return c.insert(ctx, rows)
}

// altered tells the feed about all the key's secrets, and writes the audit.
// after is nil if the key is to be deleted.
func (c *change) altered(ctx context.Context, action string, before row, after *keys.Key) (err error) {
	if c.fed.Digests, err = c.digestsOf(ctx, before.n); err != nil {
		return err
	}
	entry := auditRow{action: action, key: before.key.ID}
	if entry.before, err = wire(before.key); err != nil {
		return err
	}
	if after != nil {
		if entry.after, err = wire(after); err != nil {
			return err
		}
	}
	return c.audit(ctx, entry)
}

func (c *change) digestsOf(ctx context.Context, n int64) (found []keys.Digest, err error) {
	rows, err := c.QueryContext(ctx, digestsOfSQL, n)
	if err != nil {
		return nil, fmt.Errorf("reading the digests of a key: %w", err)
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var d []byte
		if err := rows.Scan(&d); err != nil {
			return nil, fmt.Errorf("reading the digests of a key: %w", err)
		}
		found = append(found, keys.Digest(d))
	}
	return found, nil
}

// guarded returns the key if the guard's version holds.
func (c *change) guarded(ctx context.Context, id keys.ID, g keys.Guard) (row, error) {
	r, err := c.store.get(ctx, c.Tx, id, c.at)
	if err != nil {
		return row{}, err
	}
	if g.Version != 0 && g.Version != r.key.Version {
		return row{}, keys.ErrVersion
	}
	return r, nil
}

// keepAdmin refuses to lose the last admin key, if the guard says so. No
// other change can run between this question and the commit.
func (c *change) keepAdmin(ctx context.Context, g keys.Guard, before row, after *keys.Key) error {
	if !g.KeepAdmin || !before.key.IsAdmin(c.fed.At) || (after != nil && after.IsAdmin(c.fed.At)) {
		return nil
	}
	var other bool
	if err := c.QueryRowContext(ctx, otherAdminSQL, c.at, before.n).Scan(&other); err != nil {
		return fmt.Errorf("looking for another admin key: %w", err)
	}
	if !other {
		return keys.ErrLastAdmin
	}
	return nil
}

// content is what people edit of a key, but for Enabled, in a form that can
// be compared.
type content struct {
	name, owner, admin    string
	permissions, metadata string
	sources               keys.Sources
	expires               sql.NullInt64
}

func newContent(k *keys.Key) (content, error) {
	permissions, err := json.Marshal(k.Permissions)
	if err != nil {
		return content{}, fmt.Errorf("writing permissions: %w", err)
	}
	metadata, err := metadataText(k.Metadata)
	if err != nil {
		return content{}, err
	}
	return content{k.Name, k.Owner, k.Admin.String(), string(permissions), metadata, k.Sources, optionalMilli(k.ExpiresAt)}, nil
}

// clone returns a copy that shares nothing with k.
func clone(k *keys.Key) *keys.Key {
	out := *k
	out.Metadata = maps.Clone(k.Metadata)
	out.Permissions.APIs = slices.Clone(k.Permissions.APIs)
	for i := range out.Permissions.APIs {
		out.Permissions.APIs[i].Endpoints = slices.Clone(out.Permissions.APIs[i].Endpoints)
	}
	if k.Rotation != nil {
		rotation := *k.Rotation
		out.Rotation = &rotation
	}
	return &out
}
