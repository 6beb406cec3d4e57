package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	endEarlierSQL = `DELETE FROM secrets WHERE key_n = $1 AND ends_at IS NOT NULL`
	endAllSQL     = `DELETE FROM secrets WHERE key_n = $1`
	graceSQL      = `UPDATE secrets SET ends_at = $1 WHERE key_n = $2`
	rotateKeySQL  = `UPDATE keys SET prefix = $1, search = $2, legacy = 0, updated_at = $3, version = $4 WHERE n = $5`
	sweepSQL      = `DELETE FROM secrets WHERE ends_at <= $1`

	// sweptAfter is how long a secret is kept after its grace: longer than
	// the clocks of two nodes differ.
	sweptAfter = time.Hour
)

// Rotate implements keys.Store.
func (s *Store) Rotate(ctx context.Context, by keys.By, id keys.ID, g keys.Guard, d keys.Digest, prefix string, graceEnds time.Time) (*keys.Key, error) {
	var result *keys.Key
	err := s.inChange(ctx, by, func(c *change) error {
		before, err := c.guarded(ctx, id, g)
		if err != nil {
			return err
		}
		after := clone(before.key)
		after.Prefix, after.Legacy = prefix, false
		after.UpdatedAt, after.Version = c.fed.At, before.key.Version+1
		after.Rotation = nil
		if ends := milli(graceEnds); ends > c.at {
			after.Rotation = &keys.Rotation{PreviousPrefix: before.key.Prefix, PreviousExpiresAt: fromMilli(ends)}
		}
		result = after
		return c.rotate(ctx, before, after, d)
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

func (c *change) rotate(ctx context.Context, before row, after *keys.Key, d keys.Digest) error {
	// The feed tells of the secrets that go away now, too.
	if err := c.altered(ctx, "rotate", before, after); err != nil {
		return err
	}
	if slices.Contains(c.fed.Digests, d) {
		return &keys.KnownSecretError{}
	}
	c.fed.Digests = append(c.fed.Digests, d)
	if err := c.endSecrets(ctx, before.n, after.Rotation); err != nil {
		return err
	}
	if err := c.insertSecret(ctx, before.n, after.Prefix, d); err != nil {
		return err
	}
	text := searchText(after)
	if _, err := c.ExecContext(ctx, rotateKeySQL, after.Prefix, text, milli(after.UpdatedAt), after.Version, before.n); err != nil {
		return fmt.Errorf("rotating key: %w", err)
	}
	return c.index().note(ctx, before.n)
}

// endSecrets ends the secrets that a key has: the current one at the end of
// the grace, if there is one, the others at once. In passing it removes what
// other rotations left.
func (c *change) endSecrets(ctx context.Context, n int64, grace *keys.Rotation) error {
	if _, err := c.ExecContext(ctx, sweepSQL, c.at-sweptAfter.Milliseconds()); err != nil {
		return fmt.Errorf("removing secrets past their grace: %w", err)
	}
	if grace == nil {
		if _, err := c.ExecContext(ctx, endAllSQL, n); err != nil {
			return fmt.Errorf("ending the secrets of a key: %w", err)
		}
		return nil
	}
	if _, err := c.ExecContext(ctx, endEarlierSQL, n); err != nil {
		return fmt.Errorf("ending an earlier grace: %w", err)
	}
	if _, err := c.ExecContext(ctx, graceSQL, milli(grace.PreviousExpiresAt), n); err != nil {
		return fmt.Errorf("setting the end of a grace: %w", err)
	}
	return nil
}

func (c *change) insertSecret(ctx context.Context, n int64, prefix string, d keys.Digest) error {
	rows := NewRows("secrets", secretColumns, 1)
	rows.Add(d[:], n, prefix, int64(0))
	written, err := c.store.engine.Insert(ctx, c.Tx, rows)
	if err != nil {
		return fmt.Errorf("storing the digest of a secret: %w", err)
	}
	if written == 0 {
		return &keys.KnownSecretError{}
	}
	return nil
}
