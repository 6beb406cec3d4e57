package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	ownerOfSQL    = `SELECT k.id, s.prefix, s.ends_at FROM secrets s JOIN keys k ON k.n = s.key_n WHERE s.digest = $1`
	disableKeySQL = `UPDATE keys SET standing = $1, updated_at = $2, version = $3 WHERE n = $4`
	endGraceSQL   = `DELETE FROM secrets WHERE digest = $1`
	touchKeySQL   = `UPDATE keys SET updated_at = $1, version = $2 WHERE n = $3`
)

// Leaked implements keys.Store.
func (s *Store) Leaked(ctx context.Context, by keys.By, d keys.Digest, found keys.FoundAt) (result *keys.Key, ended bool, err error) {
	err = s.inChange(ctx, by, func(c *change) error {
		var id keys.ID
		var prefix string
		var ends sql.NullInt64
		err := c.QueryRowContext(ctx, ownerOfSQL, d[:]).Scan(&id, &prefix, &ends)
		if errors.Is(err, sql.ErrNoRows) || err == nil && ends.Valid && ends.Int64 <= c.at {
			return keys.ErrNoSuchKey
		}
		if err != nil {
			return fmt.Errorf("looking up a secret: %w", err)
		}
		before, err := c.guarded(ctx, id, keys.Guard{})
		if err != nil {
			return err
		}
		result = before.key
		if !ends.Valid && !before.key.Enabled {
			return errUnchanged
		}
		result = clone(before.key)
		result.UpdatedAt, result.Version = c.fed.At, before.key.Version+1
		ended = true
		return c.leaked(ctx, before, result, leakedSecret{d, prefix, ends.Valid}, found)
	})
	if err != nil {
		return nil, false, err
	}
	return result, ended, nil
}

// leakedSecret is what was found of a key.
type leakedSecret struct {
	digest  keys.Digest
	prefix  string
	earlier bool // it is in its grace
}

// leaked ends an earlier secret, or disables the key.
func (c *change) leaked(ctx context.Context, before row, after *keys.Key, secret leakedSecret, found keys.FoundAt) error {
	if secret.earlier {
		after.Rotation = nil
	} else {
		after.Enabled = false
	}
	// The feed tells of the secret that goes away, too.
	if err := c.alteredLeak(ctx, before, after, secret.prefix, found); err != nil {
		return err
	}
	if !secret.earlier {
		_, err := c.ExecContext(ctx, disableKeySQL, standing(false), milli(after.UpdatedAt), after.Version, before.n)
		if err != nil {
			return fmt.Errorf("disabling a leaked key: %w", err)
		}
		return nil
	}
	if _, err := c.ExecContext(ctx, endGraceSQL, secret.digest[:]); err != nil {
		return fmt.Errorf("ending a leaked secret: %w", err)
	}
	if _, err := c.ExecContext(ctx, touchKeySQL, milli(after.UpdatedAt), after.Version, before.n); err != nil {
		return fmt.Errorf("ending a leaked secret: %w", err)
	}
	return nil
}

// alteredLeak is altered, with where the secret was found beside what became
// of the key.
func (c *change) alteredLeak(ctx context.Context, before row, after *keys.Key, prefix string, found keys.FoundAt) (err error) {
	if c.fed.Digests, err = c.digestsOf(ctx, before.n); err != nil {
		return err
	}
	entry := auditRow{action: "leak", key: before.key.ID}
	if entry.before, err = wire(before.key); err != nil {
		return err
	}
	key, err := wire(after)
	if err != nil {
		return err
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(key, &members); err != nil {
		return fmt.Errorf("writing the audit: %w", err)
	}
	members["leak"], err = json.Marshal(struct {
		Prefix string `json:"prefix"`
		Source string `json:"source"`
		URL    string `json:"url"`
	}{prefix, found.Source, found.URL})
	if err != nil {
		return fmt.Errorf("writing the audit: %w", err)
	}
	if entry.after, err = json.Marshal(members); err != nil {
		return fmt.Errorf("writing the audit: %w", err)
	}
	return c.audit(ctx, entry)
}
