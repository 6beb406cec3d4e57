package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// touchedAtOnce is how many keys one transaction touches: a longer one would
// keep an admin's change waiting for more than some 20 ms.
const touchedAtOnce = 1000

const touchSQL = `UPDATE keys SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)`

// Touch implements keys.Store. It is no change: no number, no feed, no audit.
// What it had written when it failed can be written again.
func (s *Store) Touch(ctx context.Context, used map[keys.ID]time.Time) error {
	// In order, so that two nodes that touch the same keys don't deadlock.
	ids := slices.Sorted(maps.Keys(used))
	for some := range slices.Chunk(ids, touchedAtOnce) {
		if err := s.touch(ctx, some, used); err != nil {
			return fmt.Errorf("recording when keys were used: %w", err)
		}
	}
	return nil
}

func (s *Store) touch(ctx context.Context, ids []keys.ID, used map[keys.ID]time.Time) (err error) {
	tx, err := s.engine.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // the first error is the one that matters
		}
	}()
	update, err := tx.PrepareContext(ctx, touchSQL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, update.Close()) }()
	var latest int64
	for _, id := range ids {
		at := milli(used[id])
		latest = max(latest, at)
		if _, err := update.ExecContext(ctx, at, string(id)); err != nil {
			return err
		}
	}
	if err := s.markLapsed(ctx, tx, latest); err != nil {
		return err
	}
	return tx.Commit()
}
